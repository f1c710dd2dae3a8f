//! What a user needs who is not root.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sys::prctl::set_keepcaps;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgid, setuid};
use portwatch_tests::kernel_is_since;
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Watching, command};
use portwatch_tests::tally;

/// Less memory than portwatch's maps take, bytes: what Linux allowed users before 5.16.
const LITTLE_LOCKED: u64 = 64 * 1024;

/// `portwatch ARGS` as nobody, with these capabilities and no others; and, where the kernel asks for that too, with as much
/// locked memory as it likes.
pub(crate) fn as_nobody(args: &[&str], capabilities: &'static [Capability]) -> Command {
    as_nobody_by(command(args), capabilities)
}

/// The same, by another command.
fn as_nobody_by(command: Command, capabilities: &'static [Capability]) -> Command {
    // Before 5.11 maps are charged to the user's limit of locked memory. Since then it stays below what the ring takes.
    let locked = if kernel_is_since(5, 11) { LITTLE_LOCKED } else { u64::MAX };
    as_nobody_with(locked, command, capabilities)
}

/// The same, with as much locked memory, bytes.
fn as_nobody_with(locked: u64, mut command: Command, capabilities: &'static [Capability]) -> Command {
    let become_nobody = move || {
        let wanted: CapsHashSet = capabilities.iter().copied().collect();
        setrlimit(Resource::RLIMIT_MEMLOCK, locked, locked)?;
        set_keepcaps(true)?;
        setgid(Gid::from_raw(65534))?;
        setuid(Uid::from_raw(65534))?;
        let set = |which| caps::set(None, which, &wanted).map_err(std::io::Error::other);
        set(CapSet::Permitted)?;
        set(CapSet::Effective)?;
        set(CapSet::Inheritable)?;
        set(CapSet::Ambient)
    };
    // SAFETY: between fork and exec, in a child of a process whose other threads hold no lock that is needed here.
    unsafe { command.pre_exec(become_nobody) };
    command
}

/// An unprivileged user with two capabilities sees what root sees.
pub(crate) fn assert_enough(capabilities: &'static [Capability]) {
    assert_sees_all(as_nobody(&["trace", "--json"], capabilities));
}

fn assert_sees_all(portwatch: Command) {
    let netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start_as(portwatch).unwrap();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "20"]).unwrap();
    // That this was no search for a port whose hook was skipped, only the number of skipped runs tells.
    set("ipv6/conf/all/disable_ipv6", "1").unwrap();
    let without_address = tally::run(&["--dest", "[::1]:8080", "--attempts", "20"]).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 20);
    assert_eq!(without_address.failed("EADDRNOTAVAIL"), 20);
    assert_eq!(session.end()["delivered"], 40, "{}{}", session.stdout, session.stderr);
    assert!(session.end()["skipped_runs"].is_u64(), "{}", session.stdout);
    let expected = [("range_exhausted", tally.pid), ("no_source_address", without_address.pid)];
    for (failure, (cause, pid)) in session.failures().zip(expected.iter().flat_map(|one| [one; 20])) {
        assert_eq!(failure["cause"], *cause, "{failure}");
        assert_eq!((&failure["process"]["pid"], &failure["netns"]), (&(*pid).into(), &netns.id.into()));
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
    kernel_is_since(7, 0)
}

fn is_locked_down() -> bool {
    let level = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    level.contains("[confidentiality]")
}

#[test]
fn two_capabilities_are_enough() {
    assert_enough(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
}

/// What setcap(8) writes for `cap_bpf,cap_perfmon+ep`: `struct vfs_cap_data`, include/uapi/linux/capability.h.
fn give(executable: &Path, capabilities: &[Capability]) {
    const REVISION_2_EFFECTIVE: u32 = 0x0200_0001;
    let bits = capabilities.iter().fold(0_u64, |bits, capability| bits | capability.bitmask());
    let [low, high] = [bits & 0xffff_ffff, bits >> 32].map(|half| u32::try_from(half).unwrap());
    let words = [REVISION_2_EFFECTIVE, low, 0, high, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = CString::new(executable.as_os_str().as_bytes()).unwrap();
    let name = c"security.capability";
    // SAFETY: strings that end with a zero, and bytes of the length that is given.
    let result =
        unsafe { nix::libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).unwrap();
}

#[test]
fn capabilities_of_the_executable_are_enough() {
    // The guest's first file system keeps no attributes.
    let folder = tempfile::tempdir().unwrap();
    let none: Option<&str> = None;
    mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), none).unwrap();
    chmod_for_all(folder.path());
    let executable = folder.path().join("portwatch");
    fs::copy(std::env::var("PORTWATCH_BIN").unwrap(), &executable).unwrap();
    chmod_for_all(&executable);
    give(&executable, &[Capability::CAP_BPF, Capability::CAP_PERFMON]);
    let mut command = Command::new(&executable);
    command.args(["trace", "--json"]).stdin(Stdio::null());
    assert_sees_all(as_nobody_by(command, &[]));
    umount(folder.path()).unwrap();
}

fn chmod_for_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
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

#[test]
fn too_little_locked_memory_is_told_with_what_helps() {
    if kernel_is_since(5, 11) {
        println!("skipped: since Linux 5.11 maps do not count as locked memory");
        return;
    }
    for args in [&["trace"][..], &["doctor"]] {
        let both: &[Capability] = &[Capability::CAP_BPF, Capability::CAP_PERFMON];
        let output = as_nobody_with(LITTLE_LOCKED, command(args), both).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(69), "{args:?}: {said}");
        for words in ["the limit of locked memory, which is 65536 bytes", "CAP_SYS_RESOURCE"] {
            assert!(said.contains(words), "{args:?}: {words} is not in {said}");
        }
    }
}

#[test]
fn doctor_names_each_capability_that_more_is_known_by() {
    const BOTH: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];
    const PTRACE: Capability = Capability::CAP_SYS_PTRACE;
    const SEARCH: Capability = Capability::CAP_DAC_READ_SEARCH;
    const ADMIN: Capability = Capability::CAP_SYS_ADMIN;
    let cases: [(&'static [Capability], &[&str]); 4] = [
        (&[BOTH[0], BOTH[1], SEARCH, ADMIN], &["CAP_SYS_PTRACE"]),
        (&[BOTH[0], BOTH[1], PTRACE, ADMIN], &["CAP_DAC_READ_SEARCH"]),
        (&[BOTH[0], BOTH[1], PTRACE, SEARCH], &["CAP_SYS_ADMIN"]),
        (&[BOTH[0], BOTH[1], PTRACE, SEARCH, ADMIN], &[]),
    ];
    for (held, missing) in cases {
        let output = as_nobody(&["doctor"], held).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let lacks: Vec<&str> =
            said.lines().filter_map(|line| line.split("lacks ").nth(1)?.split(' ').next()).collect();
        assert_eq!(lacks, missing, "{said}");
    }
}
