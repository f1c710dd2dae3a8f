//! Where recordings go, and where not.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use nix::unistd::{Uid, chown, geteuid};

use super::*;
use crate::capture::Keep;

const KEEP: Keep = Keep::For(Duration::from_secs(3600));

/// A folder with all that can be in the way.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, mode) in [
        ("own", 0o700),
        ("seen", 0o755),
        ("group", 0o775),
        ("all", 0o777),
        ("sticky", 0o1777),
        ("parts", 0o700),
    ] {
        std::fs::create_dir(root.join(name)).unwrap();
        std::fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    std::fs::write(root.join("old"), "old").unwrap();
    std::fs::write(root.join("parts/000007.jsonl.zst"), "old").unwrap();
    symlink("old", root.join("link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("own", root.join("link_to_own")).unwrap();
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    folder
}

#[test]
fn files_are_made_where_nobody_else_can_touch_them() {
    let folder = folder();
    for (name, force, wanted) in [
        ("own/new", false, "made"),
        ("seen/new", false, "made"),
        ("sticky/new", false, "made"),
        ("link_to_own/new2", false, "made"),
        ("old", true, "made"),
        ("group/new", false, "others may write to the folder"),
        ("group/new", true, "others may write to the folder"),
        ("all/new", false, "others may write to the folder"),
        ("old", false, "the file exists\nhint: --force"),
        ("link", false, "this is a symbolic link, and recordings go to regular files"),
        ("link", true, "this is a symbolic link, and recordings go to regular files"),
        ("dangling", false, "this is a symbolic link, and recordings go to regular files"),
        ("own", true, "this is a folder, and recordings go to regular files"),
        ("own/", true, "this is a folder, and recordings go to regular files"),
        ("pipe", true, "this is a pipe, and recordings go to regular files"),
        ("nowhere/new", false, "No such file or directory"),
        ("own/..", false, "this names no file"),
        ("old/new", false, "Not a directory"),
    ] {
        let path = folder.path().join(name);
        let made = match Target::file(&path, force) {
            Ok(target) => {
                record(target).finish().synced.map_or_else(|error| error.to_string(), |()| "made".to_owned())
            }
            Err(error) => error.to_string(),
        };
        assert!(made.contains(wanted), "{name} (force: {force}): {made}\nwanted: {wanted}");
        if wanted == "made" {
            assert_eq!(read(&path), (header(None), vec![]), "{name}");
        }
    }
    assert!(!folder.path().join("nowhere").exists(), "something was written through a link");
}

#[test]
fn folders_of_parts_are_their_owners_alone() {
    let folder = folder();
    for (name, wanted) in [
        ("own", "1"),
        ("seen", "1"),
        ("sticky/new", "1"),
        ("own/new/", "1"),
        ("parts", "8"),
        ("group", "others may write to the folder"),
        ("group/new", "others may write to the folder"),
        ("sticky", "others may write to the folder"),
        ("old", "this is a file, and recordings go to folders"),
        ("link_to_own", "this is a symbolic link, and recordings go to folders"),
        ("link_to_own/", "this is a symbolic link, and recordings go to folders"),
        ("dangling", "this is a symbolic link, and recordings go to folders"),
        ("nowhere/new", "No such file or directory"),
    ] {
        let path = folder.path().join(name);
        let made = match Target::folder(&path, KEEP) {
            Ok(target) => {
                drop(record(target).finish());
                let number: u32 = wanted.parse().unwrap();
                let part = path.join(format!("{number:06}.jsonl.zst"));
                assert_eq!(read(&part), (header(Some(number)), vec![]), "{name}");
                wanted.to_owned()
            }
            Err(error) => error.to_string(),
        };
        assert!(made.contains(wanted), "{name}: {made}\nwanted: {wanted}");
    }
    let mode = |name| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("own/new"), mode("sticky/new"), mode("own/new/000001.jsonl.zst")),
        (0o700, 0o700, 0o600)
    );
    assert_eq!(std::fs::read(folder.path().join("parts/000007.jsonl.zst")).unwrap(), b"old");
}

#[test]
fn an_old_capture_stays_until_recording_begins() {
    let folder = folder();
    let path = folder.path().join("old");
    let target = Target::file(&path, true).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"old", "gone before recording began");
    drop(target);
    assert_eq!(std::fs::read(&path).unwrap(), b"old", "gone, and recording never began");
    // A folder that takes its place in the meantime is not replaced, and all is counted.
    let target = Target::file(&path, true).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let mut recorder = record(target);
    recorder.append(&lines(0, 3, 10));
    let outcome = recorder.finish();
    assert!(outcome.synced.is_err(), "it did not take its name");
    let state = outcome.state;
    let first = frames(&[header(None)]).concat().len() as u64;
    assert_eq!((state.lost_lines, state.written_bytes), (3, first), "{state:?}");
    assert!(path.is_dir());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".portwatch")), "{left:?}");
}

#[test]
fn two_recordings_do_not_share_a_folder() {
    let folder = folder();
    for name in ["own", "own/new"] {
        let path = folder.path().join(name);
        let first = record(Target::folder(&path, KEEP).unwrap());
        let refused = Target::folder(&path, KEEP).unwrap_err().to_string();
        assert!(refused.ends_with("another recording goes there"), "{refused}");
        drop(first.finish());
        drop(record(Target::folder(&path, KEEP).unwrap()).finish());
    }
}

#[test]
fn folders_of_other_users_are_refused() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can give folders away");
        return;
    }
    let folder = folder();
    for name in ["seen", "own"] {
        let another = folder.path().join(name);
        chown(&another, Some(Uid::from_raw(65534)), None).unwrap();
        for (refused, what) in [
            (Target::file(&another.join("new"), false), "a file"),
            (Target::folder(&another, KEEP), "a folder"),
            (Target::folder(&another.join("new"), KEEP), "a new folder"),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("belongs to another user (uid 65534)\nhint: "), "{what}: {refused}");
        }
    }
    drop(record(Target::file(&folder.path().join("sticky/new"), false).unwrap()).finish());
}

#[test]
fn recording_goes_to_the_folder_that_was_looked_at_whatever_has_its_name_by_then() {
    let folder = folder();
    let (path, moved) = (folder.path().join("parts"), folder.path().join("moved"));
    let target = Target::folder(&path, KEEP).unwrap();
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("000050.jsonl.zst"), "another").unwrap();
    drop(record(target).finish());
    assert_eq!(read(&moved.join("000008.jsonl.zst")), (header(Some(8)), vec![]));
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1, "something was written to the other folder");
}
