//! Trees of folders in place of control groups: their numbers are inode numbers, too.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Cgroups, REMEMBERED, Reach, of_lines};
use crate::event::{CgroupId, Runtime, Text};

fn make(root: &Path, path: &str) -> CgroupId {
    let folder = root.join(path);
    fs::create_dir_all(&folder).unwrap();
    CgroupId(fs::metadata(folder).unwrap().ino())
}

fn unit(cgroups: &mut Cgroups, id: CgroupId, lines: Option<&str>) -> Option<String> {
    let of_process = || lines.map(|lines| lines.as_bytes().to_vec());
    cgroups.names(id, of_process).unit.map(|Text(unit)| String::from_utf8(unit).unwrap())
}

#[test]
fn who_is_alive_tells_and_who_has_ended_is_found_in_the_tree() {
    let root = tempfile::tempdir().unwrap();
    let (a, b) = (make(root.path(), "system.slice/a.service"), make(root.path(), "system.slice/b.service/x"));
    let mut cgroups = Cgroups::below(Some(root.path().into()));
    let lines = Some("0::/system.slice/a.service\n");
    assert_eq!(unit(&mut cgroups, a, lines).as_deref(), Some("a.service"));
    assert!(cgroups.walked.is_none(), "nothing else was looked at");
    assert_eq!(unit(&mut cgroups, a, None).as_deref(), Some("a.service"), "remembered");
    assert_eq!(unit(&mut cgroups, b, None).as_deref(), Some("b.service"));
    let c = make(root.path(), "system.slice/c.service");
    assert_eq!(unit(&mut cgroups, c, None), None, "not all is looked at again at once");
}

#[test]
fn a_process_that_was_moved_does_not_say_what_a_control_group_is_called() {
    let root = tempfile::tempdir().unwrap();
    let (a, _) = (make(root.path(), "a.service"), make(root.path(), "b.service"));
    let mut cgroups = Cgroups::below(Some(root.path().into()));
    assert_eq!(
        unit(&mut cgroups, a, Some("0::/b.service\n")).as_deref(),
        Some("b.service"),
        "where it is now"
    );
    assert_eq!(unit(&mut cgroups, a, None).as_deref(), Some("a.service"), "and it was not remembered so");
}

#[test]
fn ten_thousand_have_their_names_in_bounded_memory() {
    // On a disk this takes twenty seconds.
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let made: Vec<_> = (0..10_000)
        .map(|number| {
            let id = format!("{number:064x}");
            (make(root.path(), &format!("system.slice/docker-{id}.scope")), id)
        })
        .collect();
    let mut cgroups = Cgroups::below(Some(root.path().into()));
    for (number, id) in &made {
        let container = cgroups.names(*number, || None).container.unwrap();
        assert_eq!((container.id, container.runtime), (Text(id.clone().into_bytes()), Some(Runtime::Docker)));
    }
    // By process, with more of them than are remembered.
    for number in 0..REMEMBERED as u64 + 10 {
        cgroups.remember(CgroupId(number), super::Names::default());
        assert!(cgroups.known.len() <= REMEMBERED);
    }
}

#[test]
fn version_1_has_names_in_the_hierarchies_that_know_them() {
    let id = "3f084b4c7b789c1a0f174da3fcd339e31125d3096b3ff46a0bef4fad71d09362";
    let in_docker =
        format!("11:memory:/docker/{id}\n4:cpu,cpuacct:/docker/{id}\n1:name=systemd:/docker/{id}\n0::/\n");
    assert_eq!(of_lines(in_docker.as_bytes()).container.unwrap().id.0, id.as_bytes());
    let cases = [
        (
            "11:memory:/user.slice\n1:name=systemd:/user.slice/user-0.slice/session-3.scope\n",
            Some("session-3.scope"),
        ),
        (
            "2:cpu:/\n1:name=systemd:/system.slice/ssh.service\n0::/system.slice/ssh.service\n",
            Some("ssh.service"),
        ),
        ("3:pids:/a:b/c\n", None),
        ("no line of it\n::\n\n", None),
    ];
    for (lines, expected) in cases {
        let unit = of_lines(lines.as_bytes()).unit.map(|Text(unit)| String::from_utf8(unit).unwrap());
        assert_eq!(unit.as_deref(), expected, "{lines}");
    }
    let mut cgroups = Cgroups { has_v1: true, ..Cgroups::below(None) };
    assert_eq!(unit(&mut cgroups, CgroupId(1), Some(cases[0].0)).as_deref(), Some("session-3.scope"));
    assert_eq!(
        unit(&mut cgroups, CgroupId(1), Some(cases[1].0)).as_deref(),
        Some("ssh.service"),
        "one number for all"
    );
    assert_eq!(unit(&mut cgroups, CgroupId(1), None), None);
}

#[test]
fn this_process_is_found_by_number_where_that_is_allowed() {
    let mut cgroups = Cgroups::of_host();
    let lines = fs::read("/proc/self/cgroup").unwrap();
    let Some((root, path)) = cgroups.root.clone().zip(super::v2(&lines)) else {
        println!("skipped: no control groups of version 2 here");
        return;
    };
    let path = String::from_utf8(path.to_vec()).unwrap();
    let Ok(facts) = fs::metadata(root.join(path.trim_start_matches('/'))) else {
        println!("skipped: the own control group is not in this tree");
        return;
    };
    match cgroups.by_handle(CgroupId(facts.ino())) {
        Some(found) => assert_eq!(String::from_utf8(found).unwrap(), path.trim_start_matches('/')),
        None => assert!(cgroups.handles.is_none(), "it was refused and is tried again"),
    }
}

#[test]
fn whose_names_are_known_depends_on_what_is_mounted_and_allowed() {
    let root = tempfile::tempdir().unwrap();
    let found_by_name = Reach::EndedInLiving(root.path().into());
    assert_eq!(Cgroups::below(Some(root.path().into())).reach(), found_by_name);
    assert_eq!(Cgroups::below(None).reach(), Reach::Living);
}
