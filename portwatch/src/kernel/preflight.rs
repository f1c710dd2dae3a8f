//! What this host says about itself before anything is tried; needs no privileges.

use std::fs;

use caps::{CapSet, Capability};
use nix::sys::utsname::uname;

use super::btf::Btf;
use super::plan::{self, Kind};
use super::refusal::{self, Refusal};

/// Type information of the running kernel.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// What may stand between this process and the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Effective capabilities that tracing needs, with whether they are there.
    capabilities: [(&'static str, bool); 2],
    /// Whether a seccomp filter is on.
    pub seccomp: bool,
    /// Whether this is not the initial user namespace, where capabilities do not reach the kernel.
    pub user_namespace: bool,
    /// `/sys/kernel/security/lockdown`: `none`, `integrity` or `confidentiality`; none if unreadable.
    pub lockdown: Option<String>,
}

impl Confinement {
    /// Looks at this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
        // CAP_SYS_ADMIN includes both (kernel/capability.c, bpf_capable and perfmon_capable).
        let all = has(Capability::CAP_SYS_ADMIN);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let uid_map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self {
            capabilities: [
                ("CAP_BPF", all || has(Capability::CAP_BPF)),
                ("CAP_PERFMON", all || has(Capability::CAP_PERFMON)),
            ],
            seccomp: status
                .lines()
                .any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2")),
            user_namespace: !is_initial_user_namespace(&uid_map),
            lockdown: fs::read_to_string("/sys/kernel/security/lockdown")
                .ok()
                .and_then(|text| selected(&text)),
        }
    }

    /// Capabilities that tracing needs and this process lacks.
    #[must_use]
    pub fn missing_capabilities(&self) -> Vec<&'static str> {
        self.capabilities.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect()
    }

    /// What is most likely to forbid things that capabilities allow.
    pub(super) fn suspect(&self) -> Option<&'static str> {
        if self.user_namespace {
            Some("it runs in a user namespace of its own, where capabilities do not reach the kernel")
        } else if self.seccomp {
            Some("a seccomp filter (of a container runtime or a systemd unit) blocks bpf()")
        } else {
            None
        }
    }
}

/// What type information tells, without loading anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInformation {
    /// Bytes of /sys/kernel/btf/vmlinux.
    pub size_bytes: usize,
    /// Where hooks would be, those of all options included.
    pub offered: Vec<Offered>,
}

/// A place for a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The function or tracepoint.
    pub function: &'static str,
    /// How a program would be attached.
    pub kind: Kind,
    /// Why none fits.
    pub why_not: Option<String>,
}

/// Reads type information and looks the hooks' functions up in it.
///
/// # Errors
/// What is missing, and what to do.
pub fn type_information() -> Result<TypeInformation, Refusal> {
    let (btf, size_bytes) = running_kernels_types()?;
    let fits =
        |way: &&Vec<plan::Planned>| way.iter().all(|planned| planned.program.is_ok() || !planned.needed);
    let wanted =
        plan::Wanted { all_errors: true, search_times: true, witness: preempts(), probe_reads: true };
    let features = plan::by_functions(&btf, wanted);
    let ways = features.iter().filter_map(|feature| feature.ways.iter().find(fits).or(feature.ways.first()));
    let offered = ways.flatten().map(|planned| Offered {
        function: planned.function,
        kind: planned.kind,
        why_not: planned.program.clone().err(),
    });
    Ok(TypeInformation { size_bytes, offered: offered.collect() })
}

/// The running kernel's type information, and its size in bytes.
pub(super) fn running_kernels_types() -> Result<(Btf, usize), Refusal> {
    let bytes = fs::read(VMLINUX).map_err(|error| refusal::no_btf(&error))?;
    let size_bytes = bytes.len();
    let btf = Btf::parse(bytes).map_err(|error| refusal::bad_btf(&error.to_string()))?;
    Ok((btf, size_bytes))
}

/// Whether this kernel preempts tasks that are inside of it: then one that is inside of a program makes others on its
/// processor skip that program.
///
/// A kernel that was built for a choice (`PREEMPT_DYNAMIC`) tells it in debugfs only, which root alone may read; else it
/// is what the command line says, or the default: what /boot/config says, else to preempt from Linux 7.0 on
/// (kernel/Kconfig.preempt; x86 and arm64 have no other choice there).
pub(super) fn preempts() -> bool {
    let Ok(names) = uname() else { return true };
    let (release, version) = (names.release().to_string_lossy(), names.version().to_string_lossy());
    let chosen = fs::read_to_string("/sys/kernel/debug/sched/preempt").ok();
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let config = fs::read_to_string(format!("/boot/config-{release}")).ok();
    preempts_by(&release, &version, chosen.as_deref(), &command_line, config.as_deref())
}

fn preempts_by(
    release: &str,
    version: &str,
    chosen: Option<&str>,
    command_line: &str,
    config: Option<&str>,
) -> bool {
    let named = |word: &str| matches!(word, "full" | "lazy");
    if let Some((_, rest)) = chosen.and_then(|choice| choice.split_once('(')) {
        return rest.split_once(')').is_some_and(|(word, _)| named(word));
    }
    if version.split_whitespace().any(|word| matches!(word, "PREEMPT" | "PREEMPT_RT" | "PREEMPT_LAZY")) {
        return true;
    }
    if !version.contains("PREEMPT_DYNAMIC") {
        return false;
    }
    let mut words = command_line.split_whitespace();
    if let Some(word) = words.find_map(|word| word.strip_prefix("preempt=")) {
        return named(word);
    }
    if let Some(config) = config {
        return config.lines().any(|line| matches!(line, "CONFIG_PREEMPT=y" | "CONFIG_PREEMPT_LAZY=y"));
    }
    let major = release.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_none_or(|major| major >= 7)
}

/// The bracketed word of a choice such as `none [integrity] confidentiality`.
fn selected(choice: &str) -> Option<String> {
    Some(choice.split_once('[')?.1.split_once(']')?.0.to_owned())
}

/// The initial user namespace maps every id to itself (kernel/user_namespace.c, uid_m_show).
fn is_initial_user_namespace(uid_map: &str) -> bool {
    let words: Vec<&str> = uid_map.split_whitespace().collect();
    uid_map.is_empty() || words == ["0", "0", "4294967295"]
}

#[cfg(test)]
mod tests {
    use super::{is_initial_user_namespace, preempts_by, selected};

    #[test]
    fn the_lockdown_level_is_the_bracketed_one() {
        assert_eq!(selected("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(selected("[none] integrity confidentiality\n").as_deref(), Some("none"));
        assert_eq!(selected("nonsense"), None);
    }

    #[test]
    fn whether_a_kernel_preempts_is_told_by_the_nearest_to_it() {
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)";
        let voluntary = "# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_VOLUNTARY=y\n";
        let cases = [
            ("no choice, not preemptible", "5.10.0", "#1 SMP Debian 5.10.223-1", None, "", None, false),
            ("no choice, preemptible", "6.1.0", "#1 SMP PREEMPT Fri Jan 1", None, "", None, true),
            ("real time", "6.12.0", "#1 SMP PREEMPT_RT Debian", None, "", None, true),
            ("the default before 7.0", "6.1.0-50-cloud-amd64", dynamic, None, "quiet", None, false),
            ("the default since", "7.3.4+deb13-cloud-amd64", dynamic, None, "quiet", None, true),
            ("built to", "6.12.1-arch", dynamic, None, "quiet", Some("CONFIG_PREEMPT=y\n"), true),
            ("built not to", "7.0.1", dynamic, None, "quiet", Some(voluntary), false),
            ("chosen at boot", "6.1.0", dynamic, None, "quiet preempt=full", Some(voluntary), true),
            ("not chosen at boot", "6.12.0", dynamic, None, "preempt=voluntary quiet", None, false),
            ("chosen since", "6.1.0", dynamic, Some("none voluntary (full)\n"), "preempt=none", None, true),
            ("the kernel tells", "7.3.4", dynamic, Some("full (lazy)\n"), "", None, true),
            (
                "the kernel tells that it does not",
                "7.0.0",
                dynamic,
                Some("none (voluntary)\n"),
                "",
                None,
                false,
            ),
        ];
        for (what, release, version, chosen, command_line, config, expected) in cases {
            assert_eq!(preempts_by(release, version, chosen, command_line, config), expected, "{what}");
        }
    }

    #[test]
    fn a_mapped_user_namespace_is_told_from_the_initial_one() {
        assert!(is_initial_user_namespace("         0          0 4294967295\n"));
        assert!(!is_initial_user_namespace("         0     100000      65536\n"));
        assert!(!is_initial_user_namespace("         0       1000          1\n"));
    }
}
