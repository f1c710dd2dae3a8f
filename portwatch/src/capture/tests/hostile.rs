//! Files that were made to do harm.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::*;

/// A frame of `number` times `piece`; `window_log` 0 leaves the choice to zstd.
fn frame_of(piece: &[u8], number: usize, window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    if window_log > 0 {
        encoder.window_log(window_log).unwrap();
    }
    for _ in 0..number {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

/// How a file is read: bytes of lines, and what is missing.
fn read_some(path: &Path) -> (u64, Vec<Damage>) {
    let (mut bytes, mut damages) = (0, Vec::new());
    let mut reader = Reader::open(path).unwrap();
    while let Some(chunk) = reader.next() {
        match chunk {
            Chunk::Lines(lines) => bytes += lines.len() as u64,
            Chunk::Damage(damage) => damages.push(damage),
        }
    }
    (bytes, damages)
}

#[test]
fn bombs_are_given_up_in_time_and_all_of_them_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.jsonl.zst");
    let short_lines = b"{}\n".repeat(1 << 18);
    let zeros = vec![0; 1 << 20];
    let good = frames(&[lines(0, 10, 10)]).concat();
    for (what, bomb, most) in [
        ("zeros without a line", frame_of(&zeros, 1024, 0), 0),
        ("short lines in one frame", frame_of(&short_lines, 2048, 0), 0),
        ("short lines in many frames", frame_of(&short_lines, 20, 0).repeat(200), 900 << 20),
        ("zeros in many frames", frame_of(&zeros, 16, 0).repeat(200), 0),
    ] {
        std::fs::write(&path, [good.as_slice(), &bomb].concat()).unwrap();
        let (bytes, damages) = read_some(&path);
        let first = lines(0, 10, 10).len() as u64;
        assert!((first..=first + most).contains(&bytes), "{what}: {bytes} bytes of lines");
        let last = damages.last().unwrap_or_else(|| panic!("{what}: nothing is missing"));
        assert_eq!(last.kind, DamageKind::TooLarge, "{what}: {damages:?}");
        assert_eq!(last.offset + last.bytes, path.metadata().unwrap().len(), "{what}: {damages:?}");
    }
}

#[test]
fn lines_that_are_too_long_are_skipped_and_their_bytes_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long");
    let (first, long, last) = (lines(0, 10, 10), lines(10, 1, 18 << 20), lines(11, 10, 10));
    let all = [first.as_slice(), &long, &last].concat();
    let mut cut = all.clone();
    cut.truncate(first.len() + long.len() - 100);
    for (what, bytes, wanted, missing) in [
        ("in a frame", frame_of(&all, 1, 0), [first.as_slice(), &last].concat(), long.len()),
        ("without frames", all.clone(), [first.as_slice(), &last].concat(), long.len()),
        ("and cut off", cut, first.clone(), long.len() - 100),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let (read, damages) = read(&path);
        assert!(read == wanted, "{what}: {} of {} bytes", read.len(), wanted.len());
        let said: Vec<_> = damages.iter().map(|damage| (damage.kind.clone(), damage.bytes)).collect();
        assert_eq!(said, [(DamageKind::TooLarge, missing as u64)], "{what}");
    }
}

#[test]
fn frames_that_look_back_too_far_are_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("far");
    let piece = lines(0, 1000, 1000);
    for (window_log, is_read) in [(23, true), (24, false), (27, false)] {
        let far = frame_of(&piece, 20, window_log);
        let good = frames(&[lines(0, 3, 10)]).concat();
        std::fs::write(&path, [far.as_slice(), &good].concat()).unwrap();
        let (bytes, damages) = read_some(&path);
        let wanted = lines(0, 3, 10).len() + if is_read { 20 * piece.len() } else { 0 };
        assert_eq!(bytes, wanted as u64, "2^{window_log}");
        let missing = (!is_read).then(|| damage(DamageKind::TooLarge, 0, far.len() as u64));
        assert_eq!(damages, Vec::from_iter(missing), "2^{window_log}");
    }
}

#[test]
fn noise_is_never_read_as_lines_and_searching_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise");
    let head = |rest: &[u8]| [&[0x28, 0xb5, 0x2f, 0xfd], rest].concat();
    // A header with a checksum and a window of 8 MiB; behind it a block: 128 KiB of one byte; as much as it is; garbage.
    let rows = [
        ("heads", head(&[]).repeat(100_000)),
        ("blocks of one byte", head(&[0x04, 0x68, 0x02, 0x00, 0x10, 0x61]).repeat(100_000)),
        ("blocks of bytes as they are", head(&[0x04, 0x68, 0x00, 0x00, 0x10]).repeat(100_000)),
        ("blocks of garbage", head(&[0x04, 0x68, 0x04, 0x02, 0x00]).repeat(100_000)),
        ("lengths beyond all", head(&[0xe4, 255, 255, 255, 255, 255, 255, 255, 127, 0, 0, 0]).repeat(50_000)),
        (
            "what is to be skipped, beyond the end",
            [0x50, 0x2a, 0x4d, 0x18, 255, 255, 255, 255].repeat(50_000),
        ),
        ("noise", lines(0, 1, 1 << 20)[40..].to_vec()),
    ];
    for (what, bytes) in rows {
        let begun = Instant::now();
        std::fs::write(&path, &bytes).unwrap();
        let (read, damages) = read_some(&path);
        assert_eq!(read, 0, "{what}");
        let missing: u64 = damages.iter().map(|damage| damage.bytes).sum();
        assert_eq!(missing, bytes.len() as u64, "{what}: {damages:?}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:?}", begun.elapsed());
        eprintln!("{what}: {:?}", begun.elapsed());
    }
}
