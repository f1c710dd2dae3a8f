//! What waits to be written.
//!
//! In: lines, from whoever has them. Out: all of them at once, to the one thread that writes. Who brings lines never
//! waits for that thread. Must not know: what becomes of them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::frame::{FRAME_BYTES, count};

/// A line is in the file so soon. Less than the second that may be lost at most, as the thread may have to wait for a
/// processor and the disk.
pub(super) const FLUSH: Duration = Duration::from_millis(800);

/// So many bytes of lines may wait for a disk that is slow: a second of a storm. What comes then is dropped, and counted.
const MAX_WAITING: usize = 8 << 20;

/// Lines that wait, and wishes.
#[derive(Default)]
pub(super) struct Waiting {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    lines: Vec<u8>,
    /// Since when there are any.
    since: Option<Instant>,
    wishes: Wishes,
}

/// What is to be done beside writing lines.
#[derive(Default)]
pub(super) struct Wishes {
    /// Lines that were dropped behind those that were taken, and their bytes.
    pub(super) dropped: Dropped,
    /// All that is kept is to be sealed, and why.
    pub(super) seal: Option<&'static str>,
    /// Nothing follows.
    pub(super) end: Option<End>,
}

/// What becomes of a file of which nothing but the first lines was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It stays: nothing happened.
    Finish,
    /// It goes: nothing was watched.
    Abandon,
}

/// Lines for which there was no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    /// When the first of them was given up, since 1970.
    pub(super) from_unix_ns: i64,
    /// When the last one was.
    pub(super) to_unix_ns: i64,
}

impl Dropped {
    /// All of `lines`, now.
    pub(super) fn now(lines: &[u8]) -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX);
        Self { lines: count(lines), bytes: lines.len() as u64, from_unix_ns: now, to_unix_ns: now }
    }

    /// These, and others.
    pub(super) fn and(self, others: Self) -> Self {
        if self.lines == 0 || others.lines == 0 {
            return if self.lines == 0 { others } else { self };
        }
        Self {
            lines: self.lines + others.lines,
            bytes: self.bytes + others.bytes,
            from_unix_ns: self.from_unix_ns.min(others.from_unix_ns),
            to_unix_ns: self.to_unix_ns.max(others.to_unix_ns),
        }
    }
}

/// Whether there is a bound on what waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Bounded,
    /// For what comes once.
    Always,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is ever half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies lines. The answer is what was dropped instead.
    pub(super) fn append(&self, lines: &[u8], room: Room) -> Dropped {
        let mut inner = self.lock();
        if room == Room::Bounded && inner.lines.len() >= MAX_WAITING {
            let dropped = Dropped::now(lines);
            inner.wishes.dropped = inner.wishes.dropped.and(dropped);
            return dropped;
        }
        let was_full = inner.lines.len() >= FRAME_BYTES;
        inner.lines.extend_from_slice(lines);
        let is_first = inner.since.is_none();
        if is_first {
            inner.since = Some(Instant::now());
        }
        // Waking costs a system call, so not for each line.
        let wakes = is_first || (!was_full && inner.lines.len() >= FRAME_BYTES);
        drop(inner);
        if wakes {
            self.wake.notify_one();
        }
        Dropped::default()
    }

    /// Bytes of lines that wait.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().lines.len()
    }

    /// Asks for something, at once.
    pub(super) fn wish(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut self.lock().wishes);
        self.wake.notify_one();
    }

    /// Waits until lines are due or something is wished, and takes all: the lines in exchange for `lines`, which is empty.
    /// Lines are not due before `not_before`. While nothing is there it does not wake up.
    pub(super) fn take(&self, lines: &mut Vec<u8>, not_before: Option<Instant>) -> Wishes {
        let mut inner = self.lock();
        while inner.wishes.end.is_none() && inner.wishes.seal.is_none() {
            let Some(since) = inner.since else {
                inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let due = if inner.lines.len() >= FRAME_BYTES { since } else { since + FLUSH };
            let left = not_before.map_or(due, |at| at.max(due)).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self.wake.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.since = None;
        std::mem::swap(&mut inner.lines, lines);
        std::mem::take(&mut inner.wishes)
    }
}
