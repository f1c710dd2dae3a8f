//! The files of a recording: which is written, which are kept.
//!
//! In: frames. Out: one file; or a folder of parts, of which the oldest go. Must not know: what frames hold, when they
//! come.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::part::Part;
use super::waiting::End;
use super::{Keep, part_name};

/// A part holds an eighth of what is kept, so that what is kept is never much less than was asked for.
const PARTS: u32 = 8;
/// Smaller parts would be little else than their first lines.
const LEAST_PART_BYTES: u64 = 4096;
/// Likewise.
const LEAST_PART_NS: i64 = 1_000_000_000;

/// Parts whose deletion made no room in which a frame could be written: what they hold is in sealed copies, or somebody
/// else has filled the room. More would go for nothing.
const MOST_IN_VAIN: u32 = 2;

/// Nanoseconds since boot, sleep included: what was recorded an hour ago is an hour old after a sleep, too, and when
/// somebody has set the clock.
pub(super) fn now_ns() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |now| now.tv_sec().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec()))
}

/// A part that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) number: u32,
    pub(super) bytes: u64,
    /// When its last frame was written, on the boot clock.
    pub(super) ended_ns: i64,
}

/// The files of a recording.
#[derive(Debug)]
pub(super) struct Store {
    /// Where the files are.
    pub(super) folder: File,
    /// What was asked for.
    pub(super) path: PathBuf,
    pub(super) files: Files,
    /// What is written now; none before the first frame of a part.
    pub(super) part: Option<Part>,
    /// Parts that were deleted before their time, as there was no room.
    pub(super) parts_for_room: u64,
    /// Such since a frame was written.
    in_vain: u32,
}

#[derive(Debug)]
pub(super) enum Files {
    /// One file.
    One {
        name: OsString,
        /// What it is called until the first frame behind the first lines is written.
        temporary: Option<OsString>,
    },
    /// Parts in a folder.
    Parts { keep: Keep, kept: VecDeque<Kept> },
}

impl Store {
    pub(super) fn file(
        folder: File,
        path: PathBuf,
        name: OsString,
        temporary: Option<OsString>,
        part: Part,
    ) -> Self {
        let files = Files::One { name, temporary };
        Self { folder, path, files, part: Some(part), parts_for_room: 0, in_vain: 0 }
    }

    pub(super) fn folder(folder: File, path: PathBuf, keep: Keep, kept: Vec<Kept>) -> Self {
        let files = Files::Parts { keep, kept: kept.into() };
        Self { folder, path, files, part: None, parts_for_room: 0, in_vain: 0 }
    }

    /// What was asked for.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The part that the next frame goes to, which may be a new one, without its first lines.
    pub(super) fn part(&mut self) -> io::Result<&mut Part> {
        if let Files::Parts { keep, .. } = self.files
            && self.part.as_ref().is_some_and(|part| is_full(part, keep))
        {
            self.end_part();
        }
        let part = match self.part.take() {
            Some(part) => part,
            None => self.next_part()?,
        };
        Ok(self.part.insert(part))
    }

    fn next_part(&mut self) -> io::Result<Part> {
        loop {
            let Files::Parts { kept, .. } = &self.files else { return Err(io::ErrorKind::NotFound.into()) };
            let number = kept.back().map_or(1, |last| last.number.saturating_add(1));
            match Part::create(&self.folder, part_name(number).as_ref(), number) {
                Ok(part) => return Ok(part),
                Err(error) => self.make_room(error.into())?,
            }
        }
    }

    /// Nothing more goes into the part that is written; the next frame begins another one.
    pub(super) fn end_part(&mut self) {
        if let Files::Parts { kept, .. } = &mut self.files
            && let Some(part) = self.part.take_if(|part| part.bytes > 0)
        {
            kept.push_back(Kept { number: part.number, bytes: part.bytes, ended_ns: part.written_ns });
        }
    }

    /// Writes a frame to the current part. Parts that are too old, or for which there is no room, go.
    pub(super) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.drop_old(frame.len() as u64);
        loop {
            let part = self.part.as_mut().ok_or(io::ErrorKind::NotFound)?;
            match part.write(frame) {
                Ok(()) => break,
                Err(error) => self.make_room(error)?,
            }
        }
        if !self.part.as_ref().is_some_and(Part::has_lines) {
            return Ok(());
        }
        self.in_vain = 0;
        if let Err(error) = self.take_its_name() {
            if let Some(part) = &mut self.part {
                part.cut_back(part.bytes - frame.len() as u64);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Deletes what need not be kept any more.
    fn drop_old(&mut self, coming_bytes: u64) {
        let Files::Parts { keep, kept } = &mut self.files else { return };
        let current = self.part.as_ref().map_or(0, |part| part.bytes);
        let mut bytes = kept.iter().map(|part| part.bytes).sum::<u64>() + current + coming_bytes;
        let now_ns = now_ns();
        while let Some(oldest) = kept.front() {
            let goes = match *keep {
                Keep::Bytes(limit) => bytes > limit,
                Keep::For(limit) => now_ns.saturating_sub(oldest.ended_ns) > nanoseconds(limit),
            };
            if !goes {
                break;
            }
            bytes -= oldest.bytes;
            delete(&self.folder, oldest.number);
            kept.pop_front();
        }
    }

    /// Deletes the oldest part if that may help against `error`, which else is the answer; never the last part, nor that
    /// which is written.
    fn make_room(&mut self, error: io::Error) -> io::Result<()> {
        let Files::Parts { kept, .. } = &mut self.files else { return Err(error) };
        if !is_full_disk(&error) || kept.len() < 2 || self.in_vain >= MOST_IN_VAIN {
            return Err(error);
        }
        let Some(oldest) = kept.pop_front() else { return Err(error) };
        delete(&self.folder, oldest.number);
        self.parts_for_room += 1;
        self.in_vain += 1;
        Ok(())
    }

    /// There is something in the file: it takes the place of what was there.
    fn take_its_name(&mut self) -> io::Result<()> {
        if let Files::One { name, temporary } = &mut self.files
            && let Some(first_name) = temporary.as_deref()
        {
            renameat(&self.folder, first_name, &self.folder, name.as_os_str())?;
            *temporary = None;
        }
        Ok(())
    }

    /// Nothing more is written. What holds nothing of use goes.
    pub(super) fn end(&mut self, end: End) -> io::Result<()> {
        let Some(part) = &self.part else { return Ok(()) };
        let is_empty = part.bytes == 0 || (end == End::Abandon && !part.has_lines());
        let ended = if is_empty { Ok(()) } else { self.take_its_name() };
        if is_empty || ended.is_err() {
            self.remove_part();
        }
        ended
    }

    fn remove_part(&mut self) {
        let Some(part) = self.part.take() else { return };
        match &self.files {
            Files::One { name, temporary } => {
                let name = temporary.as_ref().unwrap_or(name);
                let _ = unlinkat(&self.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir);
            }
            Files::Parts { .. } => delete(&self.folder, part.number),
        }
    }
}

fn is_full(part: &Part, keep: Keep) -> bool {
    match keep {
        Keep::Bytes(limit) => part.bytes >= (limit / u64::from(PARTS)).max(LEAST_PART_BYTES),
        Keep::For(limit) => {
            now_ns().saturating_sub(part.begun_ns)
                >= (nanoseconds(limit) / i64::from(PARTS)).max(LEAST_PART_NS)
        }
    }
}

fn nanoseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn delete(folder: &File, number: u32) {
    let name = part_name(number);
    match unlinkat(folder, name.as_str(), UnlinkatFlags::NoRemoveDir) {
        // Somebody else was faster.
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => log::warn!("delete the part {name}: {error}"),
    }
}

/// Room may come from other files of this recording.
fn is_full_disk(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
