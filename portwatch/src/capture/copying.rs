//! Making a sealed copy whole.
//!
//! In: what was linked, and what is to be copied. Out: a copy that is on the disk under its name, or none. It may take
//! as long as the disk does, so a thread of its own does it. Must not know: what is sealed when, and by whom.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::part::Part;
use super::part_name;
use super::recorder::Shared;

/// The first bytes of a file.
pub(super) struct Copy {
    pub(super) from: File,
    pub(super) bytes: u64,
}

/// What a sealed copy holds.
pub(super) enum Holds {
    /// What a file did.
    File { copy: Copy, to: Part },
    /// Parts of these numbers, in a folder of their own.
    Parts { sealed: File, linked: Vec<u32>, copies: Vec<(u32, Copy)> },
}

/// A sealed copy in the making. What is not made whole goes with it.
pub(super) struct Copying {
    folder: File,
    path: PathBuf,
    name: String,
    pub(super) holds: Holds,
    is_whole: bool,
}

/// What a copy is called until it is whole; no reader takes that for a capture.
pub(super) fn temporary(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Opens a part to read it, and nothing that was put in its place.
pub(super) fn open_part(folder: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{name} is not a regular file")));
    }
    Ok(file)
}

/// Says that a copy is whole.
pub(super) fn done(shared: &Shared, sealed: PathBuf, why: &str) {
    let sentence = format!("sealed a copy in {} ({why})", sealed.display());
    let mut state = shared.state();
    state.sealed += 1;
    state.last_sealed = Some(sealed);
    drop(state);
    (shared.notice)(&sentence);
}

/// Says that there is none.
pub(super) fn failed(shared: &Shared, path: &Path, why: &str, error: &io::Error) {
    shared.state().seal_errors += 1;
    (shared.notice)(&format!("sealing a copy of {} ({why}) failed: {error}", path.display()));
}

impl Copying {
    /// Something that is in `folder` under the temporary name of `name`.
    pub(super) fn new(folder: File, path: PathBuf, name: String, holds: Holds) -> Self {
        Self { folder, path, name, holds, is_whole: false }
    }

    /// Copies what was not linked, waits for the disk, and gives it its name. Answers where it is.
    pub(super) fn complete(mut self) -> io::Result<PathBuf> {
        match &mut self.holds {
            Holds::File { copy, to } => copy_to(copy, to)?,
            Holds::Parts { sealed, linked, copies } => {
                for (number, copy) in copies {
                    copy_to(copy, &mut Part::create(sealed, part_name(*number).as_ref(), *number)?)?;
                }
                for number in linked {
                    open_part(sealed, &part_name(*number))?.sync_data()?;
                }
                sealed.sync_all()?;
            }
        }
        renameat(&self.folder, temporary(&self.name).as_str(), &self.folder, self.name.as_str())?;
        self.is_whole = true;
        self.folder.sync_all()?;
        Ok(self.path.clone())
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        let temporary = temporary(&self.name);
        let flags = match &self.holds {
            Holds::File { .. } => UnlinkatFlags::NoRemoveDir,
            Holds::Parts { sealed, linked, copies } => {
                for number in linked.iter().chain(copies.iter().map(|(number, _)| number)) {
                    let _ = unlinkat(sealed, part_name(*number).as_str(), UnlinkatFlags::NoRemoveDir);
                }
                UnlinkatFlags::RemoveDir
            }
        };
        if let Err(error) = unlinkat(&self.folder, temporary.as_str(), flags) {
            log::warn!("delete {temporary}, a copy that is not whole: {error}");
        }
    }
}

fn copy_to(copy: &Copy, to: &mut Part) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    while to.bytes < copy.bytes {
        let wanted = usize::try_from(copy.bytes - to.bytes).unwrap_or(usize::MAX).min(buffer.len());
        let read = copy.from.read_at(&mut buffer[..wanted], to.bytes)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write(&buffer[..read])?;
    }
    to.sync()
}
