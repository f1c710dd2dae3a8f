//! The Debian package: what is there once it is installed, and what is left when it is gone.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that are not the package's: of the kernel, of the tests, of dpkg itself.
const OTHERS: [&str; 7] = ["/proc", "/sys", "/dev", "/tmp", "/run", "/var/lib/dpkg", "/var/log"];

/// The executable that other tests use, in whose place the package's comes; put back at the end.
struct Aside(Vec<u8>);

const EXECUTABLE: &str = "/usr/bin/portwatch";

impl Aside {
    fn new() -> Self {
        let aside = Self(fs::read(EXECUTABLE).unwrap());
        fs::remove_file(EXECUTABLE).unwrap();
        aside
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        fs::write(EXECUTABLE, &self.0).unwrap();
        fs::set_permissions(EXECUTABLE, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Everything in the file system but what [`OTHERS`] have.
fn everything() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("/")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            if OTHERS.iter().any(|other| path == Path::new(other)) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

/// `dpkg ARGS`, which must end well; what it said.
fn dpkg(args: &[&str]) -> String {
    let output = Command::new("dpkg").args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "dpkg {args:?}: {said}");
    said
}

/// What dpkg's own installation would have made.
fn empty_database() {
    for folder in ["info", "updates", "triggers", "parts", "alternatives"] {
        fs::create_dir_all(Path::new("/var/lib/dpkg").join(folder)).unwrap();
    }
    for file in ["status", "available"] {
        fs::write(Path::new("/var/lib/dpkg").join(file), "").unwrap();
    }
}

#[test]
fn the_package_brings_all_that_it_promises_and_leaves_nothing_but_what_was_recorded() {
    let package = std::env::var("PORTWATCH_DEB").unwrap();
    empty_database();
    let _aside = Aside::new();
    let before = everything();

    dpkg(&["--install", &package]);
    let version = Command::new(EXECUTABLE).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("portwatch "), "{version:?}");
    let promised = [
        "/usr/lib/systemd/system/portwatch.service",
        "/usr/share/man/man1/portwatch.1.gz",
        "/usr/share/man/man1/portwatch-trace.1.gz",
        "/usr/share/man/man1/portwatch-doctor.1.gz",
        "/usr/share/bash-completion/completions/portwatch",
        "/usr/share/zsh/vendor-completions/_portwatch",
        "/usr/share/fish/vendor_completions.d/portwatch.fish",
        "/usr/share/doc/portwatch/copyright",
        "/usr/share/doc/portwatch/changelog.gz",
    ];
    for file in promised {
        assert!(fs::metadata(file).is_ok_and(|file| file.len() > 0), "{file}");
    }
    let enabled = Path::new("/etc/systemd/system/multi-user.target.wants/portwatch.service");
    assert!(!enabled.is_symlink(), "the unit is not enabled");
    let listed = dpkg(&["--verify", "portwatch"]);
    assert_eq!(listed, "", "every file is as it was packaged");

    let recorded = Path::new("/var/lib/portwatch/today.jsonl.zst");
    fs::create_dir_all(recorded.parent().unwrap()).unwrap();
    fs::write(recorded, "recorded").unwrap();
    dpkg(&["--remove", "portwatch"]);
    assert!(!Path::new(EXECUTABLE).exists());
    let said = dpkg(&["--purge", "portwatch"]);
    let left: Vec<PathBuf> = everything().difference(&before).cloned().collect();
    let users = [recorded.parent().unwrap().to_owned(), recorded.to_owned()];
    assert_eq!(left, users, "{said}");
    assert_eq!(fs::read(recorded).unwrap(), b"recorded");
    assert!(before.is_subset(&everything()), "only what it brought is taken away: {said}");
    fs::remove_dir_all(recorded.parent().unwrap()).unwrap();
}
