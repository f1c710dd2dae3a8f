//! Turns the ways in which a kernel says no into sentences for somebody who has an incident.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use nix::libc::{E2BIG, EACCES, EBUSY, EINVAL, ENOENT, ENOSYS, EPERM, RLIM_INFINITY};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::utsname::uname;
use thiserror::Error;

use super::bpf;
use super::preflight::Confinement;

/// This host cannot be traced: what was tried, what the kernel answered, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("could not {attempt}: {finding}\nhint: {hint}")]
pub struct Refusal {
    /// What was attempted, on what: what stands behind "could not".
    pub attempt: String,
    /// What came of it.
    pub finding: String,
    /// What the user can do next.
    pub hint: String,
}

impl Refusal {
    pub(super) fn new(
        attempt: impl Into<String>,
        finding: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { attempt: attempt.into(), finding: finding.into(), hint: hint.into() }
    }
}

const REPORT: &str = "please report this with the output of `portwatch doctor` and `uname -r`";

/// Why the maps could not be made.
pub(super) fn of_object(error: &EbpfError) -> Refusal {
    let attempt = "create the maps of the kernel side";
    match error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => {
            let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map_or(RLIM_INFINITY, |(soft, _)| soft);
            let confinement = Confinement::of_this_process();
            match io_error.raw_os_error() {
                Some(EINVAL) => return too_old(attempt),
                Some(EPERM) if confinement.missing_capabilities().is_empty() && limit != RLIM_INFINITY => {}
                _ => return of_errno(attempt, io_error),
            }
            // What forbids all maps is not that there is no room for these.
            if confinement.suspect().is_some() && !bpf::makes_maps() {
                return of_errno(attempt, io_error);
            }
            // aya raises the limit if it may.
            Refusal::new(
                attempt,
                format!("not permitted beyond the limit of locked memory, which is {limit} bytes"),
                "before Linux 5.11 the maps count against it: `ulimit -l unlimited`, LimitMEMLOCK=infinity in a \
                 systemd unit, or CAP_SYS_RESOURCE",
            )
        }
        EbpfError::BtfError(error) => bad_btf(&error.to_string()),
        other => Refusal::new(attempt, chain(other), REPORT),
    }
}

/// Why a program could not be loaded or attached to `function`.
pub(super) fn of_program(function: &str, error: &ProgramError) -> Refusal {
    let attempt = format!("attach to {function}");
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            // The kernel's verifier prints thousands of lines; the first refusal is near the end.
            log::debug!("verifier log for {function}:\n{verifier_log}");
            let verdict = digest(&verifier_log.to_string());
            match (io_error.raw_os_error(), verdict) {
                (_, Some(verdict)) if verdict.contains("invalid func unknown") => Refusal::new(
                    attempt,
                    format!("this kernel lacks a function that the program calls ({verdict})"),
                    REPORT,
                ),
                (Some(EPERM), None) => of_errno(&attempt, io_error),
                (_, Some(verdict)) => Refusal::new(
                    attempt,
                    format!("this kernel's verifier refused the program ({io_error}): {verdict}"),
                    "please report this with the output of `portwatch trace -vv`",
                ),
                (_, None) => Refusal::new(attempt, io_error.to_string(), REPORT),
            }
        }
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(ENOTSUPP) => Refusal::new(
            attempt,
            "this kernel loads fexit programs but cannot attach them (ENOTSUPP, 524)",
            "arm64 can from Linux 6.4; other architectures need CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
        ),
        ProgramError::SyscallError(error) => of_errno(&attempt, &error.io_error),
        other => Refusal::new(attempt, chain(other), REPORT),
    }
}

/// Why there is no `kprobe.multi` on `function`. Nothing but exactness under a storm depends on it.
pub(super) fn of_multi(function: &str, error: &io::Error) -> Refusal {
    Refusal::new(
        format!("probe {function}"),
        format!("no kprobe.multi: {error}"),
        "it wants Linux 5.18, CONFIG_FPROBE, and no lockdown for confidentiality; without it `end.possibly_missed` tells \
         how many failures may be in no count",
    )
}

/// `ENOTSUPP`, include/linux/errno.h: the kernel's own, which user space has no name for.
const ENOTSUPP: i32 = 524;

const READ_BTF: &str = "read the kernel's type information";

/// Why there is no type information.
pub(super) fn no_btf(error: &io::Error) -> Refusal {
    let missing = error.raw_os_error() == Some(ENOENT);
    if missing && !Path::new("/sys/kernel").exists() {
        return Refusal::new(
            READ_BTF,
            "there is no /sys/kernel: sysfs is not mounted here",
            "mount it, `mount -t sysfs sysfs /sys`, or run portwatch on the host itself, outside of the container",
        );
    }
    if missing {
        return Refusal::new(
            READ_BTF,
            format!("this kernel, {}, shows none: there is no /sys/kernel/btf/vmlinux", release()),
            format!("{NEEDED}; `portwatch ports` works without"),
        );
    }
    Refusal::new(READ_BTF, format!("/sys/kernel/btf/vmlinux: {error}"), NEEDED)
}

/// Why type information that is there does not help.
pub(super) fn bad_btf(detail: &str) -> Refusal {
    Refusal::new(READ_BTF, format!("/sys/kernel/btf/vmlinux: {detail}"), REPORT)
}

const NEEDED: &str = "portwatch needs Linux 5.10 or newer, built with CONFIG_DEBUG_INFO_BTF=y, as the kernels of current \
                      distributions are";

/// Why a kernel cannot have the maps.
fn too_old(attempt: &str) -> Refusal {
    Refusal::new(
        attempt,
        format!("this kernel, {}, does not know a kind of map that the kernel side needs", release()),
        NEEDED,
    )
}

/// The release of the running kernel: for people, nothing is decided by it.
fn release() -> String {
    uname().map_or_else(|_| "unknown".to_owned(), |names| names.release().to_string_lossy().into_owned())
}

/// Why tracepoints do not serve instead.
pub(super) fn no_kernel_reads() -> Refusal {
    Refusal::new(
        "watch by tracepoints",
        "this kernel is locked down for confidentiality, and programs may not read its memory",
        "the lockdown level is chosen at boot (`lockdown=` on the kernel's command line, Secure Boot)",
    )
}

/// Why this kernel's structures cannot be read.
pub(super) fn unknown_structures(detail: &str) -> Refusal {
    Refusal::new(
        "find the members of kernel structures that the programs read",
        detail,
        "this version does not know this kernel; please report it with the output of `uname -r`",
    )
}

/// An errno without further words from the kernel.
fn of_errno(attempt: &str, error: &io::Error) -> Refusal {
    let confinement = Confinement::of_this_process();
    let denied = matches!(error.raw_os_error(), Some(EPERM | EACCES));
    if error.raw_os_error() == Some(ENOSYS) {
        let (finding, hint) = match confinement.suspect() {
            Some(suspect) => (format!("there is no bpf() here; likely because {suspect}"), OUTSIDE),
            None => (
                "this kernel has no bpf()".to_owned(),
                "it was built without CONFIG_BPF_SYSCALL: boot another one",
            ),
        };
        return Refusal::new(attempt, finding, hint);
    }
    if !denied {
        let hint = match error.raw_os_error() {
            Some(EBUSY) => {
                "the function is being patched live, or another tool holds it: try again without it"
            }
            Some(E2BIG) => {
                "too many programs are attached to the function already: `bpftool link` lists them"
            }
            Some(EINVAL) => {
                "this kernel cannot attach fexit programs: it needs CONFIG_FUNCTION_TRACER and the BPF JIT"
            }
            _ => REPORT,
        };
        return Refusal::new(attempt, error.to_string(), hint);
    }
    let missing = confinement.missing_capabilities();
    if !missing.is_empty() {
        return Refusal::new(
            attempt,
            format!("not permitted: this process lacks {}", missing.join(" and ")),
            privilege_hint(),
        );
    }
    let mut finding = "not permitted, although this process has CAP_BPF and CAP_PERFMON".to_owned();
    // Writing to a String cannot fail.
    let _ = match confinement.suspect() {
        Some(suspect) => write!(finding, "; likely because {suspect}"),
        None => write!(finding, ": this kernel does not allow it, and does not say why"),
    };
    let hint = match confinement.suspect() {
        Some(_) => OUTSIDE,
        None => {
            "a security module may forbid bpf(): look for denials in the audit log; hardened and some cloud kernels forbid \
             it by their build, and then only another kernel helps (`uname -r` tells this one: please report it)"
        }
    };
    Refusal::new(attempt, finding, hint)
}

/// What to do where not the kernel forbids something, but what is around this process.
pub const OUTSIDE: &str = "run it on the host itself, outside of the container or unit that confines it";

/// How to get the privileges that tracing needs.
#[must_use]
pub fn privilege_hint() -> String {
    let executable =
        std::env::current_exe().map_or_else(|_| "portwatch".to_owned(), |path| path.display().to_string());
    format!(
        "run as root, or give this executable what it needs: `sudo setcap cap_bpf,cap_perfmon+ep {executable}`"
    )
}

/// The sentence of a verifier log that says why: the last line that is no statistics and no instruction.
fn digest(log: &str) -> Option<String> {
    const STATISTICS: [&str; 6] =
        ["processed ", "verification time", "stack depth", "max_states", "subprog", "insns "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|prefix| line.starts_with(prefix)))
        .map(|line| line.chars().take(200).collect())
}

/// An error and its sources; aya's texts contain some of their sources already.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn a_verifier_log_shrinks_to_its_verdict() {
        let log = "func#0 @0\n0: (79) r1 = *(u64 *)(r1 +40)\nfunc '__inet_hash_connect' doesn't have 6-th argument\n\
                   processed 1 insns (limit 1000000) max_states_per_insn 0\nstack depth 0\n";
        assert_eq!(digest(log).as_deref(), Some("func '__inet_hash_connect' doesn't have 6-th argument"));
        assert_eq!(digest(""), None);
        assert_eq!(digest("processed 0 insns (limit 1000000)\n"), None);
    }
}
