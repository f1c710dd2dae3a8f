//! The number of a control group → the names of what runs in it, also when nothing does any more.
//!
//! In: the number, and whose control group it is. Out: names, by its path, which is found by the number itself where that
//! is allowed (`CAP_DAC_READ_SEARCH`), else by the process, else by looking at all of them. Only names of folders are
//! read, nothing that is inside them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use nix::libc;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::cgroup_path::{Names, names};
use crate::event::CgroupId;

/// Where version 2 is mounted: alone, or beside version 1.
const MOUNTS: [(&str, bool); 2] = [("/sys/fs/cgroup", false), ("/sys/fs/cgroup/unified", true)];
/// Control groups that are remembered, some 300 bytes each; when there are more, all are forgotten and found again.
const REMEMBERED: usize = 16_384;
/// Folders that are looked at when all are.
const WALKED: usize = 32_768;
/// How soon all are looked at again: some ten microseconds each.
const WALK_AGAIN: Duration = Duration::from_secs(1);
/// `FILEID_KERNFS`, include/linux/exportfs.h (5.5 to 7.3): the number is the whole handle.
const FILEID_KERNFS: i32 = 0xfe;

/// Of whom the unit, the container and the pod are known on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Also of processes that have ended, in this tree.
    Ended(PathBuf),
    /// Of them, too, but for control groups that are gone as well: all folders of this tree are looked at, as finding one by
    /// its number is not allowed.
    EndedInLiving(PathBuf),
    /// Of processes that live: there are no control groups of version 2.
    Living,
}

/// Control groups, by their numbers.
pub(super) struct Cgroups {
    /// None where there is no version 2.
    root: Option<PathBuf>,
    /// To find folders by their numbers in; none where that is not allowed.
    handles: Option<File>,
    /// Whether version 1 is there, too: then its paths may tell what that of version 2 does not.
    has_v1: bool,
    known: HashMap<CgroupId, Names, RandomState>,
    walked: Option<Instant>,
}

impl Cgroups {
    /// Those of this host.
    pub(super) fn of_host() -> Self {
        let is_v2 = |path: &str| statfs(path).is_ok_and(|of| of.filesystem_type() == CGROUP2_SUPER_MAGIC);
        let mount = MOUNTS.into_iter().find(|(path, _)| is_v2(path));
        let handles = mount.and_then(|(path, _)| File::open(path).ok());
        let (root, has_v1) = mount.map_or((None, true), |(path, has_v1)| (Some(path.into()), has_v1));
        Self { handles, has_v1, ..Self::below(root) }
    }

    /// Those below a folder, found by their names only.
    pub(super) fn below(root: Option<PathBuf>) -> Self {
        Self { root, handles: None, has_v1: false, known: HashMap::default(), walked: None }
    }

    /// Where they are; none where there is no version 2.
    pub(super) fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// Of whom names are known.
    pub(super) fn reach(&mut self) -> Reach {
        let Some(root) = self.root.clone() else { return Reach::Living };
        let number = std::fs::metadata(&root).map(|root| CgroupId(root.ino()));
        match number.ok().and_then(|number| self.by_handle(number)) {
            Some(_) => Reach::Ended(root),
            None => Reach::EndedInLiving(root),
        }
    }

    /// The names of this one. `of_process` reads the file /proc/PID/cgroup of a process that is in it, if that is alive.
    pub(super) fn names(&mut self, id: CgroupId, of_process: impl Fn() -> Option<Vec<u8>>) -> Names {
        if let Some(names) = self.known.get(&id) {
            return names.clone();
        }
        let by_number = self.by_handle(id);
        let lines = if by_number.is_none() || self.has_v1 { of_process() } else { None };
        if let Some(path) = by_number.or_else(|| self.verified(id, v2(lines.as_deref()?)?)) {
            let found = names(&path);
            if !self.has_v1 || found != Names::default() {
                self.remember(id, found.clone());
                return found;
            }
        }
        if let Some(lines) = lines {
            return of_lines(&lines);
        }
        // What is not found by its number is not there any more.
        if self.handles.is_none() { self.walk(id).unwrap_or_default() } else { Names::default() }
    }

    /// The path of a number, in the tree.
    fn by_handle(&mut self, CgroupId(id): CgroupId) -> Option<Vec<u8>> {
        /// `struct file_handle` (open_by_handle_at(2)) of kernfs.
        #[repr(C)]
        struct Handle {
            bytes: u32,
            kind: i32,
            id: u64,
        }
        let (root, mount) = (self.root.as_ref()?, self.handles.as_ref()?);
        let mut handle = Handle { bytes: 8, kind: FILEID_KERNFS, id };
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the handle has as many bytes behind its head as it says, and outlives the call.
        let folder =
            unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw mut handle, flags) };
        let Some(folder) = i32::try_from(folder).ok().filter(|folder| *folder >= 0) else {
            // Not allowed now is not allowed ever. Another error is about this control group.
            if nix::errno::Errno::last() == nix::errno::Errno::EPERM {
                self.handles = None;
            }
            return None;
        };
        // SAFETY: just opened, and nobody else's.
        let folder = unsafe { OwnedFd::from_raw_fd(folder) };
        let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
        let path = path.strip_prefix(root).ok()?.as_os_str().as_bytes();
        Some(path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec())
    }

    /// A path that a process has now, if it has this number: the process may have been moved.
    fn verified(&self, id: CgroupId, path: &[u8]) -> Option<Vec<u8>> {
        let folder = self.root()?.join(OsStr::from_bytes(path.strip_prefix(b"/")?));
        (std::fs::metadata(folder).ok()?.ino() == id.0).then(|| path.to_vec())
    }

    /// Remembers all there are, or as many as there is room for, and tells the names of one.
    fn walk(&mut self, wanted: CgroupId) -> Option<Names> {
        let root = self.root.clone()?;
        if self.walked.is_some_and(|walked| walked.elapsed() < WALK_AGAIN) {
            return None;
        }
        self.known.clear();
        let (mut seen, mut found) = (0, None);
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if seen == WALKED || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                seen += 1;
                let path = entry.path();
                if let Ok(below) = path.strip_prefix(&root) {
                    // Numbers of folders are those of their control groups.
                    let (id, names) = (CgroupId(entry.ino()), names(below.as_os_str().as_bytes()));
                    found = found.or_else(|| (id == wanted).then(|| names.clone()));
                    if self.known.len() < REMEMBERED {
                        self.known.insert(id, names);
                    }
                }
                folders.push(path);
            }
        }
        if seen == WALKED && self.walked.is_none() {
            log::warn!(
                "there are more than {WALKED} control groups: of those of processes that have ended some have no unit, \
                 container or pod"
            );
        }
        self.walked = Some(Instant::now());
        found
    }

    fn remember(&mut self, id: CgroupId, names: Names) {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(id, names);
    }
}

/// The path of version 2 among the lines of /proc/PID/cgroup (cgroups(7)).
pub(super) fn v2(lines: &[u8]) -> Option<&[u8]> {
    lines.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))
}

/// The names in the lines of /proc/PID/cgroup: those of the hierarchy that knows of a container, else systemd's own.
fn of_lines(lines: &[u8]) -> Names {
    let hierarchies = lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        Some((fields.next()?, names(fields.next()?)))
    });
    let mut best = Names::default();
    for (controllers, names) in hierarchies {
        if names.container.is_some() || names.pod.is_some() {
            return names;
        }
        if best.unit.is_none() || controllers == b"name=systemd" {
            best = names;
        }
    }
    best
}

#[cfg(test)]
mod tests;
