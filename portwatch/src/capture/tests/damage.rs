//! Files that are cut off or have wrong bits: what is right is read, what is missing is said.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;

/// A capture of many frames, as a recorder writes them, and where they end: in the file, and in its lines.
struct Capture {
    bytes: Vec<u8>,
    lines: Vec<u8>,
    /// Of each frame its end in the file, and in the lines.
    ends: Vec<(usize, usize)>,
}

impl Capture {
    /// Frames of all sizes between a few bytes and a few thousand.
    fn of(file_bytes: usize) -> Self {
        let mut capture = Self { bytes: Vec::new(), lines: Vec::new(), ends: vec![(0, 0)] };
        let mut frames = Frames::new().unwrap();
        let mut number = 0;
        while capture.bytes.len() < file_bytes {
            let count = 1 + number * 7 % 13;
            let content = lines(number, count, usize::try_from(number * 31 % 200).unwrap());
            number += count;
            capture.bytes.extend_from_slice(frames.frame(&content).unwrap());
            capture.lines.extend_from_slice(&content);
            capture.ends.push((capture.bytes.len(), capture.lines.len()));
        }
        capture
    }

    /// The frame in which the byte at `at` is: which, and where it ends.
    fn frame_at(&self, at: usize) -> usize {
        self.ends.partition_point(|(end, _)| *end <= at) - 1
    }

    /// Where a frame begins and ends, in the file and in the lines.
    fn frame(&self, number: usize) -> ((usize, usize), (usize, usize)) {
        (self.ends[number], self.ends[number + 1])
    }
}

/// Does `check` for all numbers below `number` on two threads, each with a file of its own that holds `bytes`.
fn twice(bytes: &[u8], number: usize, check: impl Fn(&File, &Path, usize) + Sync) {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let path: PathBuf = folder.path().join(thread.to_string());
            std::fs::write(&path, bytes).unwrap();
            let check = &check;
            scope.spawn(move || {
                let file = File::options().write(true).open(&path).unwrap();
                // From the end on, as a file that gets shorter need not be written again.
                for case in (thread..number).rev().step_by(2) {
                    check(&file, &path, case);
                }
            });
        }
    });
}

#[test]
fn every_truncation_leaves_the_frames_before_it() {
    let capture = Capture::of(66_000);
    let number = capture.bytes.len();
    assert!(number >= 65_536 && capture.ends.len() > 100, "{number} bytes, {} frames", capture.ends.len());
    twice(&capture.bytes, number, |file, path, length| {
        file.set_len(length as u64).unwrap();
        let (file_end, lines_end) = capture.ends[capture.frame_at(length)];
        let cut = (length - file_end) as u64;
        let wanted = (cut > 0).then(|| damage(DamageKind::CutOff, file_end as u64, cut));
        let (read, damages) = read(path);
        assert!(read == capture.lines[..lines_end], "cut to {length} bytes: other lines");
        assert_eq!(damages, Vec::from_iter(wanted), "cut to {length} bytes");
    });
}

#[test]
fn every_wrong_bit_costs_the_frame_that_it_is_in_and_no_other() {
    let capture = Capture::of(20_000);
    let bits = capture.bytes.len() * 8;
    // All bits of the frames' heads and ends would be a tenth; these are all kinds of bytes.
    let number = 32_768;
    twice(&capture.bytes, number, |file, path, case| {
        // A number that has no divisor in common with that of the bits goes through all of them.
        let bit = case * 7_919 % bits;
        let at = bit / 8;
        file.write_at(&[capture.bytes[at] ^ (1 << (bit % 8))], at as u64).unwrap();
        let (read, damages) = read(path);
        file.write_at(&[capture.bytes[at]], at as u64).unwrap();
        let ((begin, lines_begin), (end, lines_end)) = capture.frame(capture.frame_at(at));
        if damages.is_empty() {
            // A bit that means nothing, or how much memory is to be had.
            assert!(read == capture.lines, "bit {bit}: other lines, and nothing is said");
            return;
        }
        let without = [&capture.lines[..lines_begin], &capture.lines[lines_end..]].concat();
        assert!(read == without, "bit {bit}: other lines than those of the other frames");
        let missing: u64 = damages.iter().map(|damage| damage.bytes).sum();
        assert_eq!(
            (missing, damages[0].offset),
            ((end - begin) as u64, begin as u64),
            "bit {bit}: {damages:?}"
        );
    });
}

/// What it is, the file, which frames are read, what is missing.
type Row = (&'static str, Vec<u8>, &'static [usize], Vec<Damage>);

#[test]
fn what_is_damaged_is_told_from_what_is_cut_off() {
    let contents: Vec<_> = (0..5).map(|frame| lines(frame * 10, 10, 50)).collect();
    let whole = frames(&contents);
    let size = |frame: usize| whole[frame].len() as u64;
    let at = |frame: usize| whole[..frame].iter().map(|frame| frame.len() as u64).sum::<u64>();
    let mut wrong = whole[2].clone();
    wrong[20] ^= 1;
    let mut longer = frames(&[lines(0, 10, 13_000)]).concat();
    // Behind the first nine bytes stands that the first block is longer than what is left of the file: 126,976 bytes.
    longer[9..12].copy_from_slice(&[0x04, 0x80, 0x0f]);
    let mut unchecked = whole[2].clone();
    unchecked[4] &= !4;
    let rows: [Row; 9] = [
        ("nothing", whole.concat(), &[0, 1, 2, 3, 4], vec![]),
        (
            "a frame of noise",
            [whole[..2].concat(), lines(99, 3, 50), whole[3..].concat()].concat(),
            &[0, 1, 3, 4],
            vec![damage(DamageKind::Damaged, at(2), lines(99, 3, 50).len() as u64)],
        ),
        (
            "a block that leads beyond the end",
            [whole[..2].concat(), longer.clone(), whole[3..].concat()].concat(),
            &[0, 1, 3, 4],
            vec![damage(DamageKind::Damaged, at(2), longer.len() as u64)],
        ),
        (
            "such a block at the end",
            [whole.concat(), longer.clone()].concat(),
            &[0, 1, 2, 3, 4],
            vec![damage(DamageKind::CutOff, at(5), longer.len() as u64)],
        ),
        (
            "a frame without a checksum",
            [whole[..2].concat(), unchecked[..unchecked.len() - 4].to_vec(), whole[3..].concat()].concat(),
            &[0, 1, 3, 4],
            vec![damage(DamageKind::Damaged, at(2), size(2) - 4)],
        ),
        (
            "a frame whose beginning is missing",
            [whole[0][9..].to_vec(), whole[1..].concat()].concat(),
            &[1, 2, 3, 4],
            vec![damage(DamageKind::Damaged, 0, size(0) - 9)],
        ),
        (
            "zeros at the end, as file systems leave after a loss of power",
            [whole.concat(), vec![0; 4096]].concat(),
            &[0, 1, 2, 3, 4],
            vec![damage(DamageKind::Damaged, at(5), 4096)],
        ),
        (
            "two damaged frames, apart and at the end",
            [whole[0].clone(), wrong.clone(), whole[3].clone(), wrong.clone()].concat(),
            &[0, 3],
            vec![
                damage(DamageKind::Damaged, at(1), size(2)),
                damage(DamageKind::Damaged, at(1) + size(2) + size(3), size(2)),
            ],
        ),
        (
            "frames of others, which are to be skipped",
            [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], whole.concat().as_slice()].concat(),
            &[0, 1, 2, 3, 4],
            vec![],
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture");
    for (what, bytes, frames, missing) in rows {
        std::fs::write(&path, bytes).unwrap();
        let wanted: Vec<_> = frames.iter().map(|frame| contents[*frame].as_slice()).collect();
        let (read, damages) = read(&path);
        assert!(read == wanted.concat(), "{what}: {}", text(&read));
        assert_eq!(damages, missing, "{what}");
    }
}

#[test]
fn a_stream_is_searched_for_frames_like_a_file() {
    let contents: Vec<_> = (0..5).map(|frame| lines(frame * 3000, 3000, 200)).collect();
    let mut whole = frames(&contents);
    let damaged = whole[2].len() / 2;
    whole[2][damaged] ^= 1;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Both ends, so that neither side waits for the other one to open it.
    let pipe = File::options().read(true).write(true).open(&path).unwrap();
    let bytes = whole.concat();
    let (read, damages) = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::io::Write::write_all(&mut &pipe, &bytes).unwrap();
            drop(pipe);
        });
        read(&path)
    });
    let wanted = [contents[..2].concat(), contents[3..].concat()].concat();
    assert!(read == wanted, "{} of {} bytes", read.len(), wanted.len());
    let begin = whole[..2].concat().len() as u64;
    assert_eq!(damages, [damage(DamageKind::Damaged, begin, whole[2].len() as u64)]);
}
