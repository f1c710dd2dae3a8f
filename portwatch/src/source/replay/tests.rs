//! Files in any order, of which some are damaged, copies, gone, or pipes: what is read, and what is said to be missing.

use std::collections::VecDeque;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::Replay;
use crate::capture::ENDING;
use crate::event::{
    BootNs, Counts, End, Fault, Filter, Item, LossReason, Lost, Missing, MissingWhy, NetnsId, Process, Row,
    Start, Text,
};
use crate::lines::Encoder;
use crate::source::Source as _;

fn start(at: u64, part: Option<u32>) -> Item {
    begun(at, part, None)
}

fn begun(at: u64, part: Option<u32>, first_part: Option<u32>) -> Item {
    Item::Start(Start {
        version: "0".to_owned(),
        host: Text(b"h".to_vec()),
        kernel: "6.1".to_owned(),
        hooks: Vec::new(),
        limits: Vec::new(),
        at: BootNs(at),
        boot_offset_ns: 1_700_000_000_000_000_000,
        filter: Filter::default(),
        warn_permille: None,
        part,
        first_part,
    })
}

fn lost(count: u64) -> Item {
    Item::Lost(Lost { reason: LossReason::RingFull, count, from: BootNs(1), to: BootNs(2) })
}

/// A line whose times are times of day only.
fn counts(at: u64) -> Item {
    let fault = Fault::no_port("192.0.2.1:80".parse::<SocketAddr>().unwrap());
    let (first, last, process) = (BootNs(at), BootNs(at), Process::with_id(1));
    let row = Row { process, netns: NetnsId(1), fault, count: 1, first, last };
    Item::Counts(Counts { from: first, to: last, rows: vec![row], other: 0 })
}

/// A file of plain lines.
fn write(folder: &Path, name: &str, items: &[Item], more: &str) -> PathBuf {
    let mut lines = Vec::new();
    items.iter().for_each(|item| Encoder::default().item(item, &mut lines));
    lines.extend_from_slice(more.as_bytes());
    let path = folder.join(name);
    fs::write(&path, lines).unwrap();
    path
}

/// Part after part of a recording, each in two frames, of which the first has the start.
fn write_parts(folder: &Path, parts: &[[&[Item]; 2]]) -> Vec<PathBuf> {
    let write = |(number, frames): (usize, &[&[Item]; 2])| {
        let path = folder.join(format!("{:06}{ENDING}", number + 1));
        let mut encoder = Encoder::default();
        let mut file = Vec::new();
        for items in frames {
            let mut lines = Vec::new();
            items.iter().for_each(|item| encoder.item(item, &mut lines));
            let mut frame = zstd::Encoder::new(&mut file, 3).unwrap();
            frame.include_checksum(true).unwrap();
            frame.write_all(&lines).unwrap();
            frame.finish().unwrap();
        }
        fs::write(&path, file).unwrap();
        path
    };
    parts.iter().enumerate().map(write).collect()
}

/// Damages the first frame.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[20] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What is read, in short.
fn read(paths: &[PathBuf]) -> Vec<String> {
    told(Replay::of(paths).unwrap())
}

fn told(mut replay: Replay) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut told = Vec::new();
    while let Some(item) = runtime.block_on(replay.next()).unwrap() {
        told.push(in_short(item));
    }
    told
}

fn in_short(item: Item) -> String {
    match item {
        Item::Start(start) => format!("start {} {:?}", start.at.0, start.part),
        Item::Lost(lost) => format!("lost {}", lost.count),
        Item::End(_) => "end".to_owned(),
        Item::Counts(counts) => format!("counts {}", counts.rows[0].first.0),
        Item::Missing(Missing { why: MissingWhy::Unreadable(_), .. }) => "unreadable".to_owned(),
        Item::Missing(Missing { why, lines, .. }) => format!("{why:?} {lines}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn parts_of_a_recording_are_one_stream_in_whatever_order_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let end = Item::End(End::default());
    let a = write(folder.path(), "a.jsonl", &[start(5, Some(1)), lost(1)], "");
    let b = write(folder.path(), "b.jsonl", &[start(5, Some(2)), lost(2)], "");
    let c = write(folder.path(), "c.jsonl", &[start(5, Some(3)), lost(3), end], "");
    let all = ["start 5 None", "lost 1", "lost 2", "lost 3", "end"];
    assert_eq!(read(&[c.clone(), a.clone(), b.clone()]), all);
    assert_eq!(read(&[folder.path().to_owned()]), all);
    assert_eq!(read(&[a.clone(), c.clone()]), ["start 5 None", "lost 1", "Part 0", "lost 3", "end"]);
    assert_eq!(read(&[c.clone(), b.clone()]), ["start 5 None", "EarlierParts 0", "lost 2", "lost 3", "end"]);
    assert_eq!(read(&[a.clone(), b.clone()]), ["start 5 None", "lost 1", "lost 2", "NoEnd 0"]);
    // A copy that was sealed, beside what it is a copy of.
    let copy = folder.path().join("copy");
    fs::copy(&b, &copy).unwrap();
    assert_eq!(read(&[a, b, c, copy]), all);
}

#[test]
fn recordings_follow_each_other_by_when_they_began() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a", &[start(9, None), lost(1), Item::End(End::default())], "");
    let b = write(folder.path(), "b", &[start(7, None), lost(2)], "");
    assert_eq!(
        read(&[a.clone(), b.clone()]),
        ["start 7 None", "lost 2", "NoEnd 0", "start 9 None", "lost 1", "end"]
    );
    assert_eq!(read(&[b.clone(), b]), ["start 7 None", "lost 2", "NoEnd 0"], "named twice");
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_cost_only_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let more = "{\"type\":\"later\"}\n{\"type\":\"later\"}\n{\"type\":\"lost\"}\nnonsense\n\
                {\"type\":\"verdict\"}\n{\"type\":\"lost\",\"reason\":\"ring_full\",\"count\":7,\"from_ns\":1,\"to_ns\":2}\n";
    let a = write(folder.path(), "a", &[start(1, None), lost(1)], more);
    assert_eq!(read(&[a]), ["start 1 None", "lost 1", "lost 7", "UnknownType 2", "Malformed 2", "NoEnd 0"]);
}

#[test]
fn a_file_that_holds_no_recording_is_an_error_and_one_without_its_beginning_is_not() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "{}\n", "root:x:0:0\n"] {
        let path = write(folder.path(), "a", &[], text);
        let mut replay = Replay::of(&[path]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = loop {
            match runtime.block_on(replay.next()) {
                Ok(Some(Item::Missing(_))) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("no recording") && error.contains("/a"), "{text}: {error}");
    }
    let path = write(folder.path(), "a", &[lost(1)], "");
    assert_eq!(read(&[path]), ["NoStart 0", "lost 1"]);
}

#[test]
fn what_is_not_there_is_an_error_that_names_it() {
    let error = Replay::of(&["/no/such/file".into()]).err().unwrap().to_string();
    assert!(error.contains("/no/such/file"), "{error}");
}

#[test]
fn a_part_whose_start_is_damaged_stays_in_its_place_and_in_its_recording() {
    let end = Item::End(End::default());
    let [one, two, three] = [1, 2, 3].map(|part| [start(5, Some(part))]);
    let parts = |folder: &Path| {
        let third = [lost(3), end.clone()];
        write_parts(folder, &[[&one, &[lost(1)]], [&two, &[counts(77)]], [&three, &third]])
    };
    let whole = ["start 5 None", "lost 1", "counts 77", "lost 3", "end"];
    let damaged = |number: usize| [&whole[..number], &["Damaged 0"], &whole[number..]].concat();
    let cases = [(None, whole.to_vec()), (Some(1), damaged(2)), (Some(2), damaged(3))];
    for (damaged, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let paths = parts(folder.path());
        damaged.into_iter().for_each(|number: usize| damage(&paths[number]));
        assert_eq!(read(&[folder.path().to_owned()]), expected, "{damaged:?}");
        assert_eq!(read(&paths), expected, "{damaged:?}, each named");
    }
    let folder = tempfile::tempdir().unwrap();
    let paths = parts(folder.path());
    damage(&paths[0]);
    let expected = ["Damaged 0", "NoStart 0", "lost 1", "start 5 None", "EarlierParts 0"];
    assert_eq!(read(&paths)[..5], expected, "the first part");
}

#[test]
fn a_file_without_a_start_belongs_to_no_recording_of_another_folder() {
    let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = write(here.path(), "a", &[start(5, Some(1)), lost(1)], "");
    let b = write(there.path(), "b", &[lost(2), Item::End(End::default())], "");
    let c = write(here.path(), "c", &[start(5, Some(2)), lost(3)], "");
    let pipe = there.path().join("pipe");
    let expected = ["NoStart 0", "lost 2", "end", "start 5 None", "lost 1", "lost 3", "NoEnd 0"];
    assert_eq!(read(&[a.clone(), b.clone(), c.clone()]), expected, "between no two parts");
    // Lines without a start between two parts all the same: what follows begins again.
    let mut sessions = super::Sessions::default();
    let mut items = VecDeque::new();
    for (path, lines) in [
        (&a, vec![start(5, Some(1)), lost(1)]),
        (&pipe, vec![lost(2), Item::End(End::default())]),
        (&c, vec![start(5, Some(2)), lost(3)]),
    ] {
        sessions.file(path);
        lines.into_iter().for_each(|item| sessions.pass(item, &Text::default(), &mut items));
    }
    sessions.end(&mut items);
    let told: Vec<String> = items.into_iter().map(in_short).collect();
    let expected =
        ["start 5 None", "lost 1", "NoStart 0", "lost 2", "end", "start 5 None", "lost 3", "NoEnd 0"];
    assert_eq!(told, expected);
}

#[test]
fn of_two_copies_the_longer_one_is_read_in_whatever_order_they_are_named() {
    for part in [None, Some(1)] {
        let folder = tempfile::tempdir().unwrap();
        let sealed = write(folder.path(), "a", &[start(5, part), lost(1)], "");
        let whole = write(folder.path(), "b", &[start(5, part), lost(1), lost(2)], "");
        let expected = ["start 5 None", "lost 1", "lost 2", "NoEnd 0"];
        assert_eq!(read(&[sealed.clone(), whole.clone()]), expected, "{part:?}");
        assert_eq!(read(&[whole, sealed]), expected, "{part:?}");
    }
}

#[test]
fn two_recordings_in_one_folder_are_two_sessions_without_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let end = || Item::End(End::default());
    let parts = [
        [begun(5, Some(1), Some(1)), lost(1)].to_vec(),
        [begun(5, Some(2), Some(1)), end()].to_vec(),
        [begun(9, Some(3), Some(3)), lost(3)].to_vec(),
        [begun(9, Some(4), Some(3)), end()].to_vec(),
    ];
    for (number, items) in parts.iter().enumerate() {
        write(folder.path(), &format!("{}.jsonl", number + 1), items, "");
    }
    let first = ["start 5 None", "lost 1", "end"];
    let read_folder = || read(&[folder.path().to_owned()]);
    assert_eq!(read_folder(), [&first[..], &["start 9 None", "lost 3", "end"]].concat());
    fs::remove_file(folder.path().join("3.jsonl")).unwrap();
    assert_eq!(read_folder(), [&first[..], &["start 9 None", "EarlierParts 0", "end"]].concat());
}

#[test]
fn what_vanishes_from_a_folder_is_missing_and_what_was_named_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let a = write(folder.path(), "a.jsonl", &[start(5, Some(1)), lost(1)], "");
    let b = write(folder.path(), "b.jsonl", &[start(5, Some(2)), lost(2), Item::End(End::default())], "");
    let replay = Replay::of(&[folder.path().to_owned()]).unwrap();
    fs::remove_file(&a).unwrap();
    assert_eq!(told(replay), ["unreadable", "start 5 None", "EarlierParts 0", "lost 2", "end"]);

    let mut replay = Replay::of(std::slice::from_ref(&b)).unwrap();
    fs::remove_file(&b).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(replay.next()).unwrap_err().to_string();
    assert!(error.contains("b.jsonl"), "{error}");
}

#[test]
fn what_comes_through_a_pipe_is_not_looked_at_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut lines = Vec::new();
    [start(5, None), lost(1)].iter().for_each(|item| Encoder::default().item(item, &mut lines));
    // For reading, too: so it can be opened before anybody else has.
    let mut pipe = fs::File::options().read(true).write(true).open(&path).unwrap();
    pipe.write_all(&lines).unwrap();
    let replay = Replay::of(std::slice::from_ref(&path)).unwrap();
    // Nobody has taken anything: all of it is there still.
    let mut rest = vec![0; lines.len()];
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    std::io::Read::read_exact(&mut pipe, &mut rest).unwrap();
    assert_eq!(rest, lines);
    drop(replay);
}

#[test]
fn that_a_later_version_wrote_a_recording_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    for part in 1..=3 {
        let path = write(folder.path(), &format!("{part}.jsonl"), &[start(5, Some(part)), lost(1)], "");
        let lines = fs::read_to_string(&path).unwrap();
        fs::write(&path, lines.replace("\"schema\":1", "\"schema\":2")).unwrap();
    }
    let expected = ["start 5 None", "NewerSchema(2) 0", "lost 1", "lost 1", "lost 1", "NoEnd 0"];
    assert_eq!(read(&[folder.path().to_owned()]), expected);
}
