//! Disks that are full, slow or read-only: recording goes on, and nothing is lost unsaid.

use std::time::SystemTime;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::capture::frame::count;
use crate::capture::waiting::{Dropped, Room, Waiting};
use crate::capture::{Keep, Sealer, State};

/// Does `test` in a folder that is a file system of so many bytes, which nobody else sees. Without privileges that is not
/// to be had, and it says so.
fn on_disk_of(bytes: u64, test: impl FnOnce(&Path) + Send) {
    on_disk(&format!("size={bytes}"), test);
}

fn on_disk(size: &str, test: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
                eprintln!("skipped: a mount namespace is needed: {error}");
                return;
            }
            let nothing: Option<&str> = None;
            mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
            let options = format!("{size},mode=0700");
            mount(Some("small"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
                .unwrap();
            test(folder.path());
        });
    });
}

fn remount(folder: &Path, flags: MsFlags) {
    let nothing: Option<&str> = None;
    mount(nothing, folder, nothing, MsFlags::MS_REMOUNT | flags, nothing).unwrap();
}

/// Appends lines until the recording is in a state.
fn append_until(
    recorder: &mut Recorder,
    appended: &mut Vec<Vec<u8>>,
    what: &str,
    is_so: impl Fn(&State) -> bool,
) {
    let begun = Instant::now();
    while !is_so(&recorder.state()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not after 30 s: {:?}", recorder.state());
        let next = lines(appended.len() as u64 * 10, 10, 200);
        recorder.append(&next);
        appended.push(next);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lines of a file that say what is missing, and the others.
fn gaps_and_lines(path: &Path) -> (Vec<String>, Vec<u8>) {
    let (all, damages) = read(path);
    assert_eq!(damages, []);
    let (mut gaps, mut others) = (Vec::new(), Vec::new());
    for line in all.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"{\"type\":\"gap\"") {
            gaps.push(text(line));
        } else {
            others.extend_from_slice(line);
        }
    }
    (gaps, others)
}

fn unix_ns() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since_1970.as_nanos()).unwrap()
}

fn number(gap: &str, name: &str) -> u64 {
    let rest = gap.split(&format!("\"{name}\":")).nth(1).unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_full_disk_costs_what_is_said_in_the_file_when_there_is_room_again() {
    let begun_ns = unix_ns();
    on_disk_of(512 << 10, |folder| {
        let (path, filler) = (folder.join("capture.jsonl.zst"), folder.join("filler"));
        std::fs::write(&filler, vec![0; 256 << 10]).unwrap();
        let mut recorder = record(Target::file(&path, false).unwrap());
        let mut appended = Vec::new();
        append_until(&mut recorder, &mut appended, "the disk is full", |state| state.lost_lines > 0);
        let failed = recorder.state();
        assert!(
            failed.last_error.as_ref().is_some_and(|error| error.contains("No space left")),
            "{failed:?}"
        );
        // Whole frames, although the last one was not: a reader that comes now finds no damage.
        let (gaps, before) = gaps_and_lines(&path);
        assert_eq!(gaps, Vec::<String>::new());
        append_until(&mut recorder, &mut appended, "more is lost", |state| {
            state.lost_lines > failed.lost_lines
        });
        std::fs::remove_file(&filler).unwrap();
        let stuck = recorder.state().written_bytes;
        append_until(&mut recorder, &mut appended, "it goes on", |state| state.written_bytes > stuck);
        let state = recorder.finish().state;
        let (gaps, written) = gaps_and_lines(&path);
        let told = gaps.iter().map(|gap| (number(gap, "lines"), number(gap, "bytes")));
        let told = told.fold((0, 0), |sum, gap| (sum.0 + gap.0, sum.1 + gap.1));
        assert_eq!(told, (state.lost_lines, state.lost_bytes), "{gaps:?}");
        assert!(gaps[0].contains("No space left"), "{gaps:?}");
        let (from, to) = (number(&gaps[0], "from"), number(&gaps[0], "to"));
        assert!(begun_ns < from && from < to && to < unix_ns(), "{gaps:?} since {begun_ns}");
        let said = notices(&path);
        assert!(said[0].starts_with("recording to … failed: No space left on device"), "{said:?}");
        assert!(said[0].ends_with("; watching goes on") && said[1] == "recording to … goes on", "{said:?}");
        let all = appended.concat();
        assert_eq!(count(&written) - 1 + state.lost_lines, count(&all), "{gaps:?}");
        assert!(written.starts_with(&before));
        let last = appended.last().unwrap();
        assert!(written.ends_with(last) && all.ends_with(last), "the last lines are missing");
        assert_eq!(path.metadata().unwrap().len(), state.written_bytes);
    });
}

#[test]
fn of_parts_the_oldest_go_before_anything_is_lost_on_a_full_disk() {
    on_disk_of(600 << 10, |folder| {
        let keep = Keep::Bytes(1 << 20);
        let mut recorder = record(Target::folder(&folder.join("parts"), keep).unwrap());
        append_until(&mut recorder, &mut Vec::new(), "twice the disk is written", |state| {
            state.written_bytes > 1200 << 10 || state.lost_lines > 0
        });
        let state = recorder.finish().state;
        assert_eq!((state.lost_lines, state.last_error), (0, None));
        assert!(state.parts_for_room > 1, "parts went unsaid: {}", state.parts_for_room);
        let wanted = "no room to record to …: the oldest parts go before their time";
        assert_eq!(notices(&folder.join("parts")), [wanted]);
    });
}

#[test]
fn parts_whose_room_sealed_copies_hold_are_not_deleted_in_vain() {
    on_disk_of(1 << 20, |folder| {
        let parts = folder.join("parts");
        let mut recorder = record(Target::folder(&parts, Keep::Bytes(1 << 20)).unwrap());
        let mut appended = Vec::new();
        append_until(&mut recorder, &mut appended, "there are parts", |state| state.parts == 4);
        recorder.sealer().seal("a test");
        wait_until("it is sealed", || recorder.state().sealed == 1);
        // Nothing is being written now.
        assert!(std::fs::write(folder.join("filler"), vec![0; 1 << 20]).is_err(), "the disk is not full");
        append_until(&mut recorder, &mut appended, "it fails", |state| state.lost_lines > 0);
        let failed = recorder.state();
        append_until(&mut recorder, &mut appended, "it fails again", |state| {
            state.lost_lines > failed.lost_lines
        });
        let state = recorder.finish().state;
        assert_eq!((state.parts_for_room, failed.parts_for_room), (2, 2), "{state:?}");
        assert!(!parts.join("000002.jsonl.zst").exists() && parts.join("000003.jsonl.zst").exists());
    });
}

#[test]
fn the_oldest_parts_go_when_there_can_be_no_more_files() {
    on_disk("nr_inodes=7", |folder| {
        let mut states = Vec::new();
        for _ in 0..10 {
            let target = Target::folder(&folder.join("parts"), Keep::Bytes(1 << 20)).unwrap();
            let mut recorder = record(target);
            recorder.append(&lines(0, 1, 10));
            states.push(recorder.finish().state);
        }
        assert!(states.iter().all(|state| state.lost_lines == 0), "{states:?}");
        assert!(states[0].parts_for_room == 0 && states[9].parts_for_room == 1, "{states:?}");
    });
}

#[test]
fn a_copy_for_which_there_is_no_room_leaves_nothing() {
    on_disk_of(512 << 10, |folder| {
        let path = folder.join("capture.jsonl.zst");
        let mut recorder = record(Target::file(&path, false).unwrap());
        append_until(&mut recorder, &mut Vec::new(), "more than half is full", |state| {
            state.written_bytes > 270 << 10
        });
        recorder.sealer().seal("a test");
        let state = recorder.finish().state;
        assert_eq!((state.sealed, state.seal_errors, state.last_sealed), (0, 1, None));
        let said = notices(&path).pop().unwrap();
        assert!(said.starts_with("sealing a copy of … (a test) failed: No space left"), "{said}");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "what is not whole is still there");
    });
}

#[test]
fn a_disk_that_is_or_gets_read_only_is_said() {
    on_disk_of(1 << 20, |folder| {
        let path = folder.join("capture.jsonl.zst");
        remount(folder, MsFlags::MS_RDONLY);
        let refused = Target::file(&path, false).unwrap_err().to_string();
        assert!(refused.contains("Read-only file system"), "{refused}");
        remount(folder, MsFlags::empty());
        let target = Target::file(&path, false).unwrap();
        remount(folder, MsFlags::MS_RDONLY);
        let Err(refused) = Recorder::start(target, header, loss_line, notice, |_| ()) else {
            panic!("a file was made")
        };
        assert!(
            refused.to_string().contains("make the file: ") && refused.to_string().contains("Read-only"),
            "{refused}"
        );
        remount(folder, MsFlags::empty());
        let keep = Keep::Bytes(8 << 20);
        let mut recorder = record(Target::folder(&folder.join("parts"), keep).unwrap());
        let sealer = recorder.sealer();
        append_until(&mut recorder, &mut Vec::new(), "something is written", |state| {
            state.written_bytes > 1000
        });
        sealer.seal("to have no file open");
        append_until(&mut recorder, &mut Vec::new(), "it is sealed", |state| state.sealed == 1);
        sealed_and_read_only(folder, &mut recorder, &sealer);
    });
}

fn sealed_and_read_only(folder: &Path, recorder: &mut Recorder, sealer: &Sealer) {
    // A file that is open for writing does not let a file system become read-only.
    let begun = Instant::now();
    loop {
        sealer.seal("to have no file open");
        let nothing: Option<&str> = None;
        match mount(nothing, folder, nothing, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, nothing) {
            Ok(()) => break,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "remount: {error}"),
        }
    }
    append_until(recorder, &mut Vec::new(), "it fails", |state| state.lost_lines > 0);
    let error = recorder.state().last_error.unwrap();
    assert!(error.contains("Read-only file system"), "{error}");
    remount(folder, MsFlags::empty());
    let stuck = recorder.state().written_bytes;
    append_until(recorder, &mut Vec::new(), "it goes on", |state| state.written_bytes > stuck);
}

#[test]
fn what_waits_for_a_slow_disk_is_bounded_and_what_is_dropped_is_counted() {
    let waiting = Waiting::default();
    let frame = lines(0, 1000, 1000);
    let mut kept = 0;
    let mut dropped = Dropped::default();
    let begun_ns = i64::try_from(unix_ns()).unwrap();
    for _ in 0..20 {
        let missing = waiting.append(&frame, Room::Bounded);
        kept += frame.len() * usize::from(missing.lines == 0);
        dropped = dropped.and(missing);
    }
    let Dropped { lines: number, bytes, from_unix_ns, to_unix_ns } = dropped;
    assert!((8 << 20..10 << 20).contains(&kept), "{kept} bytes wait");
    assert_eq!(number, 20_000 - count(&frame) * (kept / frame.len()) as u64);
    assert_eq!(bytes, (frame.len() * 20 - kept) as u64);
    assert!(begun_ns < from_unix_ns && from_unix_ns < to_unix_ns, "{dropped:?} since {begun_ns}");
    assert_eq!(waiting.append(b"last\n", Room::Always), Dropped::default());
    let mut taken = Vec::new();
    let wishes = waiting.take(&mut taken, None);
    assert_eq!((taken.len(), wishes.dropped), (kept + 5, dropped));
    assert_eq!(waiting.append(&frame, Room::Bounded), Dropped::default(), "there is room again");
}
