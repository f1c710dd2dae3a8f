//! Where a recording goes.
//!
//! In: a path. Out: a folder that was opened and looked at, and later the file in it, or why it will not do. Must not
//! know: what is written.

mod error;

use std::ffi::{OsStr, OsString};
use std::fs::{File, TryLockError};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat, mkdirat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, geteuid, unlinkat};

pub use error::TargetError;

use super::part::Part;
use super::store::{Kept, Store};

/// How much of a recording in a folder is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What was written in so much time.
    For(Duration),
    /// So many bytes of files.
    Bytes(u64),
}

/// A place for a recording that was looked at, and where nothing was written yet.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// A file of this name in this folder.
    File {
        folder: File,
        name: OsString,
        /// Whether one that is there is replaced.
        force: bool,
    },
    /// A folder that is there.
    Folder { folder: File, keep: Keep },
    /// A folder that is to be made.
    NewFolder { parent: File, name: OsString, keep: Keep },
}

/// Nobody but the owner, and root, may put something else in the place of what is in a folder. In one that is sticky, as
/// /tmp, everybody may make files and nobody may touch those of others; there it is enough that the file is made by
/// `O_EXCL`, which follows no link and finds nothing that was prepared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sticky {
    WillDo,
    /// What has the name of a part is taken for a part.
    WillNot,
}

impl Target {
    /// A capture file. What is there already is replaced only by `force`, and not before recording begins.
    ///
    /// # Errors
    /// When no file can be made there, or it would not be safe there.
    pub fn file(path: &Path, force: bool) -> Result<Self, TargetError> {
        let path = normal(path);
        let (folder, name) = open_parent(&path)?;
        match kind(&folder, &name, &path)? {
            None => {}
            Some(SFlag::S_IFREG) if force => {}
            Some(SFlag::S_IFREG) => return Err(TargetError::FileExists(path)),
            Some(other) => {
                let what = described(other);
                return Err(TargetError::Other { path, what, wanted: "regular files" });
            }
        }
        Ok(Self { path, place: Place::File { folder, name, force } })
    }

    /// A folder of parts, of which the oldest go when there is more than is to be kept. Recording goes on behind those that
    /// are there.
    ///
    /// # Errors
    /// When no files can be made there, or they would not be safe there.
    pub fn folder(path: &Path, keep: Keep) -> Result<Self, TargetError> {
        let path = normal(path);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let place = match open(&path, flags, Mode::empty()) {
            Ok(folder) => {
                let folder = File::from(folder);
                check_folder(&folder, &path, &path, Sticky::WillNot)?;
                lock(&folder, &path)?;
                Place::Folder { folder, keep }
            }
            Err(Errno::ENOENT) => {
                let (parent, name) = open_parent(&path)?;
                Place::NewFolder { parent, name, keep }
            }
            // What open(2) says of links and files: ELOOP or ENOTDIR, which does not help.
            Err(error) => {
                if let Ok((parent, name)) = open_parent(&path)
                    && let Some(other) = kind(&parent, &name, &path)?
                    && other != SFlag::S_IFDIR
                {
                    let what = described(other);
                    return Err(TargetError::Other {
                        path,
                        what,
                        wanted: "folders if something is to be kept",
                    });
                }
                return Err(TargetError::Folder { folder: path.clone(), path, error: error.into() });
            }
        };
        Ok(Self { path, place })
    }

    /// What was asked for.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file, or the folder.
    pub(super) fn create(self) -> Result<Store, TargetError> {
        let Self { path, place } = self;
        let failed =
            |doing, error: Errno| TargetError::Failed { path: path.clone(), doing, error: error.into() };
        match place {
            Place::File { folder, name, force } => {
                // What is there goes when the first frame is written, so that a recording that never begins costs nothing.
                let temporary = force.then(|| OsString::from(format!(".portwatch-{}", std::process::id())));
                let first_name = temporary.as_deref().unwrap_or(&name);
                if temporary.is_some() {
                    // Left over from a process with this id that was killed.
                    let _ = unlinkat(&folder, first_name, UnlinkatFlags::NoRemoveDir);
                }
                let part =
                    Part::create(&folder, first_name, 0).map_err(|error| failed("make the file", error))?;
                Ok(Store::file(folder, path, name, temporary, part))
            }
            Place::Folder { folder, keep } => {
                let kept = parts(&folder, &path, super::store::now_ns())?;
                Ok(Store::folder(folder, path, keep, kept))
            }
            Place::NewFolder { parent, name, keep } => {
                mkdirat(&parent, name.as_os_str(), Mode::S_IRWXU)
                    .map_err(|error| failed("make the folder", error))?;
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let folder = openat(&parent, name.as_os_str(), flags, Mode::empty())
                    .map_err(|error| failed("open the folder", error))?;
                let folder = File::from(folder);
                // Somebody who was waiting for it may have been faster.
                lock(&folder, &path)?;
                Ok(Store::folder(folder, path, keep, Vec::new()))
            }
        }
    }
}

/// Without a slash at its end, by which a link would be followed.
fn normal(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Opens the folder that `path` is in.
fn open_parent(path: &Path) -> Result<(File, OsString), TargetError> {
    let (Some(name), Some(Component::Normal(_))) = (path.file_name(), path.components().next_back()) else {
        return Err(TargetError::NoName(path.to_owned()));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = open(folder, flags, Mode::empty()).map_err(|error| TargetError::Folder {
        path: path.to_owned(),
        folder: folder.to_owned(),
        error: error.into(),
    })?;
    let opened = File::from(opened);
    check_folder(&opened, folder, path, Sticky::WillDo)?;
    Ok((opened, name.to_owned()))
}

/// Until it is closed. Not every file system can; then it is up to whoever starts two of them.
fn lock(folder: &File, path: &Path) -> Result<(), TargetError> {
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => Err(TargetError::InUse(path.to_owned())),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

fn check_folder(folder: &File, shown: &Path, path: &Path, sticky: Sticky) -> Result<(), TargetError> {
    let no = |error| TargetError::Folder { path: path.to_owned(), folder: shown.to_owned(), error };
    let facts = folder.metadata().map_err(no)?;
    let uid = facts.uid();
    if uid != 0 && uid != geteuid().as_raw() {
        return Err(TargetError::OfAnother { path: path.to_owned(), folder: shown.to_owned(), uid });
    }
    let mode = facts.mode() & 0o7777;
    let by_others = mode & (Mode::S_IWGRP | Mode::S_IWOTH).bits() != 0;
    let is_sticky = mode & Mode::S_ISVTX.bits() != 0;
    if by_others && !(is_sticky && sticky == Sticky::WillDo) {
        return Err(TargetError::WritableByOthers { path: path.to_owned(), folder: shown.to_owned(), mode });
    }
    let access = AccessFlags::W_OK | AccessFlags::X_OK;
    faccessat(folder, ".", access, AtFlags::AT_EACCESS).map_err(|error| no(error.into()))
}

/// What has this name in this folder.
fn kind(folder: &File, name: &OsStr, path: &Path) -> Result<Option<SFlag>, TargetError> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(facts) => Ok(Some(SFlag::from_bits_truncate(facts.st_mode & SFlag::S_IFMT.bits()))),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(TargetError::Failed {
            path: path.to_owned(),
            doing: "look what is there",
            error: error.into(),
        }),
    }
}

fn described(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFLNK => "a symbolic link",
        SFlag::S_IFDIR => "a folder",
        SFlag::S_IFREG => "a file",
        SFlag::S_IFIFO => "a pipe",
        SFlag::S_IFSOCK => "a socket",
        _ => "a device",
    }
}

/// The parts in a folder, the oldest first. What a recording has left there ages on: `now_ns` is on the boot clock.
fn parts(folder: &File, path: &Path, now_ns: i64) -> Result<Vec<Kept>, TargetError> {
    let failed = |error| TargetError::Failed { path: path.to_owned(), doing: "list the parts", error };
    let mut parts = Vec::new();
    // The folder that was looked at, not what has its path by now.
    let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(number) = entry.file_name().to_str().and_then(super::part_number) else { continue };
        let facts = entry.metadata().map_err(failed)?;
        let age = facts.modified().ok().and_then(|ended| ended.elapsed().ok()).unwrap_or_default();
        let age_ns = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        parts.push(Kept { number, bytes: facts.len(), ended_ns: now_ns.saturating_sub(age_ns) });
    }
    parts.sort_by_key(|part| part.number);
    Ok(parts)
}
