//! A recorder that is killed leaves a file that can be read, without a wrong line, and without the last second at most.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

#[path = "../examples/storm/mod.rs"]
mod storm;

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use portwatch::capture::{Chunk, DamageKind, Reader};
use portwatch::event::{BootNs, Failure, Item, Tid};
use portwatch::lines::Decoder;

use self::storm::Storm;

const KILLS: u64 = 200;
const AT_ONCE: u64 = 10;
const EARLIEST_MS: u64 = 100;
const LATEST_MS: u64 = 2_100;
/// The rest may have been killed before it had said a line.
const MOST: u64 = 195;
const SECOND_NS: u64 = 1_000_000_000;

/// The program that records until it is killed; `cargo test` builds it.
fn recorder() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("record_items");
    assert!(program.is_file(), "{} is not there: `cargo build --example record_items`", program.display());
    program
}

/// Records for so long; what was said to be recorded: numbers and times.
fn killed_after(time: Duration, file: &Path) -> Vec<(u32, u64)> {
    let mut child = Command::new(recorder()).arg(file).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let said = std::thread::spawn(move || stdout.lines().map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = said.join().unwrap();
    // The pipe takes lines as a whole; should it not, the last one is not whole.
    said.pop();
    let numbers =
        |line: &String| line.split_once(' ').map(|(n, at)| (n.parse().unwrap(), at.parse().unwrap()));
    said.iter().map(|line| numbers(line).unwrap()).collect()
}

/// All failures in the file, and whether it ends within a frame.
fn kept(file: &Path) -> (Vec<Failure>, bool) {
    let mut reader = Reader::open(file).unwrap();
    let (mut decoder, mut items, mut is_cut_off) = (Decoder::default(), VecDeque::new(), false);
    while let Some(chunk) = reader.next() {
        assert!(!is_cut_off, "something follows the end");
        match chunk {
            Chunk::Lines(lines) => {
                lines.lines().for_each(|line| decoder.line(line.unwrap().as_bytes(), &mut items).unwrap());
            }
            Chunk::Damage(damage) => {
                assert_eq!(damage.kind, DamageKind::CutOff, "{damage:?}");
                is_cut_off = true;
            }
        }
    }
    decoder.finish(&mut items);
    let failures = items.into_iter().filter_map(|item| match item {
        Item::Failure(failure) => Some(failure),
        other => {
            assert!(matches!(other, Item::Start(_)), "{other:?}");
            None
        }
    });
    (failures.collect(), is_cut_off)
}

/// What the recorder records, but for when.
fn expected() -> impl Iterator<Item = Failure> {
    let failures = Storm::of(u64::MAX).filter_map(|item| match item {
        Item::Failure(failure) => Some(failure),
        _ => None,
    });
    (1..).zip(failures).map(|(number, mut failure)| {
        failure.process.tid = Some(Tid(number));
        failure
    })
}

#[test]
fn two_hundred_kills_each_leave_all_but_the_last_second_and_no_wrong_line() {
    let folder = tempfile::tempdir().unwrap();
    let (kills, most_lost_ms, cut_off, longest) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let one = |number: u64| {
        let file = folder.path().join(format!("{number}.jsonl.zst"));
        // Evenly over a time in which a second passes twice, in no order.
        let between_us = 1000 * (LATEST_MS - EARLIEST_MS);
        let time =
            Duration::from_micros(1000 * EARLIEST_MS + number * between_us / KILLS * 7919 % between_us);
        let said = killed_after(time, &file);
        if said.is_empty() {
            // It had not begun: the file may not even be there.
            return;
        }
        let (kept, is_cut_off) = kept(&file);
        for (kept, mut expected) in kept.iter().zip(expected()) {
            expected.at = kept.at;
            assert_eq!(*kept, expected, "after {time:?}");
        }
        // More may be there than was said.
        for (kept, (_, at)) in kept.iter().zip(&said) {
            assert_eq!(kept.at, BootNs(*at), "after {time:?}");
        }
        if let Some((_, first_lost)) = said.get(kept.len()) {
            let lost_ns = said.last().unwrap().1 - first_lost;
            assert!(
                lost_ns <= SECOND_NS,
                "{lost_ns} ns are lost after {time:?}: {} of {}",
                kept.len(),
                said.len()
            );
            most_lost_ms.fetch_max(lost_ns / 1_000_000, Relaxed);
        }
        kills.fetch_add(1, Relaxed);
        cut_off.fetch_add(is_cut_off.into(), Relaxed);
        longest.fetch_max(kept.len() as u64, Relaxed);
    };
    std::thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let each = (0..KILLS).filter(move |number| number % AT_ONCE == first);
            scope.spawn(|| each.for_each(&one));
        }
    });
    let [kills, most_lost_ms, cut_off, longest] =
        [kills, most_lost_ms, cut_off, longest].map(AtomicU64::into_inner);
    println!(
        "{kills} kills, {cut_off} within a frame; lost at most {most_lost_ms} ms; kept at most {longest}"
    );
    // They had begun, and the last ones had written a frame.
    assert!(kills >= MOST && longest > 500, "{kills} kills, at most {longest} failures were kept");
}
