//! Frames: lines, compressed.
//!
//! In: lines. Out: where to cut them, and one Zstandard frame with a checksum. Must not know: where frames go.

use std::io;

use zstd::zstd_safe::{CCtx, CParameter, compress_bound, get_error_name};

/// As many lines make a frame, if they do not wait too long before: enough that they compress as well as they ever will,
/// and little enough that a damaged frame costs little and a reader needs little memory.
pub(super) const FRAME_BYTES: usize = 1 << 20;

/// The fastest level that finds repetitions at their full length; the next one takes a third more time for a twentieth
/// fewer bytes.
const LEVEL: i32 = 1;

/// Makes frames; keeps its tables and its buffer from one to the next.
pub(super) struct Frames {
    context: CCtx<'static>,
    frame: Vec<u8>,
}

impl Frames {
    pub(super) fn new() -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        for parameter in [
            CParameter::CompressionLevel(LEVEL),
            CParameter::ChecksumFlag(true),
            CParameter::ContentSizeFlag(true),
        ] {
            context.set_parameter(parameter).map_err(zstd_error)?;
        }
        Ok(Self { context, frame: Vec::new() })
    }

    /// One frame that holds `lines`.
    pub(super) fn frame(&mut self, lines: &[u8]) -> io::Result<&[u8]> {
        self.frame.clear();
        let bound = compress_bound(lines.len());
        if bound <= FRAME_BYTES && self.frame.capacity() > 2 * FRAME_BYTES {
            // There was one very long line.
            self.frame = Vec::new();
        }
        self.frame.reserve(bound);
        self.context.compress2(&mut self.frame, lines).map_err(zstd_error)?;
        Ok(&self.frame)
    }
}

fn zstd_error(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}

/// What belongs into the next frame: whole lines, as many as have room, but at least one; and the rest.
pub(super) fn cut(lines: &[u8]) -> (&[u8], &[u8]) {
    if lines.len() <= FRAME_BYTES {
        return (lines, &[]);
    }
    let end = memchr::memrchr(b'\n', &lines[..FRAME_BYTES])
        .or_else(|| memchr::memchr(b'\n', lines))
        .map_or(lines.len(), |line_feed| line_feed + 1);
    lines.split_at(end)
}

/// How many lines these are.
pub(super) fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).map(|_| 1).sum()
}
