//! The thread that writes.
//!
//! In: lines that wait, and wishes. Out: frames in files, and how that went. What fails is counted, said in the next
//! frame that can be written, and tried again. Must not know: who brings lines, what they mean.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use super::Loss;
use super::copying;
use super::frame::{FRAME_BYTES, Frames, cut};
use super::recorder::{Header, Shared};
use super::seal;
use super::store::Store;
use super::waiting::{Dropped, End, FLUSH};

/// A disk that is nearly full fails and recovers again and again; nobody need be told all of it.
const SAY_EVERY: Duration = Duration::from_secs(60);

const TOO_SLOW: &str = "the disk is too slow";

/// Everything that the thread has.
pub(super) struct Writer {
    shared: Arc<Shared>,
    store: Store,
    frames: Frames,
    header: Header,
    loss_line: fn(&Loss) -> Vec<u8>,
    /// Lines that are missing, and of which the file does not tell yet.
    untold: Option<(Dropped, String)>,
    /// When writing failed: not before this is it tried again.
    retry: Option<Instant>,
    /// When it was said that writing failed, and whether it was said that it is over.
    said: Option<(Instant, bool)>,
    copies: Vec<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: Store,
        header: Header,
        loss_line: fn(&Loss) -> Vec<u8>,
    ) -> io::Result<Self> {
        let frames = Frames::new()?;
        let (untold, retry, said, copies) = (None, None, None, Vec::new());
        Ok(Self { shared, store, frames, header, loss_line, untold, retry, said, copies })
    }

    /// Writes until it is told to finish; says when it has begun. An error is one of the last step: whether all is on the
    /// disk.
    pub(super) fn run(mut self, begun: SyncSender<()>) -> io::Result<()> {
        // Signals are for others; and at a limit of the size of files SIGXFSZ would end the process, where a failed write
        // will do. A thread that can be interrupted all the same is no reason not to record.
        let _ = SigSet::all().thread_block();
        // Two buffers take turns, so that writing allocates nothing and touches no new memory.
        let mut lines = Vec::with_capacity(FRAME_BYTES);
        self.write(&[]);
        // Nobody may wait for it any more.
        let _ = begun.try_send(());
        drop(begun);
        loop {
            let wishes = self.shared.waiting.take(&mut lines, self.retry);
            self.write(&lines);
            if wishes.dropped != Dropped::default() {
                self.miss(wishes.dropped, TOO_SLOW.to_owned());
                if self.retry.is_none() {
                    self.write(&[]);
                }
            }
            if let Some(why) = wishes.seal {
                self.seal(why);
            }
            if let Some(end) = wishes.end {
                return self.finish(end);
            }
            if lines.len() < FRAME_BYTES {
                // What a storm has made it is no longer needed.
                lines.clear();
                lines.shrink_to(2 * FRAME_BYTES);
            }
            lines.clear();
        }
    }

    /// Writes all of `lines`, or counts those that cannot be written; of nothing, what is untold.
    fn write(&mut self, lines: &[u8]) {
        let mut rest = lines;
        loop {
            let (these, others) = cut(rest);
            let written = self.write_frame(these);
            self.count_parts_for_room();
            if let Err(error) = written {
                return self.failed(rest, &error);
            }
            rest = others;
            if rest.is_empty() {
                return self.wrote();
            }
        }
    }

    fn write_frame(&mut self, lines: &[u8]) -> io::Result<()> {
        let part = self.store.part()?;
        if part.bytes == 0 {
            let number = (part.number > 0).then_some(part.number);
            let header = (self.header)(number);
            let frame = self.frames.frame(&header)?;
            self.store.write(frame)?;
            let mut state = self.shared.state();
            state.parts += 1;
            state.written_bytes += frame.len() as u64;
        }
        let with_loss;
        let lines = match &self.untold {
            Some((lost, error)) => {
                let Dropped { lines: number, bytes, from_unix_ns, to_unix_ns } = *lost;
                let error = error.clone();
                let loss = Loss { lines: number, bytes, from_unix_ns, to_unix_ns, error };
                with_loss = [(self.loss_line)(&loss).as_slice(), lines].concat();
                with_loss.as_slice()
            }
            None => lines,
        };
        if lines.is_empty() {
            return Ok(());
        }
        let frame = self.frames.frame(lines)?;
        self.store.write(frame)?;
        self.untold = None;
        self.shared.state().written_bytes += frame.len() as u64;
        Ok(())
    }

    fn wrote(&mut self) {
        if self.retry.take().is_some()
            && let Some((_, over @ false)) = &mut self.said
        {
            *over = true;
            self.say(&format!("recording to {} goes on", self.store.path().display()));
        }
    }

    fn say(&self, sentence: &str) {
        (self.shared.notice)(sentence);
    }

    fn count_parts_for_room(&self) {
        let mut state = self.shared.state();
        let before = std::mem::replace(&mut state.parts_for_room, self.store.parts_for_room);
        let is_first = before == 0 && state.parts_for_room > 0;
        drop(state);
        if is_first {
            let path = self.store.path().display();
            self.say(&format!("no room to record to {path}: the oldest parts go before their time"));
        }
    }

    fn failed(&mut self, lines: &[u8], error: &io::Error) {
        let lost = Dropped::now(lines);
        let mut state = self.shared.state();
        state.lost_lines += lost.lines;
        state.lost_bytes += lost.bytes;
        drop(state);
        let now = Instant::now();
        self.retry = Some(now + FLUSH);
        if self.said.is_none_or(|(at, over)| over && now.duration_since(at) >= SAY_EVERY) {
            self.said = Some((now, false));
            let path = self.store.path().display();
            self.say(&format!("recording to {path} failed: {error}; watching goes on"));
        }
        self.miss(lost, error.to_string());
    }

    /// Remembers for the file what is missing there; whoever dropped it has counted it.
    fn miss(&mut self, lost: Dropped, error: String) {
        self.shared.state().last_error = Some(error.clone());
        if lost.lines > 0 {
            let before = self.untold.take().map_or_else(Dropped::default, |(before, _)| before);
            self.untold = Some((before.and(lost), error));
        }
    }

    fn seal(&mut self, why: &'static str) {
        self.copies.retain(|copy| !copy.is_finished());
        match seal::seal(&mut self.store, why, &self.shared, self.copies.len()) {
            Ok(copy) => self.copies.push(copy),
            Err(error) => copying::failed(&self.shared, self.store.path(), why, &error),
        }
    }

    fn finish(mut self, end: End) -> io::Result<()> {
        if self.untold.is_some() {
            self.write(&[]);
        }
        let ended = self.store.end(end);
        let synced = self.store.part.as_ref().map_or(Ok(()), super::part::Part::sync);
        for copy in self.copies {
            // It has counted itself what failed.
            let _ = copy.join();
        }
        ended.and(synced)
    }
}
