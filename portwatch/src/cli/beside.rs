//! An output that nobody waits for: a terminal that stands still must not stop a recording.
//!
//! In: bytes. Out: the same, written by a thread of its own; what finds no room is counted.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};

use crate::privileges::{self, Duty};
use crate::thread;

/// Bytes that wait for whoever reads; a single piece may be larger, as a summary is.
const MOST: usize = 4 << 20;

/// The end that is written to.
#[derive(Clone)]
pub(super) struct Beside(Arc<Shared>);

/// The thread that writes.
pub(super) struct Writer {
    beside: Beside,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    is_over: bool,
    error: Option<io::Error>,
}

impl Beside {
    /// Writes to `output` beside this thread.
    pub(super) fn start(mut output: Box<dyn Write + Send>) -> Result<(Self, Writer)> {
        let beside = Self(Arc::default());
        let shared = Arc::clone(&beside.0);
        let confine = || _ = privileges::confine(&Duty::Write);
        let work = move || {
            while let Some(bytes) = shared.next() {
                if let Err(error) = output.write_all(&bytes).and_then(|()| output.flush()) {
                    shared.state().error.get_or_insert(error);
                    return;
                }
            }
        };
        let thread = thread::start("portwatch-output", confine, work);
        let writer =
            Writer { beside: beside.clone(), thread: thread.context("start a thread for the output")? };
        Ok((beside, writer))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits; none once all is written that will come.
    fn next(&self) -> Option<Vec<u8>> {
        let wait = |state: &mut State| state.waiting.is_empty() && !state.is_over;
        let mut state = self.news.wait_while(self.state(), wait).unwrap_or_else(PoisonError::into_inner);
        (!state.waiting.is_empty()).then(|| take(&mut state.waiting))
    }
}

impl Write for Beside {
    /// Takes all, or drops it where too much waits.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        if let Some(error) = &state.error {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        if !state.waiting.is_empty() && state.waiting.len() + bytes.len() > MOST {
            state.dropped += bytes.len() as u64;
        } else {
            state.waiting.extend_from_slice(bytes);
            self.0.news.notify_one();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// Waits until all is written; how many bytes were not, as nobody read.
    ///
    /// # Errors
    /// When the output refused.
    pub(super) fn finish(self) -> io::Result<u64> {
        self.beside.0.state().is_over = true;
        self.beside.0.news.notify_one();
        self.thread.join().map_err(|_| io::Error::other("the thread that writes has failed"))?;
        let mut state = self.beside.0.state();
        state.error.take().map_or(Ok(state.dropped), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::{Beside, MOST};

    /// Takes nothing before it is let.
    struct Slow(Receiver<()>, SyncSender<usize>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.send(bytes.len()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_writes_never_waits_and_what_finds_no_room_is_counted() {
        let (let_go, gate) = sync_channel(10);
        let (count, counted) = sync_channel(10);
        let (mut beside, writer) = Beside::start(Box::new(Slow(gate, count))).unwrap();
        beside.write_all(b"first").unwrap();
        // What the thread has taken, the first or some more, is no more than what may wait.
        for _ in 0..5 {
            beside.write_all(&vec![b'x'; MOST / 2]).unwrap();
        }
        (0..3).for_each(|_| let_go.send(()).unwrap());
        let dropped = usize::try_from(writer.finish().unwrap()).unwrap();
        let written: usize = counted.try_iter().sum();
        assert!(dropped >= MOST / 2, "{dropped}");
        assert_eq!(written + dropped, 5 + 5 * (MOST / 2));
    }

    #[test]
    fn what_is_larger_than_all_that_may_wait_is_written_where_nothing_waits() {
        let (let_go, gate) = sync_channel(2);
        let (count, counted) = sync_channel(2);
        let (mut beside, writer) = Beside::start(Box::new(Slow(gate, count))).unwrap();
        beside.write_all(&vec![b'x'; 2 * MOST]).unwrap();
        let_go.send(()).unwrap();
        assert_eq!(writer.finish().unwrap(), 0);
        assert_eq!(counted.recv(), Ok(2 * MOST));
    }

    #[test]
    fn an_output_that_refuses_is_told_to_whoever_writes_next() {
        let (let_go, gate) = sync_channel(1);
        drop(let_go);
        let (count, _) = sync_channel(1);
        let (mut beside, writer) = Beside::start(Box::new(Slow(gate, count))).unwrap();
        let told = (0..1000).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            beside.write_all(b"x").err()
        });
        assert_eq!(told.map(|error| error.kind()), Some(io::ErrorKind::BrokenPipe));
        assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
