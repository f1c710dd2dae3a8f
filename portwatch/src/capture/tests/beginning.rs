//! Recordings that begin, or do not after all.

use super::*;
use crate::capture::Keep;

const KEEP: Keep = Keep::For(Duration::from_secs(3600));

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_old_capture_stays_until_there_is_a_line_or_the_recording_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old");
    let written = [header(None), lines(0, 1, 10)].concat();
    for (number, wanted) in [(1, written), (0, header(None))] {
        std::fs::write(&path, "old").unwrap();
        let mut recorder = record(Target::file(&path, true).unwrap());
        wait_until("it begins", || recorder.state().parts == 1);
        assert_eq!(std::fs::read(&path).unwrap(), b"old", "gone before there was a line");
        recorder.append(&lines(0, number, 10));
        if number > 0 {
            wait_until("the line is there", || read(&path).0 == wanted);
        }
        recorder.finish().synced.unwrap();
        assert_eq!(read(&path), (wanted, vec![]), "{number} lines");
        assert_eq!(names(folder.path()), ["old"]);
    }
}

#[test]
fn what_is_abandoned_leaves_all_as_it_was() {
    for (what, force, has_old) in
        [("a file", false, false), ("an old one", true, true), ("none", true, false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        if has_old {
            std::fs::write(&path, "old").unwrap();
        }
        let recorder = record(Target::file(&path, force).unwrap());
        wait_until("it begins", || recorder.state().parts == 1);
        recorder.abandon();
        assert_eq!(names(folder.path()), vec!["capture"; usize::from(has_old)], "{what}");
        assert!(!has_old || std::fs::read(&path).unwrap() == b"old", "{what}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("000007.jsonl.zst"), "old").unwrap();
    let recorder = record(Target::folder(folder.path(), KEEP).unwrap());
    wait_until("it begins", || recorder.state().parts == 1);
    recorder.abandon();
    assert_eq!(names(folder.path()), ["000007.jsonl.zst"]);
}

#[test]
fn what_has_lines_is_not_lost_when_it_is_abandoned() {
    let folder = tempfile::tempdir().unwrap();
    for force in [false, true] {
        let path = folder.path().join(format!("force {force}"));
        let mut recorder = record(Target::file(&path, force).unwrap());
        recorder.append(&lines(0, 3, 10));
        recorder.abandon();
        assert_eq!(read(&path), ([header(None), lines(0, 3, 10)].concat(), vec![]), "force: {force}");
    }
}
