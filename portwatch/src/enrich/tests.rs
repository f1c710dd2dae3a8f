//! Lookups as a whole, in a /proc that makes its readers wait.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Cgroups, Enricher, Places, READERS, Users};
use crate::event::{BootNs, CgroupId, Process, State, Text, Tgid};

const START: BootNs = BootNs(12_340_000_000);

/// A process in it, whose command line is this, or is a pipe that nobody writes to.
fn add(root: &Path, tgid: u32, cmdline: Option<&[u8]>) {
    let folder = root.join(tgid.to_string());
    fs::create_dir_all(&folder).unwrap();
    let stat = format!("{tgid} (x) S 1 1 1 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 1234 1 2 3\n");
    fs::write(folder.join("stat"), stat).unwrap();
    symlink("/usr/sbin/nginx", folder.join("exe")).unwrap();
    match cmdline {
        Some(bytes) => fs::write(folder.join("cmdline"), bytes).unwrap(),
        None => mkfifo(&folder.join("cmdline"), Mode::S_IRWXU).unwrap(),
    }
}

/// Its enricher; process 1 is there, as it always is. In the control group are those with this number.
fn host(root: &Path) -> (Enricher, CgroupId) {
    fs::create_dir(root.join("1")).unwrap();
    fs::write(root.join("passwd"), "www:x:33:33:::\n").unwrap();
    let folder = root.join("cgroup/system.slice/nginx.service");
    fs::create_dir_all(&folder).unwrap();
    let id = CgroupId(fs::metadata(&folder).unwrap().ino());
    let cgroups = Cgroups::below(Some(root.join("cgroup")));
    (Enricher::of(Places::new(root.into(), cgroups, Users::new(root.join("passwd"))), || {}), id)
}

fn process(tgid: u32, cgroup: CgroupId) -> Process {
    Process { start: START, uid: 33, cgroup, ..Process::with_id(tgid) }
}

fn has_names(process: &Process) -> bool {
    let text = |text: &str| Some(Text(text.as_bytes().to_vec()));
    process.details.unit == text("nginx.service") && process.details.user == text("www")
}

#[test]
fn who_has_ended_still_has_its_unit_and_its_user() {
    let root = tempfile::tempdir().unwrap();
    let (mut enricher, cgroup) = host(root.path());
    add(root.path(), 7, Some(b"nginx\0"));
    for (tgid, has_ended) in [(7, false), (8, true)] {
        let mut process = process(tgid, cgroup);
        enricher.enrich(&mut process, START);
        assert_eq!(process.details.has_exited(), has_ended, "{process:?}");
        assert!(has_names(&process), "{process:?}");
    }
    assert_eq!(enricher.unanswered(), 0);
}

#[test]
fn a_process_that_makes_its_reader_wait_has_its_names_in_time_and_the_rest_when_it_comes() {
    let root = tempfile::tempdir().unwrap();
    let (mut enricher, cgroup) = host(root.path());
    add(root.path(), 6, None);
    add(root.path(), 7, Some(b"nginx\0"));
    let mut hanging = process(6, cgroup);
    let began = Instant::now();
    enricher.enrich(&mut hanging, START);
    assert!(has_names(&hanging), "{hanging:?}");
    assert_eq!((&hanging.details.state, enricher.unanswered()), (&State::NotRead, 1));
    assert!(began.elapsed() < Duration::from_secs(5), "it was waited for {:?}", began.elapsed());
    let later = Instant::now();
    for _ in 0..1000 {
        enricher.enrich(&mut hanging, START);
    }
    assert_eq!(enricher.unanswered(), 1, "it was asked about again");
    assert!(has_names(&hanging) && later.elapsed() < Duration::from_secs(5), "{:?}", later.elapsed());
    let mut other = process(7, cgroup);
    enricher.enrich(&mut other, START);
    assert!(other.details.is_alive(), "another thread takes over: {other:?}");

    // Whoever opens it to write lets its reader go.
    drop(File::options().write(true).open(root.path().join("6/cmdline")).unwrap());
    let waited = Instant::now();
    while !hanging.details.is_alive() {
        assert!(waited.elapsed() < Duration::from_secs(10), "no late answer: {hanging:?}");
        std::thread::sleep(Duration::from_millis(1));
        enricher.enrich(&mut hanging, START);
    }
    assert!(has_names(&hanging));
}

#[test]
fn when_all_threads_hang_nothing_is_waited_for_and_each_case_is_counted() {
    let root = tempfile::tempdir().unwrap();
    let (mut enricher, cgroup) = host(root.path());
    let hanging = u32::try_from(READERS).unwrap();
    for tgid in 10..10 + hanging {
        add(root.path(), tgid, None);
        assert_eq!(enricher.identify(Tgid(tgid), START), None, "no comm");
        enricher.enrich(&mut process(tgid, cgroup), START);
    }
    add(root.path(), 7, Some(b"nginx\0"));
    let mut other = process(7, cgroup);
    for _ in 0..1000 {
        enricher.enrich(&mut other, START);
    }
    assert_eq!(other.details.state, State::NotRead);
    assert_eq!(enricher.unanswered(), u64::from(hanging) + 1000);
    // The threads go, so that the folder can.
    for tgid in 10..10 + hanging {
        drop(File::options().write(true).open(root.path().join(format!("{tgid}/cmdline"))).unwrap());
    }
}

#[test]
fn a_known_process_is_not_read_again_at_once() {
    let root = tempfile::tempdir().unwrap();
    let (mut enricher, cgroup) = host(root.path());
    add(root.path(), 7, Some(b"nginx\0"));
    let mut process = process(7, cgroup);
    enricher.enrich(&mut process, START);
    let first = process.details.clone();
    fs::remove_dir_all(root.path().join("7")).unwrap();
    let mut after = |ns| {
        enricher.enrich(&mut process, BootNs(START.0 + ns));
        process.details.has_exited()
    };
    assert_eq!((after(super::FRESH_NS - 1), after(super::FRESH_NS)), (false, true));
    assert!(first.is_alive());
}

#[test]
fn of_a_process_that_is_not_remembered_its_control_group_tells() {
    let root = tempfile::tempdir().unwrap();
    let (mut enricher, cgroup) = host(root.path());
    enricher.enrich(&mut process(8, cgroup), START);
    let mut other = process(9, cgroup);
    enricher.recall(&mut other);
    assert_eq!(other.details.unit, Some(Text(b"nginx.service".to_vec())));
    assert_eq!((&other.details.state, &other.details.user), (&State::NotRead, &None));
    let mut root_group = process(9, CgroupId(1));
    enricher.recall(&mut root_group);
    assert_eq!(*root_group.details, crate::event::Details::default());
}
