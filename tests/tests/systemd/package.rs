//! The package comes and goes while systemd runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::host::{
    RECORDED, Shortage, count_of, failures, install, property, purge, said, start, systemctl, times_ready,
    until,
};

const ENABLED: &str = "/etc/systemd/system/multi-user.target.wants/portwatch.service";
const EXECUTABLE: &str = "/usr/bin/portwatch";
/// Where packages put files, and where units keep theirs.
const FOLDERS: [&str; 3] = ["/usr", "/etc", "/var/lib"];
/// dpkg's own.
const DATABASE: &str = "/var/lib/dpkg";

fn everything() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = FOLDERS.map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.path() == Path::new(DATABASE) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn installed_it_is_known_and_does_nothing_until_it_is_asked_to() {
    purge();
    assert_eq!(property("LoadState"), "not-found");
    let ready = times_ready();
    install();
    // Nobody but the package has told systemd of it.
    let states = ["LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload"].map(property);
    assert_eq!(states, ["loaded", "disabled", "inactive", "no"]);
    assert!(!Path::new(ENABLED).is_symlink());
    systemctl(&["enable", "--now", "portwatch"]);
    until("the unit is ready", || times_ready() > ready);
    assert_eq!(["UnitFileState", "ActiveState", "Result"].map(property), ["enabled", "active", "success"]);
    assert_eq!(fs::read_link(RECORDED).unwrap(), Path::new("private/portwatch"));
}

#[test]
fn removed_while_it_records_it_is_stopped_and_leaves_what_was_recorded() {
    purge();
    let before = everything();
    start();
    systemctl(&["enable", "portwatch"]);
    let process = Path::new("/proc").join(property("MainPID"));
    let shortage = Shortage::new();
    shortage.fails("checkout.service", 20);
    said("dpkg", &["--remove", "portwatch"]);
    assert!(!process.exists(), "it runs still");
    assert!(!Path::new(EXECUTABLE).exists() && !Path::new(ENABLED).is_symlink());
    assert_eq!(["LoadState", "ActiveState"].map(property), ["not-found", "inactive"]);
    let purged = said("dpkg", &["--purge", "portwatch"]);
    assert!(purged.contains("/var/lib/portwatch"), "{purged}");
    let left: Vec<PathBuf> = everything().difference(&before).cloned().collect();
    let recorded = |path: &PathBuf| path.starts_with("/var/lib/private") || path == Path::new(RECORDED);
    assert!(left.iter().all(recorded), "{left:?}");
    assert!(before.is_subset(&everything()), "only what it brought is taken away");
    // Installed again it reads what is there.
    install();
    assert_eq!(count_of("checkout.service", &failures()), 20);
}
