//! Buffers of lines on their way from the thread that decompresses to whoever reads.
//!
//! In: bytes of lines, as they come. Out: whole lines, in a few buffers that take turns. Must not know: where bytes come
//! from.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::frame::FRAME_BYTES;
use super::reader::{Damage, DamageKind};

/// The longest line that is read, and the longest frame that is decompressed at once: a summary may be 16 MiB.
pub(super) const LARGEST: usize = 17 << 20;

/// Frames that a recorder writes fit: one of these is read while another one is filled.
pub(super) const SMALL: usize = FRAME_BYTES + (64 << 10);

/// One that is filled, one that waits, one that is read.
const BUFFERS: usize = 3;

/// What the thread says.
pub(super) enum Message {
    /// A buffer, of which so many bytes are whole lines.
    Lines(Vec<u8>, usize),
    /// Something is missing here.
    Damage(Damage),
    /// That was all.
    End,
}

/// Nobody reads any more.
#[derive(Debug)]
pub(super) struct Gone;

/// The side of the thread.
pub(super) struct Output {
    messages: SyncSender<Message>,
    returned: Receiver<Vec<u8>>,
    /// So many buffers are not here.
    away: usize,
    /// The end of a line that is not whole, and what comes behind it.
    pub(super) buffer: Vec<u8>,
    /// The line at hand is too long; so many bytes of it are gone.
    skipped: Option<u64>,
}

/// The side of whoever reads.
pub(super) struct Ends {
    pub(super) messages: Receiver<Message>,
    pub(super) returns: Sender<Vec<u8>>,
}

pub(super) fn pool() -> (Output, Ends) {
    let (messages, received) = sync_channel(BUFFERS);
    let (returns, returned) = channel();
    let output = Output { messages, returned, away: 0, buffer: Vec::new(), skipped: None };
    (output, Ends { messages: received, returns })
}

impl Output {
    pub(super) fn say(&self, message: Message) -> Result<(), Gone> {
        self.messages.send(message).map_err(|_| Gone)
    }

    pub(super) fn damage(&self, kind: DamageKind, offset: u64, bytes: u64) -> Result<(), Gone> {
        self.say(Message::Damage(Damage { kind, offset, bytes }))
    }

    /// Makes room for `bytes` more; none beyond [`LARGEST`] in all. A large buffer is the only one there is.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<bool, Gone> {
        let wanted = self.buffer.len().saturating_add(bytes);
        if wanted > LARGEST {
            return Ok(false);
        }
        if wanted > SMALL && wanted > self.buffer.capacity() {
            while self.away > 0 {
                drop(self.receive()?);
            }
        }
        self.buffer.reserve_exact(bytes.max(SMALL.saturating_sub(self.buffer.len())));
        Ok(true)
    }

    /// Makes room for some more, if it must by handing on lines, or by giving up a line that is too long. `at` is where in
    /// the file that is.
    pub(super) fn make_room(&mut self, at: u64) -> Result<(), Gone> {
        if self.buffer.len() < self.buffer.capacity() {
            return Ok(());
        }
        self.hand_on(at)?;
        if self.buffer.len() < self.buffer.capacity() {
            return Ok(());
        }
        // At once as large as it may get: what is not filled takes no memory, and growing step by step copies.
        let most = if self.buffer.len() < SMALL { SMALL } else { LARGEST };
        let more = most.saturating_sub(self.buffer.len());
        if more == 0 || !self.reserve(more)? {
            self.skipped = Some(self.buffer.len() as u64);
            self.buffer.clear();
        }
        Ok(())
    }

    /// Hands on all whole lines. `at` is where in the file the last one ends.
    pub(super) fn hand_on(&mut self, at: u64) -> Result<(), Gone> {
        if let Some(skipped) = &mut self.skipped {
            let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                *skipped += self.buffer.len() as u64;
                self.buffer.clear();
                return Ok(());
            };
            let bytes = *skipped + end as u64 + 1;
            self.skipped = None;
            self.buffer.drain(..=end);
            self.damage(DamageKind::TooLarge, at, bytes)?;
        }
        let Some(end) = memchr::memrchr(b'\n', &self.buffer).map(|line_feed| line_feed + 1) else {
            return Ok(());
        };
        if self.buffer.capacity() > 2 * SMALL {
            return self.hand_on_large(end);
        }
        let mut next = if self.away + 1 < BUFFERS { Vec::new() } else { self.receive()? };
        if next.capacity() > 2 * SMALL {
            next = Vec::new();
        }
        next.clear();
        next.extend_from_slice(&self.buffer[end..]);
        let full = std::mem::replace(&mut self.buffer, next);
        self.away += 1;
        self.say(Message::Lines(full, end))
    }

    /// Waits for the buffer to come back, instead of having another one of that size.
    fn hand_on_large(&mut self, end: usize) -> Result<(), Gone> {
        let full = std::mem::take(&mut self.buffer);
        self.away += 1;
        self.say(Message::Lines(full, end))?;
        while self.away > 0 {
            self.buffer = self.receive()?;
        }
        self.buffer.drain(..end);
        if self.buffer.len() < SMALL {
            self.buffer.shrink_to(SMALL);
        }
        Ok(())
    }

    /// Nothing follows on the line at hand; it is missing, unless it is known to be whole. `at` is where in the file it ends.
    pub(super) fn end_line(&mut self, at: u64, end: LineEnd) -> Result<(), Gone> {
        let bytes = self.skipped.take().map(|skipped| (DamageKind::TooLarge, skipped));
        let left = self.buffer.len() as u64;
        let (kind, before) = bytes.unwrap_or((DamageKind::CutOff, 0));
        if left + before == 0 {
            return Ok(());
        }
        // An object that was cut off never is one; those that only look so are none that a reader takes.
        let may_be_whole =
            before == 0 && end == LineEnd::File && self.buffer.trim_ascii_end().ends_with(b"}");
        if may_be_whole && self.reserve(1)? {
            self.buffer.push(b'\n');
            return self.hand_on(at);
        }
        self.buffer.clear();
        self.damage(kind, at, left + before)
    }

    fn receive(&mut self) -> Result<Vec<u8>, Gone> {
        let buffer = self.returned.recv().map_err(|_| Gone)?;
        self.away -= 1;
        Ok(buffer)
    }
}

/// Why a line has no end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// The file ends.
    File,
    /// What would follow is damaged.
    Damage,
}
