//! Recording: lines go into a file, and nobody waits for the disk.
//!
//! In: lines. Out: what is in files, what was lost and why. Must not know: what lines mean, how files are written.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::waiting::{End, Room, Waiting};
use super::writer::Writer;
use super::{Target, TargetError};
use crate::thread;

/// How long the first lines are waited for.
const BEGIN: Duration = Duration::from_millis(500);

/// The lines that every file of a recording begins with: in a folder of parts it is given the number of the part, from 1
/// on.
pub(super) type Header = Box<dyn Fn(Option<u32>) -> Vec<u8> + Send>;

/// Lines that are missing in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the first of them was given up, since 1970.
    pub from_unix_ns: i64,
    /// When the last one was.
    pub to_unix_ns: i64,
    /// The last reason.
    pub error: String,
}

/// How a recording goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Bytes that were written to files, those of parts that are gone included.
    pub written_bytes: u64,
    /// Files that were begun.
    pub parts: u64,
    /// Parts that were deleted before their time, as there was no room on the disk.
    pub parts_for_room: u64,
    /// Lines that could not be written.
    pub lost_lines: u64,
    /// Their bytes.
    pub lost_bytes: u64,
    /// The last thing that failed; it stays when it has passed.
    pub last_error: Option<String>,
    /// Sealed copies that are whole.
    pub sealed: u32,
    /// Where the last one is.
    pub last_sealed: Option<PathBuf>,
    /// Sealed copies that could not be made, or are not whole.
    pub seal_errors: u32,
}

/// How a recording went.
#[derive(Debug)]
pub struct Outcome {
    /// All in all.
    pub state: State,
    /// Whether what was written is on the disk.
    pub synced: io::Result<()>,
}

/// What the recorder and its thread share.
pub(super) struct Shared {
    pub(super) waiting: Waiting,
    state: Mutex<State>,
    /// Tells the user.
    pub(super) notice: fn(&str),
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes lines for a file. Dropped without [`Recorder::finish`] it waits for nothing, and the last lines may be missing;
/// if there were none, it is abandoned.
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Keeps what there is, from wherever it was cloned to.
#[derive(Clone)]
pub struct Sealer {
    shared: Arc<Shared>,
}

impl Recorder {
    /// Makes the file or the folder, and the thread that writes.
    ///
    /// Every file begins with the lines of `header`, at once. Lines that were lost are told by the line that
    /// `loss_line` makes, as the first that is written after them. What the user should know at once `notice` is told,
    /// from threads of the recorder: a sentence that may have a path in it as it is, so it must be escaped. The thread that
    /// writes begins with `confine`, which is given the folder of the files: all it does from then on happens there.
    ///
    /// # Errors
    /// When there can be no file, or no thread.
    pub fn start(
        target: Target,
        header: impl Fn(Option<u32>) -> Vec<u8> + Send + 'static,
        loss_line: fn(&Loss) -> Vec<u8>,
        notice: fn(&str),
        confine: fn(BorrowedFd<'_>),
    ) -> Result<Self, TargetError> {
        let path = target.path().to_owned();
        let failed = |doing| move |error| TargetError::Failed { path, doing, error };
        let shared = Arc::new(Shared { waiting: Waiting::default(), state: Mutex::default(), notice });
        let store = target.create()?;
        let folder: OwnedFd =
            store.folder.as_fd().try_clone_to_owned().map_err(failed.clone()("open the folder"))?;
        let writer = Writer::new(Arc::clone(&shared), store, Box::new(header), loss_line)
            .map_err(failed.clone()("make room to compress"))?;
        let (tell, begun) = sync_channel(1);
        let confine = move || confine(folder.as_fd());
        let work = move || writer.run(tell);
        let thread = thread::start("portwatch-capture", confine, work).map_err(failed("start a thread"))?;
        // Who is told that recording has begun finds a file that can be read; not at the price of a disk that hangs.
        let _ = begun.recv_timeout(BEGIN);
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes whole lines, each with its line feed. Never waits: when too much waits for a disk that is slow, they are
    /// dropped and counted.
    pub fn append(&mut self, lines: &[u8]) {
        self.put(lines, Room::Bounded);
    }

    /// Takes the last lines, for which there is always room.
    pub fn append_last(&mut self, lines: &[u8]) {
        self.put(lines, Room::Always);
    }

    fn put(&mut self, lines: &[u8], room: Room) {
        if lines.is_empty() {
            return;
        }
        let dropped = self.shared.waiting.append(lines, room);
        if dropped.lines > 0 {
            let mut state = self.shared.state();
            state.lost_lines += dropped.lines;
            state.lost_bytes += dropped.bytes;
        }
    }

    /// How it goes.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state().clone()
    }

    /// What asks for sealed copies.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        Sealer { shared: Arc::clone(&self.shared) }
    }

    /// Writes what waits, and waits until it is on the disk and sealed copies are made.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let synced = self.end(End::Finish);
        Outcome { state: self.state(), synced }
    }

    /// Nothing is to be recorded after all: a file that has nothing but its first lines goes, and one that it was to
    /// replace stays. What has more is finished.
    pub fn abandon(mut self) {
        // What would not be on the disk goes.
        let _ = self.end(End::Abandon);
    }

    fn end(&mut self, end: End) -> io::Result<()> {
        self.shared.waiting.wish(|wishes| wishes.end = Some(end));
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(synced)) => synced,
            _ => Err(io::Error::other("the thread that writes has failed")),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.waiting.wish(|wishes| wishes.end = Some(End::Abandon));
    }
}

impl Sealer {
    /// Bytes of lines that wait to be written.
    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        self.shared.waiting.bytes()
    }

    /// Asks for a copy of all that is kept, what was appended just now included; `why` is for the user. Returns at once.
    pub fn seal(&self, why: &'static str) {
        self.shared.waiting.wish(|wishes| wishes.seal = Some(why));
    }
}
