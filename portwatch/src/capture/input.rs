//! Bytes of a file that is read, by their place in it.
//!
//! In: a regular file, or a stream that can be read once. Out: bytes from a place on. Of a stream those that were read
//! lately can be had again. Must not know: what bytes mean.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;

/// Has room for every frame that a recorder writes but those of very long lines, so that a damaged one can be searched
/// for what is in it even in a stream.
const BUFFER_BYTES: usize = (1 << 20) + (128 << 10);

/// Small files need less; they may grow while they are read.
const LEAST_BUFFER_BYTES: usize = 64 << 10;

/// A file, and a buffer of it.
pub(super) struct Input {
    file: File,
    regular: bool,
    /// Where the file began when it was opened: stdin may stand anywhere.
    origin: u64,
    buffer: Vec<u8>,
    /// The place of the first byte of the buffer.
    base: u64,
    /// So many bytes of the buffer are of the file.
    filled: usize,
    /// From here on bytes stay in the buffer as long as there is room.
    mark: u64,
    /// Bytes that were read, some of them more than once.
    pub(super) read_bytes: u64,
}

impl Input {
    pub(super) fn new(mut file: File) -> io::Result<Self> {
        let facts = file.metadata()?;
        let regular = facts.is_file();
        let origin = if regular { file.stream_position()? } else { 0 };
        let small =
            usize::try_from(facts.len()).unwrap_or(BUFFER_BYTES).clamp(LEAST_BUFFER_BYTES, BUFFER_BYTES);
        let buffer = vec![0; if regular { small } else { BUFFER_BYTES }];
        Ok(Self { file, regular, origin, buffer, base: 0, filled: 0, mark: 0, read_bytes: 0 })
    }

    /// Whether every byte can be had again.
    pub(super) fn is_regular(&self) -> bool {
        self.regular
    }

    /// The first place from which bytes can be had.
    pub(super) fn earliest(&self) -> u64 {
        if self.regular { 0 } else { self.base }
    }

    /// Bytes from here on may be wanted again.
    pub(super) fn keep_from(&mut self, at: u64) {
        self.mark = at;
    }

    /// Bytes from `at` on: at least so many, unless the file ends before or the buffer has no room.
    pub(super) fn bytes(&mut self, at: u64, least: usize) -> io::Result<&[u8]> {
        while !self.regular && at > self.base + self.filled as u64 {
            self.base += self.filled as u64;
            self.filled = 0;
            if self.fill()? == 0 {
                return Ok(&[]);
            }
        }
        if at < self.base || at > self.base + self.filled as u64 {
            self.base = at;
            self.filled = 0;
        }
        let least = least.min(self.buffer.len());
        // It is in the buffer, so the difference is small.
        let mut start = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        while self.filled - start < least {
            if self.buffer.len() - start < least || self.filled == self.buffer.len() {
                let kept = if self.mark > self.base && self.mark <= at { self.mark } else { at };
                let mut gone = usize::try_from(kept - self.base).unwrap_or(usize::MAX);
                if self.buffer.len() - (start - gone) < least {
                    gone = start;
                }
                if gone == 0 {
                    break;
                }
                self.buffer.copy_within(gone..self.filled, 0);
                self.base += gone as u64;
                self.filled -= gone;
                start -= gone;
            }
            if self.fill()? == 0 {
                break;
            }
        }
        Ok(&self.buffer[start..self.filled])
    }

    /// Where the file ends. Of a stream this reads all that is left.
    pub(super) fn end(&mut self) -> io::Result<u64> {
        if self.regular {
            return Ok(self.file.metadata()?.len().saturating_sub(self.origin));
        }
        loop {
            self.base += self.filled as u64;
            self.filled = 0;
            if self.fill()? == 0 {
                return Ok(self.base);
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let room = &mut self.buffer[self.filled..];
        let read = loop {
            let read = if self.regular {
                self.file.read_at(room, self.origin + self.base + self.filled as u64)
            } else {
                self.file.read(room)
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.filled += read;
        self.read_bytes += read as u64;
        Ok(read)
    }
}
