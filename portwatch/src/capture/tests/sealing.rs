//! Sealed copies: whole, or not there, and said.

use std::path::PathBuf;

use super::keeping::{drained, parts};
use super::*;
use crate::capture::Keep;

const KEEP: Keep = Keep::For(Duration::from_secs(3600));

fn sealed_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut sealed: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_string_lossy().contains("sealed-")).collect();
    // Of the same second the one with a number is the later one.
    sealed.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    sealed
}

#[test]
fn a_sealed_copy_of_parts_outlives_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = record(Target::folder(folder.path(), Keep::Bytes(1 << 20)).unwrap());
    let sealer = recorder.sealer();
    let first = lines(0, 3000, 200);
    recorder.append(&first);
    sealer.seal("a test");
    wait_until("it is sealed", || recorder.state().sealed == 1);
    let second = lines(3000, 3000, 200);
    recorder.append(&second);
    sealer.seal("a test");
    wait_until("it is sealed again", || recorder.state().sealed == 2);
    for frame in 2..6 {
        recorder.append(&lines(frame * 5000, 5000, 200));
        drained(&sealer);
    }
    let state = recorder.finish().state;
    assert_eq!((state.sealed, state.seal_errors, state.lost_lines), (2, 0, 0), "{state:?}");
    let sealed = sealed_in(folder.path());
    let (numbers, lines, _) = parts(&sealed[0]);
    assert!(numbers == [1] && lines == first, "{numbers:?}");
    let (numbers, lines, _) = parts(&sealed[1]);
    assert!(numbers == [1, 2] && lines == [first, second].concat(), "{numbers:?}");
    assert!(parts(folder.path()).0[0] > 2, "the parts are still there");
}

#[test]
fn a_sealed_copy_of_a_file_holds_what_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.jsonl.zst");
    let mut recorder = record(Target::file(&path, false).unwrap());
    let sealer = recorder.sealer();
    let first = lines(0, 3000, 200);
    recorder.append(&first);
    sealer.seal("a test");
    wait_until("it is sealed", || recorder.state().sealed == 1);
    recorder.append(&lines(3000, 10, 10));
    sealer.seal("a test");
    assert_eq!(recorder.finish().state.sealed, 2);
    let sealed = sealed_in(folder.path());
    assert!(read(&sealed[0]) == ([header(None), first.clone()].concat(), vec![]), "{sealed:?}");
    assert!(read(&sealed[1]) == ([header(None), first, lines(3000, 10, 10)].concat(), vec![]), "{sealed:?}");
    let name = sealed[0].file_name().unwrap().to_str().unwrap();
    let time = name.strip_prefix("capture.sealed-").and_then(|rest| rest.strip_suffix("Z.jsonl.zst"));
    assert!(time.is_some_and(|time| time.len() == "20261123T101500".len()), "{name}");
}

#[test]
fn where_a_sealed_copy_is_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capture.jsonl.zst");
    let parts = folder.path().join("parts");
    for (target, within) in [
        (Target::file(&file, false).unwrap(), folder.path()),
        (Target::folder(&parts, KEEP).unwrap(), parts.as_path()),
    ] {
        let mut recorder = record(target);
        recorder.append(&lines(0, 10, 10));
        recorder.sealer().seal("a test");
        let state = recorder.finish().state;
        let sealed = sealed_in(within);
        assert_eq!((state.sealed, state.last_sealed.as_ref()), (1, sealed.first()), "{sealed:?}");
        assert_eq!(notices(&sealed[0]), ["sealed a copy in … (a test)"]);
    }
}

#[test]
fn a_copy_that_cannot_be_made_whole_leaves_nothing_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = record(Target::folder(folder.path(), KEEP).unwrap());
    let sealer = recorder.sealer();
    recorder.append(&lines(0, 10, 10));
    sealer.seal("a test");
    wait_until("it is sealed", || recorder.state().sealed == 1);
    // Neither hangs whoever opens it, nor is it copied.
    let part = folder.path().join("000001.jsonl.zst");
    std::fs::remove_file(&part).unwrap();
    nix::unistd::mkfifo(&part, nix::sys::stat::Mode::S_IRWXU).unwrap();
    recorder.append(&lines(10, 10, 10));
    sealer.seal("another test");
    let state = recorder.finish().state;
    assert_eq!((state.sealed, state.seal_errors), (1, 1), "{state:?}");
    assert_eq!(sealed_in(folder.path()).len(), 1);
    let wanted = "sealing a copy of … (another test) failed: 000001.jsonl.zst is not a regular file";
    assert_eq!(notices(folder.path()).last().unwrap(), wanted);
}

#[test]
fn names_of_copies_that_are_taken_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.jsonl.zst");
    let mut recorder = record(Target::file(&path, false).unwrap());
    recorder.append(&lines(0, 10, 10));
    for number in 1..=5 {
        recorder.sealer().seal("a test");
        wait_until("it is sealed", || recorder.state().sealed == number);
    }
    drop(recorder.finish());
    let sealed = sealed_in(folder.path());
    assert_eq!(sealed.len(), 5);
    for copy in sealed {
        assert_eq!(read(&copy), ([header(None), lines(0, 10, 10)].concat(), vec![]), "{copy:?}");
    }
}
