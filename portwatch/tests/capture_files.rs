//! What a recorder and a reader cost, and limits of the process: one after the other, as they are about all of it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portwatch::capture::{Chunk, Loss, Reader, Recorder, State, Target};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record(path: &Path) -> Recorder {
    let loss_line = |loss: &Loss| format!("lost {} lines: {}\n", loss.lines, loss.error).into_bytes();
    let target = Target::file(path, false).unwrap();
    Recorder::start(target, |_| b"{\"type\":\"start\"}\n".to_vec(), loss_line, |_| (), |_| ()).unwrap()
}

fn wait_until(
    what: &str,
    recorder: &mut Recorder,
    is_so: impl Fn(&State) -> bool,
    mut meanwhile: impl FnMut(&mut Recorder),
) {
    let begun = Instant::now();
    while !is_so(&recorder.state()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not after 30 s: {:?}", recorder.state());
        meanwhile(recorder);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number of kilobytes, or of events, that the kernel tells of a task.
fn told(status: &Path, name: &str) -> u64 {
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The thread of the one recorder that there is.
fn thread_of_the_recorder() -> PathBuf {
    let mut threads = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    threads
        .find(|task| std::fs::read_to_string(task.join("comm")).unwrap().starts_with("portwatch-captu"))
        .unwrap()
}

fn line(number: u64) -> Vec<u8> {
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{{\"number\":{number},\"noise\":\"{noise:x}{:x}\"}}\n", noise.rotate_left(32)).into_bytes()
}

#[test]
fn a_recorder_sleeps_while_there_is_nothing_to_write() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = record(&folder.path().join("idle.jsonl.zst"));
    wait_until("it begins", &mut recorder, |state| state.parts == 1, |_| ());
    let begun = recorder.state().written_bytes;
    recorder.append(&line(1));
    wait_until("the line is written", &mut recorder, |state| state.written_bytes > begun, |_| ());
    let thread = thread_of_the_recorder().join("status");
    // It has said that the frame is written, and goes to sleep.
    std::thread::sleep(Duration::from_millis(300));
    let wakes = || told(&thread, "voluntary_ctxt_switches") + told(&thread, "nonvoluntary_ctxt_switches");
    let (before, written) = (wakes(), recorder.state().written_bytes);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(wakes(), before, "it woke up");
    // Each line on its own does not wake it, either: once for the first one, once to write them.
    for number in 0..2000 {
        recorder.append(&line(number));
    }
    wait_until("the lines are written", &mut recorder, |state| state.written_bytes > written, |_| ());
    let woken = wakes() - before;
    assert!(woken <= 20, "{woken} switches for one frame");
    assert_eq!(recorder.finish().state.lost_lines, 0);
}

#[test]
fn a_limit_of_the_size_of_files_is_an_error_and_not_the_end() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limited.jsonl.zst");
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 64 << 10, hard).unwrap();
    let mut recorder = record(&path);
    let mut number = 0;
    let mut more = |recorder: &mut Recorder| {
        for _ in 0..100 {
            recorder.append(&line(number));
            number += 1;
        }
    };
    wait_until("it fails", &mut recorder, |state| state.last_error.is_some(), &mut more);
    let error = recorder.state().last_error.unwrap();
    assert!(error.contains("File too large"), "{error}");
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).unwrap();
    let stuck = recorder.state().written_bytes;
    wait_until("it goes on", &mut recorder, |state| state.written_bytes > stuck, &mut more);
    let state = recorder.finish().state;
    let mut reader = Reader::open(&path).unwrap();
    let mut told = false;
    while let Some(chunk) = reader.next() {
        let Chunk::Lines(lines) = chunk else { panic!("{chunk:?}") };
        let wanted = format!("lost {} lines: File too large", state.lost_lines);
        told |= String::from_utf8_lossy(lines).contains(&wanted);
    }
    assert!(told, "the file does not tell: {state:?}");
}

/// Writes pieces into one frame that may look back as far as is allowed.
fn one_frame(file: &File, pieces: impl Iterator<Item = Vec<u8>>) {
    let mut encoder = zstd::stream::Encoder::new(file, 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.window_log(23).unwrap();
    for piece in pieces {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap();
}

/// A line of so many mebibytes, in pieces that do not compress as if it were a bomb.
fn long(mebibytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let middle = (1..=mebibytes).map(|piece| {
        let mut noise = piece;
        let mut bytes = vec![0; 1 << 20];
        for byte in &mut bytes {
            noise = noise.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            *byte = b'a' + u8::try_from(noise >> 60).unwrap();
        }
        bytes
    });
    std::iter::once(b"{\"long\":\"".to_vec()).chain(middle).chain(std::iter::once(b"\"}\n".to_vec()))
}

/// What it is, and who writes it.
type Row = (&'static str, fn(&File));

#[test]
fn reading_takes_bounded_memory_whatever_the_file_holds() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let make: [Row; 6] = [
        ("a frame of many lines", |file| one_frame(file, (0..500_000).map(line))),
        ("long lines", |file| one_frame(file, (0..3).flat_map(|_| long(15)))),
        ("long lines in frames of their own", |file| (0..3).for_each(|_| one_frame(file, long(15)))),
        ("a line that is too long", |file| one_frame(file, long(30))),
        ("a bomb", |file| one_frame(file, (0..1024).map(|_| vec![0; 1 << 20]))),
        ("lines without frames", |mut file| {
            (0..3).flat_map(|_| long(16)).for_each(|piece| file.write_all(&piece).unwrap());
        }),
    ];
    // Piece by piece, as what the allocator keeps of this would hide what reading takes.
    for (what, make) in make {
        make(&File::create(folder.path().join(what)).unwrap());
    }
    let status = Path::new("/proc/self/status");
    let before = told(status, "VmRSS");
    for (what, _) in make {
        // From here on the highest is that of this file.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let mut reader = Reader::open(&folder.path().join(what)).unwrap();
        let mut read = 0;
        while let Some(chunk) = reader.next() {
            read += match chunk {
                Chunk::Lines(lines) => lines.len() as u64,
                Chunk::Damage(damage) => damage.bytes,
            };
        }
        assert!(read > 0, "{what}: nothing was read");
        let kibibytes = told(status, "VmHWM") - before;
        println!("{what}: {kibibytes} KiB");
        // A line of 17 MiB, what it may look back to, and buffers.
        assert!(kibibytes <= 32 << 10, "{what}: {kibibytes} KiB");
    }
}
