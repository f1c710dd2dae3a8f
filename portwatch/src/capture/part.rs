//! One file of frames that is being written.
//!
//! In: frames. Out: a file that holds whole frames only, whatever fails. Must not know: what frames hold.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// A file, and how much of it is whole frames.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    /// Which part of the recording; 0 where there are none.
    pub(super) number: u32,
    /// Bytes of whole frames. Frames are written there, not where a write that failed has stopped.
    pub(super) bytes: u64,
    /// Bytes of the first of them, which has the first lines only.
    first_bytes: u64,
    /// When it was begun, on the boot clock.
    pub(super) begun_ns: i64,
    /// When its last frame was written, likewise.
    pub(super) written_ns: i64,
    /// A write failed, and what it left could not be cut off.
    dirty: bool,
}

impl Part {
    /// Makes a file that was not there. It can be read, too, so that copies of it can be made.
    pub(super) fn create(folder: &File, name: &OsStr, number: u32) -> Result<Self, nix::Error> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(folder, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into();
        let now_ns = super::store::now_ns();
        Ok(Self {
            file,
            number,
            bytes: 0,
            first_bytes: 0,
            begun_ns: now_ns,
            written_ns: now_ns,
            dirty: false,
        })
    }

    /// Appends a frame, or leaves the file as it was.
    pub(super) fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.bytes)?;
            self.dirty = false;
        }
        match self.file.write_all_at(frame, self.bytes) {
            Ok(()) => {
                if self.bytes == 0 {
                    self.first_bytes = frame.len() as u64;
                }
                self.bytes += frame.len() as u64;
                self.written_ns = super::store::now_ns();
                Ok(())
            }
            Err(error) => {
                self.dirty = self.file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }

    /// Whether there is more than the first lines.
    pub(super) fn has_lines(&self) -> bool {
        self.bytes > self.first_bytes
    }

    /// Forgets what was written behind the first so many bytes.
    pub(super) fn cut_back(&mut self, bytes: u64) {
        self.bytes = bytes;
        self.dirty = self.file.set_len(bytes).is_err();
    }

    /// Waits until all of it would survive a loss of power.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Another descriptor of the same file.
    pub(super) fn another(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}
