//! Reading a capture.
//!
//! In: a file, which may hold anything. Out: whole lines of frames whose checksum is right, and what is missing between
//! them. Memory is bounded whatever the file holds. Must not know: what lines mean.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::decoder::Decoder;
use super::files::STDIN;
use super::input::Input;
use super::pool::{Ends, Message, pool};

/// What comes next in a capture.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Whole lines, each with its line feed.
    Lines(&'a [u8]),
    /// Something is missing here.
    Damage(Damage),
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Why.
    pub kind: DamageKind,
    /// Where in the file that is, or was noticed.
    pub offset: u64,
    /// So many bytes of the file were skipped; or of a line, where that is cut off or too long, as it would be without
    /// compression. 0 where it is not known.
    pub bytes: u64,
}

/// Why something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageKind {
    /// The file ends within a frame, or a line: its writer was killed, or the file was copied too early.
    CutOff,
    /// This is no frame with a checksum that is right.
    Damaged,
    /// It would take more memory, or time, than is given to a capture.
    TooLarge,
    /// The system does not let read on.
    Unreadable(String),
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened.
    #[error("read the capture {}: {error}", path.display())]
    Failed {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It can be, but is nothing that holds a capture.
    #[error("read the capture {}: this is {what}, and captures are files, folders of files, or come through a pipe", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
}

/// Hands out the lines of a capture. A thread of its own decompresses ahead, by a bounded number of buffers.
pub struct Reader {
    path: PathBuf,
    ends: Ends,
    /// What was handed out last.
    current: Option<(Vec<u8>, usize)>,
    ended: bool,
}

impl Reader {
    /// Opens a capture file; `-` is stdin. Needs nothing but permission to read.
    ///
    /// # Errors
    /// When it is no file or pipe, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Failed { path: path.to_owned(), error };
        let file = if path == Path::new(STDIN) { stdin(path)? } else { named(path)? };
        let input = Input::new(file).map_err(failed)?;
        let (output, ends) = pool();
        let decoder = Decoder::new(input, output).map_err(failed)?;
        std::thread::Builder::new()
            .name("portwatch-reader".to_owned())
            .spawn(|| decoder.run())
            .map_err(failed)?;
        Ok(Self { path: path.to_owned(), ends, current: None, ended: false })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lines that were handed out last, until something else comes.
    #[must_use]
    pub fn lines(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |(buffer, end)| &buffer[..*end])
    }

    /// What comes next, in the order of the file; none at its end.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Option<Chunk<'_>> {
        if let Some((buffer, _)) = self.current.take() {
            // The thread may have ended.
            let _ = self.ends.returns.send(buffer);
        }
        if self.ended {
            return None;
        }
        match self.ends.messages.recv() {
            Ok(Message::Lines(buffer, end)) => {
                let (buffer, end) = self.current.insert((buffer, end));
                Some(Chunk::Lines(&buffer[..*end]))
            }
            Ok(Message::Damage(damage)) => Some(Chunk::Damage(damage)),
            Ok(Message::End) => {
                self.ended = true;
                None
            }
            Err(_) => {
                self.ended = true;
                let kind = DamageKind::Unreadable("the thread that decompresses has failed".to_owned());
                Some(Chunk::Damage(Damage { kind, offset: 0, bytes: 0 }))
            }
        }
    }
}

fn stdin(path: &Path) -> Result<File, OpenError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(OpenError::NoFile { path: path.to_owned(), what: "a terminal" });
    }
    let file = stdin.as_fd().try_clone_to_owned().map(File::from);
    file.map_err(|error| OpenError::Failed { path: path.to_owned(), error })
}

/// Opens what will not block and has no effects: of devices opening alone may have some, and a pipe would wait for a
/// writer.
fn named(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Failed { path: path.to_owned(), error };
    check(&path.metadata().map_err(failed)?, path)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits()).open(path).map_err(failed)?;
    // What was looked at may have been something else.
    check(&file.metadata().map_err(failed)?, path)?;
    // From here on reading may wait: where a pipe has no writer it has ended.
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).map_err(|error| failed(error.into()))?;
    Ok(file)
}

fn check(facts: &std::fs::Metadata, path: &Path) -> Result<(), OpenError> {
    let kind = facts.file_type();
    if kind.is_file() || kind.is_fifo() {
        return Ok(());
    }
    let what = match () {
        () if kind.is_dir() => "a folder in a folder",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(OpenError::NoFile { path: path.to_owned(), what })
}
