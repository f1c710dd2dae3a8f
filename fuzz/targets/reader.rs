//! What a stranger calls a capture: a file of any bytes, or lines in frames that are as they should be, or were until
//! something damaged them. It is read, explained and reported.
//!
//! Whatever comes: no panic, bounded memory. A line that is handed out was in a frame that was whole, all of those that were
//! are handed out, and what is missing is said. An item that a line became can be written as lines that say the same.

#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;

use libfuzzer_sys::fuzz_target;
use portwatch::capture::{Chunk, Reader};
use portwatch::lines::Decoder;
use portwatch_fuzz::capture::{Frames, Scratch};
use portwatch_fuzz::{Bounded, check, told};

#[global_allocator]
static MEMORY: Bounded = Bounded::new();
/// Of the 64 MiB that the whole process may have, what is left when libzstd has a window of 8 MiB and its tables.
const LIMIT_BYTES: usize = 48 << 20;

thread_local! {
    static SCRATCH: RefCell<(Scratch, Frames)> = RefCell::new((Scratch::new(), Frames::new()));
}

fuzz_target!(init: Bounded::assert_bounds(), |data: &[u8]| SCRATCH.with_borrow_mut(|(scratch, frames)| MEMORY.within(LIMIT_BYTES, || {
    let Some((kind, bytes)) = data.split_first() else { return };
    // Lines alone take a fortieth of the time of a file, which is read by a thread of its own.
    match kind % 8 {
        0 => any_file(scratch, bytes, kind / 8),
        1 => whole(scratch, frames, bytes),
        2 => damaged(scratch, frames, bytes),
        _ => lines(bytes, kind / 8),
    }
})));

/// The lines of a file, and how often something is said to be missing.
fn read(scratch: &Scratch, file: &[u8]) -> (Vec<u8>, usize) {
    scratch.hold(file);
    let Ok(mut reader) = Reader::open(scratch.path()) else { panic!("a file cannot be read") };
    let (mut lines, mut missing) = (Vec::new(), 0);
    while let Some(chunk) = reader.next() {
        match chunk {
            Chunk::Lines(more) => {
                assert!(more.ends_with(b"\n"), "a line that is not whole");
                lines.extend_from_slice(more);
            }
            Chunk::Damage(_) => missing += 1,
        }
    }
    (lines, missing)
}

/// As a user would have it.
fn any_file(scratch: &Scratch, file: &[u8], form: u8) {
    scratch.hold(file);
    told::report(scratch.path(), form);
}

/// What is in a frame is read as lines, which here come without one.
fn lines(bytes: &[u8], form: u8) {
    let (mut decoder, mut items) = (Decoder::default(), VecDeque::new());
    for line in bytes.split(|byte| *byte == b'\n') {
        // What is no line is refused; the next one can be read.
        let _ = decoder.line(line, &mut items);
    }
    decoder.finish(&mut items);
    for item in &items {
        check::item(item);
    }
    told::items(items.make_contiguous(), form);
}

/// All that was in frames comes out, and nothing else.
fn whole(scratch: &Scratch, frames: &mut Frames, bytes: &[u8]) {
    let (file, lines) = frames.of(bytes);
    let (read, missing) = read(scratch, &file);
    assert!(
        read == lines.concat() && missing == 0,
        "{} bytes of {}, {missing} missing",
        read.len(),
        lines.len()
    );
}

/// Of what was in frames some comes out, and nothing else; and if not all does, that is said.
fn damaged(scratch: &Scratch, frames: &mut Frames, bytes: &[u8]) {
    let Some(([at_high, at_low, change], rest)) = bytes.split_first_chunk() else { return };
    let (mut file, lines) = frames.of(rest);
    let at = usize::from(u16::from_be_bytes([*at_high, *at_low]));
    let Some(place) = file.get_mut(at) else { return };
    let is_cut = *change == 0;
    // A first byte that promises lines without frames would be believed.
    if at == 0 && *place ^ change == b'{' {
        return;
    }
    *place ^= change;
    if is_cut {
        file.truncate(at);
    }
    let (read, missing) = read(scratch, &file);
    let written = lines.concat();
    let mut expected = written.split_inclusive(|byte| *byte == b'\n');
    for line in read.split_inclusive(|byte| *byte == b'\n') {
        let is_there = expected.any(|written| written == line);
        assert!(is_there, "a line that nobody has written there: {}", String::from_utf8_lossy(line));
    }
    // Where a frame ends nobody can know that another one followed.
    let is_at_an_end = is_cut && frames.is_an_end(at);
    assert!(missing > 0 || is_at_an_end || read == written, "something is missing, and nothing says so");
}
