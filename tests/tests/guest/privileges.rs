//! What a user needs who is not root.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_keepcaps;
use nix::unistd::{Gid, Uid, setgid, setuid};
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Watching, command};
use portwatch_tests::tally;

/// `portwatch ARGS` as nobody, with these capabilities and no others.
pub(crate) fn as_nobody(args: &[&str], capabilities: &'static [Capability]) -> Command {
    let become_nobody = move || {
        let wanted: CapsHashSet = capabilities.iter().copied().collect();
        // Before 5.11 maps are charged to the user's limit of locked memory.
        let unlimited = nix::libc::rlimit { rlim_cur: u64::MAX, rlim_max: u64::MAX };
        // SAFETY: the limit lives through the call.
        unsafe { nix::libc::setrlimit(nix::libc::RLIMIT_MEMLOCK, &raw const unlimited) };
        set_keepcaps(true)?;
        setgid(Gid::from_raw(65534))?;
        setuid(Uid::from_raw(65534))?;
        let set = |which| caps::set(None, which, &wanted).map_err(std::io::Error::other);
        set(CapSet::Permitted)?;
        set(CapSet::Effective)?;
        set(CapSet::Inheritable)?;
        set(CapSet::Ambient)
    };
    let mut command = command(args);
    // SAFETY: between fork and exec, in a child of a process whose other threads hold no lock that is needed here.
    unsafe { command.pre_exec(become_nobody) };
    command
}

/// An unprivileged user with two capabilities sees what root sees.
pub(crate) fn assert_enough(capabilities: &'static [Capability]) {
    let netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start_as(as_nobody(&["trace", "--json"], capabilities)).unwrap();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "20"]).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 20);
    assert_eq!(session.end()["delivered"], 20, "{}{}", session.stdout, session.stderr);
    for failure in session.failures() {
        assert_eq!(failure["cause"], "range_exhausted", "{failure}");
        assert_eq!((&failure["process"]["pid"], &failure["netns"]), (&tally.pid.into(), &netns.id.into()));
    }
    let hooks = session.lines[0]["hooks"].as_object().unwrap();
    assert_eq!(hooks["__inet_hash_connect"], "fexit", "{hooks:?}");
    // On preemptible kernels a witness sees what others are skipped for.
    let witness = "inet_bhash2_reset_saddr";
    if !preempts() {
        assert!(!hooks.contains_key(witness), "{hooks:?}");
    } else if is_locked_down() {
        let refused = hooks[&format!("{witness} (kprobe.multi)")].as_str().unwrap();
        assert!(refused.starts_with("refused: "), "{hooks:?}");
        assert_eq!(hooks[&format!("{witness} (entry)")], "fentry", "{hooks:?}");
        assert_eq!(hooks["__inet_bind"], "fexit", "{hooks:?}");
    } else {
        assert_eq!(hooks[witness], "kprobe.multi", "{hooks:?}");
        assert_eq!(hooks["__inet_bind"], "kretprobe.multi", "{hooks:?}");
    }
}

/// Whether tasks are preempted inside of this kernel: of those that are tested here the newest only. debugfs would tell,
/// but not where the kernel is locked down.
fn preempts() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    release.split('.').next().unwrap().parse::<u32>().unwrap() >= 7
}

fn is_locked_down() -> bool {
    let level = std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    level.contains("[confidentiality]")
}

#[test]
fn two_capabilities_are_enough() {
    assert_enough(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
}

#[test]
fn each_of_them_is_missed_by_its_name() {
    let cases: [(&'static [Capability], &str); 2] =
        [(&[Capability::CAP_BPF], "CAP_PERFMON"), (&[Capability::CAP_PERFMON], "CAP_BPF")];
    for (held, missing) in cases {
        for args in [&["trace"][..], &["doctor"]] {
            let output = as_nobody(args, held).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(69), "{args:?}: {said}");
            assert!(said.contains(missing) && !said.contains("although"), "{args:?}: {said}");
        }
    }
}
