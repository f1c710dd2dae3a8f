//! Sealed copies: what a recording holds at an instant, where nothing deletes it.
//!
//! In: the files of a recording. Out: of parts, links in a folder beside them; of a file, or where there are no links,
//! what is to be copied; a thread of its own does all that may take time. Must not know: who asked.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::copying::{Copy, Copying, Holds, open_part};
use super::part::Part;
use super::recorder::Shared;
use super::store::{Files, Store};
use super::{ENDING, copying, part_name};

/// So many copies may be in the making; somebody who asks for more will hardly miss them.
const MAX_COPYING: usize = 4;

/// Seals what is kept, and ends the part that is written. Answers who makes the copy whole, if `running` threads are not
/// too many already.
pub(super) fn seal(
    store: &mut Store,
    why: &'static str,
    shared: &Arc<Shared>,
    running: usize,
) -> io::Result<JoinHandle<()>> {
    store.end_part();
    if running >= MAX_COPYING {
        return Err(io::Error::other("other copies are still being made"));
    }
    let copying = match &store.files {
        Files::One { name, .. } => file(store, name)?,
        Files::Parts { .. } => folder(store)?,
    };
    let (shared, path) = (Arc::clone(shared), store.path().to_owned());
    let copy = move || match copying.complete() {
        Ok(sealed) => copying::done(&shared, sealed, why),
        Err(error) => copying::failed(&shared, &path, why, &error),
    };
    std::thread::Builder::new().name("portwatch-seal".to_owned()).spawn(copy)
}

fn nothing() -> io::Error {
    io::Error::other("nothing was recorded yet")
}

fn file(store: &Store, name: &OsStr) -> io::Result<Copying> {
    let part = store.part.as_ref().filter(|part| part.bytes > 0).ok_or_else(nothing)?;
    let copy = Copy { from: part.another()?, bytes: part.bytes };
    let name = name.to_string_lossy();
    let stem = name.strip_suffix(ENDING).unwrap_or(&name);
    let folder = store.folder.try_clone()?;
    let (name, to) = with_free_name(
        &store.folder,
        |time| format!("{stem}.sealed-{time}{ENDING}"),
        |temporary| Part::create(&store.folder, temporary.as_ref(), 0),
        UnlinkatFlags::NoRemoveDir,
    )?;
    Ok(Copying::new(folder, store.path().with_file_name(&name), name, Holds::File { copy, to }))
}

fn folder(store: &Store) -> io::Result<Copying> {
    let Files::Parts { kept, .. } = &store.files else { return Err(nothing()) };
    if kept.is_empty() {
        return Err(nothing());
    }
    let folder = store.folder.try_clone()?;
    let (name, sealed) = with_free_name(
        &store.folder,
        |time| format!("sealed-{time}"),
        |temporary| {
            mkdirat(&store.folder, temporary, Mode::S_IRWXU)?;
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(&store.folder, temporary, flags, Mode::empty()).map(File::from)
        },
        UnlinkatFlags::RemoveDir,
    )?;
    let holds = Holds::Parts { sealed, linked: Vec::new(), copies: Vec::new() };
    let mut copying = Copying::new(folder, store.path().join(&name), name, holds);
    let Holds::Parts { sealed, linked, copies } = &mut copying.holds else { return Err(nothing()) };
    for part in kept {
        let name = part_name(part.number);
        match linkat(&store.folder, name.as_str(), &*sealed, name.as_str(), AtFlags::empty()) {
            Ok(()) => linked.push(part.number),
            // Somebody else has deleted it.
            Err(Errno::ENOENT) => {}
            // Not on this file system, or not any more links.
            Err(Errno::EPERM | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EMLINK | Errno::EXDEV) => {
                // Opened now, as it may go before it is copied.
                let from = open_part(&store.folder, &name)?;
                copies.push((part.number, Copy { from, bytes: part.bytes }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(copying)
}

/// Makes something under the temporary name of what has the time of day in its name, and a number where that is taken.
fn with_free_name<T>(
    folder: &File,
    name: impl Fn(&str) -> String,
    make: impl Fn(&str) -> Result<T, Errno>,
    flags: UnlinkatFlags,
) -> io::Result<(String, T)> {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    for number in 1..=u32::from(u8::MAX) {
        let name = if number == 1 { name(&time) } else { name(&format!("{time}-{number}")) };
        let temporary = copying::temporary(&name);
        let made = match make(&temporary) {
            Err(Errno::EEXIST) => continue,
            made => made?,
        };
        // Who has the temporary name is alone in taking the other one.
        match fstatat(folder, name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => return Ok((name, made)),
            _ => unlinkat(folder, temporary.as_str(), flags)?,
        }
    }
    Err(Errno::EEXIST.into())
}
