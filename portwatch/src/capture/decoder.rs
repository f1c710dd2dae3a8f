//! From the bytes of a capture to lines; runs on a thread of its own.
//!
//! In: a file, which may hold anything. Out: the lines of frames whose checksum is right, as soon as a frame is whole, and
//! what was skipped between them. Must not know: what lines mean, who reads them.

use std::io;

use zstd::zstd_safe::get_frame_content_size;

use super::input::Input;
use super::pool::{Gone, LARGEST, LineEnd, Message, Output, SMALL};
use super::reader::DamageKind;
use super::unpacker::{Step, Stop, Unpacker};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Frames of others, with this and fifteen more numbers; behind it stands how long they are.
const SKIPPABLE: u32 = 0x184d_2a50;
/// The longest header of a frame.
const HEADER_BYTES: usize = 18;
/// In the fifth byte of a frame: it has a checksum.
const CHECKSUM_FLAG: u8 = 1 << 2;

/// Of regular files so much is read before a frame is begun, so that most are there as a whole, which is faster.
const AHEAD_BYTES: usize = 256 << 10;

/// So many bytes of lines are worth waking who reads them.
const TOGETHER_BYTES: usize = 256 << 10;

/// Reads a capture.
pub(super) struct Decoder {
    input: Input,
    output: Output,
    unpacker: Unpacker,
}

/// What is at some place of the file.
enum Found {
    /// A frame that is right; its lines are in the buffer.
    Frame { end: u64 },
    /// One that is right and too large for the buffer.
    LargeFrame { end: u64 },
    /// Something to skip.
    Foreign { end: u64 },
    /// No frame that is right.
    Bad(DamageKind),
    /// The end of the file.
    End,
}

impl Decoder {
    pub(super) fn new(input: Input, output: Output) -> io::Result<Self> {
        Ok(Self { input, output, unpacker: Unpacker::new()? })
    }

    /// Reads all of it.
    pub(super) fn run(mut self) {
        let mut at = 0;
        let read = match self.input.bytes(0, 1) {
            Ok([b'{', ..]) => self.text(&mut at),
            Ok(_) => self.frames(&mut at),
            Err(error) => Err(error.into()),
        };
        let kind = match read {
            Ok(()) => None,
            Err(Stop::Gone) => return,
            Err(Stop::TooMuch) => Some(DamageKind::TooLarge),
            Err(Stop::Unreadable(error)) => Some(DamageKind::Unreadable(error.to_string())),
        };
        if let Some(kind) = kind {
            let end = self.input.end().unwrap_or(at);
            let said = self.output.end_line(at, LineEnd::Damage);
            if said.and_then(|()| self.output.damage(kind, at, end.saturating_sub(at))).is_err() {
                return;
            }
        }
        // Nobody left to tell is no error.
        let _ = self.output.say(Message::End);
    }

    /// Lines that are not compressed.
    fn text(&mut self, at: &mut u64) -> Result<(), Stop> {
        loop {
            self.output.make_room(*at)?;
            let bytes = self.input.bytes(*at, 1)?;
            if bytes.is_empty() {
                return Ok(self.output.end_line(*at, LineEnd::File)?);
            }
            let room = self.output.buffer.capacity() - self.output.buffer.len();
            let bytes = &bytes[..room.min(bytes.len())];
            self.output.buffer.extend_from_slice(bytes);
            *at += bytes.len() as u64;
            self.output.hand_on(*at)?;
        }
    }

    /// Frame after frame. `good_until` is where the last one that is right ends.
    fn frames(&mut self, good_until: &mut u64) -> Result<(), Stop> {
        let mut at = 0;
        // What is wrong with what stands at `good_until`.
        let mut wrong: Option<DamageKind> = None;
        loop {
            let found = self.frame(at)?;
            match &found {
                Found::Bad(kind) => {
                    if wrong.is_none() {
                        self.output.hand_on(at)?;
                        self.output.end_line(at, LineEnd::Damage)?;
                        wrong = Some(kind.clone());
                    }
                    if let Some(next) = self.next_magic(at + 1)? {
                        at = next;
                        continue;
                    }
                    at = self.input.end()?.max(*good_until);
                }
                Found::End => {}
                Found::Frame { .. } | Found::LargeFrame { .. } | Found::Foreign { .. } => {
                    if wrong == Some(DamageKind::CutOff) {
                        wrong = Some(DamageKind::Damaged);
                    }
                }
            }
            if let Some(kind) = wrong.take() {
                self.output.damage(kind, *good_until, at - *good_until)?;
                *good_until = at;
            }
            at = match found {
                Found::Bad(_) | Found::End => {
                    self.output.hand_on(at)?;
                    return Ok(self.output.end_line(at, LineEnd::File)?);
                }
                Found::Frame { end } => {
                    // Small frames are handed on together, unless the next one may not be there yet.
                    if !self.input.is_regular() || self.output.buffer.len() >= TOGETHER_BYTES {
                        self.output.hand_on(end)?;
                    }
                    end
                }
                Found::LargeFrame { end } => {
                    self.large_frame(at, end)?;
                    end
                }
                Found::Foreign { end } => end,
            };
            *good_until = at;
        }
    }

    /// What stands at `at`. The lines of a frame are put into the buffer if all of them are right.
    fn frame(&mut self, at: u64) -> Result<Found, Stop> {
        self.input.keep_from(at);
        let least = if self.input.is_regular() { AHEAD_BYTES } else { HEADER_BYTES };
        let head = self.input.bytes(at, least)?;
        let Some((magic, rest)) = head.split_first_chunk::<4>() else {
            return Ok(if head.is_empty() { Found::End } else { Found::Bad(DamageKind::CutOff) });
        };
        if u32::from_le_bytes(*magic) & !0xf == SKIPPABLE {
            let Some(bytes) = rest.first_chunk::<4>() else { return Ok(Found::Bad(DamageKind::CutOff)) };
            let end = at + 8 + u64::from(u32::from_le_bytes(*bytes));
            if self.input.is_regular() && end > self.input.end()? {
                return Ok(Found::Bad(DamageKind::CutOff));
            }
            return Ok(Found::Foreign { end });
        }
        if *magic != MAGIC {
            return Ok(Found::Bad(DamageKind::Damaged));
        }
        match rest.first() {
            None => return Ok(Found::Bad(DamageKind::CutOff)),
            Some(flags) if flags & CHECKSUM_FLAG == 0 => return Ok(Found::Bad(DamageKind::Damaged)),
            Some(_) => {}
        }
        let content = match get_frame_content_size(head) {
            Ok(content) => content,
            Err(_) if head.len() < HEADER_BYTES => return Ok(Found::Bad(DamageKind::CutOff)),
            Err(_) => return Ok(Found::Bad(DamageKind::Damaged)),
        };
        if content.is_none_or(|bytes| bytes > (SMALL - self.output.buffer.len().min(SMALL)) as u64) {
            self.output.hand_on(at)?;
        }
        let before = self.output.buffer.len();
        let found = self.checked_frame(at, content);
        if !matches!(found, Ok(Found::Frame { .. })) {
            self.output.buffer.truncate(before);
        }
        found
    }

    /// Decompresses the frame at `at` into the buffer, behind what is there, or beyond the buffer's bound into nothing.
    fn checked_frame(&mut self, at: u64, content: Option<u64>) -> Result<Found, Stop> {
        let before = self.output.buffer.len();
        let content = content.map_or(1, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        // What can be read again needs no more room than recorders' frames do; a stream is given all that there is.
        let most = if self.input.is_regular() { SMALL } else { LARGEST };
        // One more, or the buffer would seem too small before the checksum is read.
        let mut fits = self.reserve(content.saturating_add(1), most)?;
        let mut place = at;
        self.unpacker.begin();
        loop {
            let buffer = &self.output.buffer;
            if fits && buffer.len() == buffer.capacity() {
                // Its header does not say how long it is.
                let more = most.saturating_sub(buffer.len()).max(1);
                fits = self.reserve(more, most)?;
            }
            let step = if fits {
                self.unpacker.step(&mut self.input, &mut place, Some(&mut self.output.buffer))?
            } else {
                self.output.buffer.truncate(before);
                self.unpacker.step(&mut self.input, &mut place, None)?
            };
            match step {
                Step::More => {}
                Step::Bad(kind) => {
                    // How much came out before is not known, at most what it says it holds.
                    self.unpacker.wasted(content.min(SMALL));
                    return Ok(Found::Bad(kind));
                }
                Step::Done if fits => return Ok(Found::Frame { end: place }),
                Step::Done => return Ok(Found::LargeFrame { end: place }),
            }
        }
    }

    /// Makes room in the buffer for `bytes` more, but for no more than `most` in all.
    fn reserve(&mut self, bytes: usize, most: usize) -> Result<bool, Gone> {
        Ok(self.output.buffer.len().saturating_add(bytes) <= most && self.output.reserve(bytes)?)
    }

    /// Hands on the lines of a frame that was checked; in a stream it is gone by now.
    fn large_frame(&mut self, at: u64, end: u64) -> Result<(), Stop> {
        if !self.input.is_regular() {
            self.output.end_line(at, LineEnd::Damage)?;
            return Ok(self.output.damage(DamageKind::TooLarge, at, end - at)?);
        }
        let mut place = at;
        self.unpacker.begin();
        loop {
            self.output.make_room(place)?;
            match self.unpacker.step(&mut self.input, &mut place, Some(&mut self.output.buffer))? {
                Step::More => {}
                Step::Done => return Ok(self.output.hand_on(place)?),
                // It was right a moment ago.
                Step::Bad(_) => {
                    let error = io::Error::other("the file was changed while it was read");
                    return Err(Stop::Unreadable(error));
                }
            }
        }
    }

    /// Where the next frame may begin, from `at` on.
    fn next_magic(&mut self, at: u64) -> Result<Option<u64>, Stop> {
        let finder = memchr::memmem::Finder::new(&MAGIC);
        let mut at = at.max(self.input.earliest());
        loop {
            self.input.keep_from(at);
            let bytes = self.input.bytes(at, MAGIC.len())?;
            if let Some(found) = finder.find(bytes) {
                return Ok(Some(at + found as u64));
            }
            if bytes.len() < MAGIC.len() {
                return Ok(None);
            }
            at += (bytes.len() + 1 - MAGIC.len()) as u64;
        }
    }
}
