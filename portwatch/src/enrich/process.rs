//! One process in /proc.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::cgroup::v2;
use crate::event::{BootNs, CgroupId, Process, State, Text, Tgid};

/// Bytes of a command line that are kept.
const CMDLINE_BYTES: u64 = 4096;
/// Bytes of its control groups that are read: a path of 4 KiB for each hierarchy of version 1.
const CGROUP_BYTES: u64 = 64 << 10;
/// Places in `stat` of what is wanted, counted behind the name, which may itself hold spaces and parentheses
/// (proc_pid_stat(5): the name is field 2).
const FLAGS: usize = 9 - 3;
const START_TIME: usize = 22 - 3;
/// `PF_EXITING`, include/linux/sched.h.
const EXITING: u64 = 0x4;
/// `PROC_PID_INIT_INO`, include/linux/proc_ns.h (3.8 to 7.3).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What can be read of this process, or that it is gone.
pub(super) fn read(proc_root: &Path, tgid: Tgid, start: BootNs) -> State {
    if tgid == Tgid(0) || start == BootNs(0) {
        // Nobody, or somebody whose identity could not be checked.
        return State::NotRead;
    }
    let folder = proc_root.join(tgid.0.to_string());
    let exe = std::fs::read_link(folder.join("exe")).ok().map(|path| Text(path.into_os_string().into_vec()));
    let cmdline = arguments(&folder.join("cmdline"));
    // Last, so that it vouches for what was read before.
    let stat = match stat(&folder) {
        Ok(stat) => stat,
        Err(error) if is_gone(&error) => return gone(proc_root),
        // Not ours to see (hidepid), or this process is short of something.
        Err(_) => return State::NotRead,
    };
    let same = stat.start_ticks == start.0 / ns_per_tick();
    // On its way out a process loses its memory first, and with it executable and arguments.
    if same && !(stat.exiting && exe.is_none()) { State::Alive { exe, cmdline } } else { gone(proc_root) }
}

/// What is known of a process that is not to be seen here: that it has ended, where every process is.
fn gone(proc_root: &Path) -> State {
    // With hidepid=2 only own processes are there (proc(5)); the first one is root's, and never ends.
    let hides = !proc_root.join("1").exists();
    // In another pid namespace all have other ids.
    let namespace = std::fs::read_link(proc_root.join("self/ns/pid"));
    let is_another = namespace.is_ok_and(|namespace| namespace.as_os_str() != INITIAL_PID_NAMESPACE);
    if hides || is_another { State::NotRead } else { State::Exited }
}

/// Who has this id now; none if nobody, or if it may not be looked at. The start is rounded down to clock ticks,
/// which is all that /proc has.
pub(super) fn identify(proc_root: &Path, cgroup_root: Option<&Path>, tgid: Tgid) -> Option<Process> {
    let folder = proc_root.join(tgid.0.to_string());
    let start = BootNs(stat(&folder).ok()?.start_ticks.saturating_mul(ns_per_tick()));
    let mut comm = std::fs::read(folder.join("comm")).ok()?;
    comm.pop_if(|byte| *byte == b'\n');
    let status = String::from_utf8_lossy(&std::fs::read(folder.join("status")).ok()?).into_owned();
    let real_id = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Process {
        tgid,
        start,
        tid: None,
        comm: Text(comm),
        uid: real_id("Uid:")?,
        gid: real_id("Gid:")?,
        cgroup: cgroup_root.and_then(|root| cgroup(&folder, root)).unwrap_or(CgroupId(0)),
        details: Arc::default(),
    })
}

/// The file /proc/PID/cgroup of this process, if it is still this one.
pub(super) fn cgroups(proc_root: &Path, tgid: Tgid, start: BootNs) -> Option<Vec<u8>> {
    let folder = proc_root.join(tgid.0.to_string());
    let lines = lines_of(&folder)?;
    // Last, so that it vouches for what was read before.
    (stat(&folder).ok()?.start_ticks == start.0 / ns_per_tick()).then_some(lines)
}

fn lines_of(folder: &Path) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    File::open(folder.join("cgroup")).ok()?.take(CGROUP_BYTES).read_to_end(&mut lines).ok()?;
    Some(lines)
}

/// The inode number of its folder (cgroups(7): version 2 is hierarchy 0).
fn cgroup(folder: &Path, cgroup_root: &Path) -> Option<CgroupId> {
    let lines = lines_of(folder)?;
    let path = v2(&lines)?.strip_prefix(b"/")?;
    let folder = cgroup_root.join(OsStr::from_bytes(path));
    Some(CgroupId(std::fs::metadata(folder).ok()?.ino()))
}

fn arguments(path: &Path) -> Option<Vec<Text>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(CMDLINE_BYTES).read_to_end(&mut bytes).ok()?;
    if bytes.pop_if(|byte| *byte == 0).is_none() && bytes.is_empty() {
        // A kernel thread has no arguments, not one empty argument.
        return Some(Vec::new());
    }
    Some(bytes.split(|byte| *byte == 0).map(|argument| Text(argument.to_vec())).collect())
}

struct Stat {
    /// Clock ticks since boot.
    start_ticks: u64,
    exiting: bool,
}

/// The folder is not there, or was not any more when it was read (proc(5)).
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

fn stat(folder: &Path) -> io::Result<Stat> {
    let bytes = std::fs::read(folder.join("stat"))?;
    parse(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(bytes: &[u8]) -> Option<Stat> {
    let behind_name = std::str::from_utf8(bytes.rsplit(|byte| *byte == b')').next()?).ok()?;
    let field = |n| behind_name.split_ascii_whitespace().nth(n)?.parse::<u64>().ok();
    Some(Stat { start_ticks: field(START_TIME)?, exiting: field(FLAGS)? & EXITING != 0 })
}

/// Rounded down to clock ticks.
pub(super) fn as_in_proc(start: BootNs) -> BootNs {
    BootNs(start.0 - start.0 % ns_per_tick())
}

fn ns_per_tick() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    1_000_000_000 / u64::try_from(ticks).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::Arc;

    use std::os::unix::fs::MetadataExt as _;

    use super::{as_in_proc, identify, read};
    use crate::event::{BootNs, CgroupId, Process, State, Text, Tgid};

    /// A /proc with one process: its start time in ticks, its name, its command line.
    fn fake(start_ticks: u64, name: &str, cmdline: &[u8]) -> tempfile::TempDir {
        with_flags(0x40_0000, start_ticks, name, cmdline)
    }

    fn with_flags(flags: u64, start_ticks: u64, name: &str, cmdline: &[u8]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("42");
        fs::create_dir(&folder).unwrap();
        fs::create_dir(root.path().join("1")).unwrap();
        let before = format!("S 1 42 42 0 -1 {flags} 1 0 0 0 0 0 0 0 20 0 1 0");
        fs::write(folder.join("stat"), format!("42 ({name}) {before} {start_ticks} 1 2 3\n")).unwrap();
        fs::write(folder.join("cmdline"), cmdline).unwrap();
        symlink("/usr/bin/some thing", folder.join("exe")).unwrap();
        root
    }

    fn look(root: &Path) -> State {
        read(root, Tgid(42), BootNs(12_345_678_901))
    }

    #[test]
    fn a_living_process_has_its_executable_and_arguments() {
        let root = fake(1234, "x", b"curl\0--url\0http://x/\0\0");
        let expected = State::Alive {
            exe: Some(Text(b"/usr/bin/some thing".to_vec())),
            cmdline: Some(
                [&b"curl"[..], b"--url", b"http://x/", b""].map(|word| Text(word.to_vec())).to_vec(),
            ),
        };
        assert_eq!(look(root.path()), expected);
    }

    #[test]
    fn who_has_an_id_is_told_with_what_makes_it_known_again() {
        let root = fake(1234, "x", b"");
        let folder = root.path().join("42");
        fs::write(folder.join("comm"), b"a name\n").unwrap();
        fs::write(folder.join("status"), "Name:\ta name\nUid:\t1000\t0\t0\t0\nGid:\t100\t0\t0\t0\n").unwrap();
        fs::write(folder.join("cgroup"), "4:cpu:/old\n0::/some/where\n").unwrap();
        let cgroups = root.path().join("cgroup");
        fs::create_dir_all(cgroups.join("some/where")).unwrap();
        let expected = Process {
            tgid: Tgid(42),
            start: BootNs(12_340_000_000),
            tid: None,
            comm: Text(b"a name".to_vec()),
            uid: 1000,
            gid: 100,
            cgroup: CgroupId(fs::metadata(cgroups.join("some/where")).unwrap().ino()),
            details: Arc::default(),
        };
        assert_eq!(identify(root.path(), Some(&cgroups), Tgid(42)).as_ref(), Some(&expected));
        assert_eq!(as_in_proc(BootNs(12_345_678_901)), expected.start);
        let details = read(root.path(), Tgid(42), expected.start);
        assert!(matches!(details, State::Alive { .. }), "the rounded start is the same process: {details:?}");
        let without_cgroup = identify(root.path(), Some(root.path()), Tgid(42)).unwrap();
        assert_eq!(without_cgroup.cgroup, CgroupId(0));
        assert_eq!(identify(root.path(), None, Tgid(43)), None);
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_this_one() {
        assert_eq!(look(fake(1235, "x", b"").path()), State::Exited);
        assert_eq!(look(fake(1233, "x", b"").path()), State::Exited);
        let nobody = tempfile::tempdir().unwrap();
        fs::create_dir(nobody.path().join("1")).unwrap();
        assert_eq!(look(nobody.path()), State::Exited);
    }

    #[test]
    fn who_is_hidden_has_not_ended() {
        let hidden = tempfile::tempdir().unwrap();
        assert_eq!(look(hidden.path()), State::NotRead);
        let with_namespace = |name: &str| {
            let root = fake(1235, "x", b"");
            fs::create_dir_all(root.path().join("self/ns")).unwrap();
            symlink(name, root.path().join("self/ns/pid")).unwrap();
            look(root.path())
        };
        assert_eq!(with_namespace("pid:[4026531836]"), State::Exited);
        assert_eq!(with_namespace("pid:[4026532177]"), State::NotRead);
    }

    #[test]
    fn who_cannot_be_told_from_others_is_not_looked_up() {
        let root = fake(0, "x", b"");
        assert_eq!(read(root.path(), Tgid(42), BootNs(0)), State::NotRead);
        assert_eq!(read(root.path(), Tgid(0), BootNs(5)), State::NotRead);
    }

    #[test]
    fn a_process_on_its_way_out_is_gone_once_its_executable_is() {
        let root = with_flags(0x40_0004, 1234, "x", b"");
        assert!(matches!(look(root.path()), State::Alive { exe: Some(_), .. }));
        fs::remove_file(root.path().join("42/exe")).unwrap();
        assert_eq!(look(root.path()), State::Exited);
        let alive = fake(1234, "kworker", b"");
        fs::remove_file(alive.path().join("42/exe")).unwrap();
        let expected = State::Alive { exe: None, cmdline: Some(Vec::new()) };
        assert_eq!(look(alive.path()), expected, "a kernel thread has no executable");
    }

    #[test]
    fn a_name_made_to_confuse_does_not() {
        for name in ["a) S 1 1 1", ") ", "(((", "a b c d"] {
            assert!(matches!(look(fake(1234, name, b"").path()), State::Alive { .. }), "{name}");
        }
    }

    #[test]
    fn a_command_line_is_cut_at_its_bound() {
        let root = fake(1234, "x", &[b'a'; 100_000]);
        let State::Alive { cmdline: Some(words), .. } = look(root.path()) else { panic!("not read") };
        assert_eq!(words, [Text(vec![b'a'; 4096])]);
    }
}
