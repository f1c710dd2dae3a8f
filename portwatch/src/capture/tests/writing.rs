//! What was appended is in the file.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::capture::waiting::FLUSH;

#[test]
fn what_was_appended_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for (what, number, width) in [
        ("nothing", 0, 0),
        ("one line", 1, 0),
        ("a frame", 100, 100),
        ("many frames", 40_000, 200),
        ("long lines", 3, 5 << 20),
    ] {
        let path = folder.path().join(format!("{what}.jsonl.zst"));
        let mut recorder = record(Target::file(&path, false).unwrap());
        let all = lines(0, number, width);
        for line in all.split_inclusive(|byte| *byte == b'\n') {
            recorder.append(line);
            // As fast as a storm, not as fast as memory.
            while recorder.sealer().waits() > 4 << 20 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let outcome = recorder.finish();
        outcome.synced.unwrap();
        assert_eq!(outcome.state.lost_lines, 0, "{what}");
        assert_eq!(outcome.state.written_bytes, path.metadata().unwrap().len(), "{what}");
        let (read, damages) = read(&path);
        assert!(read == [header(None), all].concat(), "{what}: other lines: {}", text(&read));
        assert_eq!(damages, [], "{what}");
    }
}

#[test]
fn a_line_is_in_the_file_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.jsonl.zst");
    let mut recorder = record(Target::file(&path, false).unwrap());
    for number in 0..3 {
        let appended = Instant::now();
        recorder.append(&lines(number, 1, 10));
        let wanted = [header(None), lines(0, number + 1, 10)].concat();
        while read(&path).0 != wanted {
            // Far more than it may take, on a machine that is busy with other tests.
            assert!(appended.elapsed() < 20 * FLUSH, "line {number} is not there");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(appended.elapsed() >= FLUSH / 2, "line {number} got a frame of its own at once");
    }
    drop(recorder.finish());
    let each = frames(&[header(None), lines(0, 1, 10), lines(1, 1, 10), lines(2, 1, 10)]);
    assert!(std::fs::read(&path).unwrap() == each.concat(), "other frames");
}

#[test]
fn the_file_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.jsonl.zst");
    let recorder = record(Target::file(&path, false).unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    drop(recorder.finish());
}

#[test]
fn frames_are_about_a_mebibyte_and_hold_whole_lines() {
    let all = lines(0, 30_000, 100);
    let mut rest = all.as_slice();
    let mut sizes = Vec::new();
    while !rest.is_empty() {
        let (these, others) = crate::capture::frame::cut(rest);
        assert!(these.ends_with(b"\n"));
        sizes.push(these.len());
        rest = others;
    }
    assert_eq!(sizes.iter().sum::<usize>(), all.len());
    let (last, full) = sizes.split_last().unwrap();
    assert!(
        full.iter().all(|size| (1_048_000..=1_048_576).contains(size)) && *last <= 1_048_576,
        "{sizes:?}"
    );
}

#[test]
fn a_recorder_that_is_dropped_hangs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dropped.jsonl.zst");
    let mut recorder = record(Target::file(&path, false).unwrap());
    recorder.append(&lines(0, 10, 10));
    let sealer = recorder.sealer();
    drop(recorder);
    sealer.seal("after its end");
    let wanted = [header(None), lines(0, 10, 10)].concat();
    let begun = Instant::now();
    while read(&path).0 != wanted {
        assert!(begun.elapsed() < Duration::from_secs(20), "what was appended is not written");
        std::thread::sleep(Duration::from_millis(5));
    }
}
