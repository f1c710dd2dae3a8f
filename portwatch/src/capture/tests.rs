//! What tests of captures share: lines, recordings, and what a reader makes of a file.

mod beginning;
mod damage;
mod hostile;
mod keeping;
mod places;
mod reading;
mod sealing;
mod troubles;
mod writing;

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::frame::Frames;
use super::{Chunk, Damage, DamageKind, Loss, Reader, Recorder, Target};

/// As many lines, each its own, of `width` characters that hardly compress.
fn lines(from: u64, number: u64, width: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in from..from + number {
        lines.extend_from_slice(format!("{{\"type\":\"line\",\"number\":{line},\"noise\":\"").as_bytes());
        let mut noise = line.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..width {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            lines.push(b'0' + u8::try_from(noise % 64).unwrap() % 42);
        }
        lines.extend_from_slice(b"\"}\n");
    }
    lines
}

/// What is in each frame, made by a recorder's code, with the frames.
fn frames(contents: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut frames = Frames::new().unwrap();
    contents.iter().map(|lines| frames.frame(lines).unwrap().to_vec()).collect()
}

fn header(part: Option<u32>) -> Vec<u8> {
    format!("{{\"type\":\"start\",\"part\":{}}}\n", part.unwrap_or(0)).into_bytes()
}

fn loss_line(loss: &Loss) -> Vec<u8> {
    format!(
        "{{\"type\":\"gap\",\"lines\":{},\"bytes\":{},\"from\":{},\"to\":{},\"error\":{:?}}}\n",
        loss.lines, loss.bytes, loss.from_unix_ns, loss.to_unix_ns, loss.error
    )
    .into_bytes()
}

fn record(target: Target) -> Recorder {
    Recorder::start(target, header, loss_line, notice, |_| ()).unwrap()
}

static NOTICES: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn notice(sentence: &str) {
    NOTICES.lock().unwrap().push(sentence.to_owned());
}

/// What was said of a recording, with `…` for its path.
fn notices(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let about = NOTICES.lock().unwrap().iter().filter(|sentence| sentence.contains(path)).cloned().collect();
    Vec::into_iter(about).map(|sentence: String| sentence.replace(path, "…")).collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not after 30 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All lines of a file, and all that is missing.
fn read(path: &Path) -> (Vec<u8>, Vec<Damage>) {
    let (mut lines, mut damages) = (Vec::new(), Vec::new());
    let mut reader = Reader::open(path).unwrap();
    while let Some(chunk) = reader.next() {
        match chunk {
            Chunk::Lines(whole) => {
                assert!(whole.ends_with(b"\n"), "{:?} is not a whole line", whole.last());
                lines.extend_from_slice(whole);
            }
            Chunk::Damage(damage) => damages.push(damage),
        }
    }
    (lines, damages)
}

fn damage(kind: DamageKind, offset: u64, bytes: u64) -> Damage {
    Damage { kind, offset, bytes }
}

/// Lines in words, short enough for a failure message.
fn text(lines: &[u8]) -> String {
    String::from_utf8_lossy(&lines[..lines.len().min(2000)]).into_owned()
}
