//! Recordings in parts, of which the oldest go.

use std::fs::File;

use super::*;
use crate::capture::store::{self, Store, now_ns};
use crate::capture::{Files, Keep, Sealer};

pub(super) fn drained(sealer: &Sealer) {
    wait_until("what waits is written", || sealer.waits() == 0);
}

/// The lines of all parts in a folder without their first ones, which are checked; and how many bytes the files have.
pub(super) fn parts(folder: &Path) -> (Vec<u32>, Vec<u8>, u64) {
    let (mut numbers, mut all, mut bytes) = (Vec::new(), Vec::new(), 0);
    for path in Files::find(&[folder.to_owned()]).unwrap().paths {
        let number = crate::capture::part_number(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let (lines, damages) = read(&path);
        assert_eq!(damages, [], "part {number}");
        let lines = lines.strip_prefix(header(Some(number)).as_slice());
        all.extend_from_slice(lines.unwrap_or_else(|| panic!("part {number} begins otherwise")));
        numbers.push(number);
        bytes += path.metadata().unwrap().len();
    }
    (numbers, all, bytes)
}

#[test]
fn no_more_bytes_are_kept_than_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let limit = 4 << 20;
    let mut recorder = record(Target::folder(folder.path(), Keep::Bytes(limit)).unwrap());
    let sealer = recorder.sealer();
    let all: Vec<_> = (0..16).map(|frame| lines(frame * 5000, 5000, 200)).collect();
    for frame in &all {
        recorder.append(frame);
        drained(&sealer);
    }
    let outcome = recorder.finish();
    outcome.synced.unwrap();
    let (numbers, kept, bytes) = parts(folder.path());
    let all = all.concat();
    assert!(all.ends_with(&kept), "what is kept is not the end of what was recorded");
    assert!((limit * 3 / 4..=limit).contains(&bytes), "{bytes} bytes are kept of {limit}");
    assert!(outcome.state.written_bytes > 2 * limit, "{:?}", outcome.state);
    let last = u32::try_from(outcome.state.parts).unwrap();
    assert_eq!(numbers, Vec::from_iter(numbers[0]..=last), "parts are missing between others");
    assert!(numbers.len() > 3, "{numbers:?}");
}

#[test]
fn no_older_parts_are_kept_than_asked_for_and_no_younger_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Duration::from_secs(2);
    let mut recorder = record(Target::folder(folder.path(), Keep::For(keep)).unwrap());
    let mut appended = Vec::new();
    let mut number = 0;
    let first = folder.path().join("000001.jsonl.zst");
    wait_until("there is a part", || first.exists());
    wait_until("the first part is too old", || {
        let line = lines(number, 1, 10);
        recorder.append(&line);
        appended.push((Instant::now(), line));
        number += 1;
        std::thread::sleep(Duration::from_millis(20));
        !first.exists()
    });
    let since = Instant::now() - keep;
    let state = recorder.finish().state;
    let (numbers, kept, _) = parts(folder.path());
    let young: Vec<_> =
        appended.iter().filter(|(at, _)| *at > since).map(|(_, line)| line.as_slice()).collect();
    assert!(kept.ends_with(&young.concat()), "lines of the last two seconds are gone");
    let all: Vec<_> = appended.iter().map(|(_, line)| line.as_slice()).collect();
    assert!(all.concat().ends_with(&kept) && kept.len() < all.concat().len());
    assert_eq!(numbers, Vec::from_iter(2..=u32::try_from(state.parts).unwrap()));
}

#[test]
fn a_part_is_as_old_as_its_last_frame_however_long_nothing_followed() {
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep::For(Duration::from_secs(3600));
    let opened = File::open(folder.path()).unwrap();
    let mut store = Store::folder(opened, folder.path().to_owned(), keep, Vec::new());
    store.part().unwrap();
    store.write(b"a frame").unwrap();
    let written_ns = now_ns();
    std::thread::sleep(Duration::from_millis(20));
    store.end_part();
    let store::Files::Parts { kept, .. } = &store.files else { panic!("no parts: {store:?}") };
    assert!(kept[0].ended_ns <= written_ns, "{kept:?} was written before {written_ns}");
}
