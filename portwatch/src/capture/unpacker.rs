//! Decompressing, within bounds.
//!
//! In: a file, and where a frame begins. Out: bytes of the frame, step by step; whether its checksum is right; and when all
//! this is too much work for the size of the file. Must not know: where the next frame is, what bytes mean.

use std::io;

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::input::Input;
use super::pool::Gone;
use super::reader::DamageKind;

/// No block of a frame makes more.
const BLOCK_BYTES: usize = 128 << 10;

/// Frames may look back so far: 2^23 bytes, what RFC 8878 recommends that every decoder has room for. `zstd -19` stays
/// below, `--ultra` and `--long` do not.
const WINDOW_LOG: u32 = 23;

/// Work that a capture is worth whatever its size, and for each of its bytes: bytes that are read and that come out.
/// Captures of storms hold some 50 bytes of lines in each of theirs, of snapshots that resemble each other hundreds; a bomb holds
/// thousands, and one that makes a reader search
/// has it read the same again and again.
const WORK_BYTES: u64 = 256 << 20;
const WORK_PER_BYTE: u64 = 1000;

/// Decompresses frames, and knows what that has cost.
pub(super) struct Unpacker {
    context: DCtx<'static>,
    /// What comes out of a frame that is only looked at.
    discarded: Vec<u8>,
    /// Bytes that came out of frames, good ones or not.
    made_bytes: u64,
    /// As far was it read; what stands before is not all worth something.
    furthest: u64,
}

/// How far a frame is.
pub(super) enum Step {
    /// There is more.
    More,
    /// That was all, and it is right.
    Done,
    /// It is wrong.
    Bad(DamageKind),
}

/// Why reading stops before the end.
pub(super) enum Stop {
    /// Nobody reads any more.
    Gone,
    /// The system does not let read on.
    Unreadable(io::Error),
    /// It would take too long.
    TooMuch,
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Unpacker {
    pub(super) fn new() -> io::Result<Self> {
        let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
            .map_err(|code| io::Error::other(get_error_name(code)))?;
        Ok(Self { context, discarded: Vec::new(), made_bytes: 0, furthest: 0 })
    }

    /// A frame was wrong after so many bytes, which no step has told; at least a block may have been made.
    pub(super) fn wasted(&mut self, bytes: usize) {
        self.made_bytes += bytes.max(BLOCK_BYTES) as u64;
    }

    /// The next step begins a frame.
    pub(super) fn begin(&mut self) {
        // Resetting nothing but the session cannot fail; else the next step does.
        let _ = self.context.reset(ResetDirective::SessionOnly);
    }

    /// Decompresses on from `place`, behind what is in `buffer`, into what room there is; without a buffer it only looks
    /// whether the frame is right.
    pub(super) fn step(
        &mut self,
        input: &mut Input,
        place: &mut u64,
        buffer: Option<&mut Vec<u8>>,
    ) -> Result<Step, Stop> {
        let read_bytes = input.read_bytes;
        let bytes = input.bytes(*place, 1)?;
        let is_end = bytes.is_empty();
        let buffer = if let Some(buffer) = buffer {
            buffer
        } else {
            self.discarded.clear();
            self.discarded.reserve_exact(BLOCK_BYTES);
            &mut self.discarded
        };
        let before = buffer.len();
        let mut from = InBuffer::around(bytes);
        let mut to = OutBuffer::around_pos(buffer, before);
        let answer = self.context.decompress_stream(&mut to, &mut from);
        *place += from.pos() as u64;
        let made = to.pos() - before;
        self.made_bytes += made as u64;
        self.furthest = self.furthest.max(*place);
        if self.made_bytes + read_bytes > WORK_BYTES + WORK_PER_BYTE * self.furthest {
            return Err(Stop::TooMuch);
        }
        Ok(match answer {
            Ok(0) => Step::Done,
            Ok(_) if is_end && made == 0 => Step::Bad(DamageKind::CutOff),
            Ok(_) => Step::More,
            // The one error that is none of the file; zstd has no name for its number that is stable.
            Err(code) if get_error_name(code).contains("too much memory") => Step::Bad(DamageKind::TooLarge),
            Err(_) => Step::Bad(DamageKind::Damaged),
        })
    }
}
