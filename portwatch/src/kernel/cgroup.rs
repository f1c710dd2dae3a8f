//! The control group whose tasks are watched, with those below it.
//!
//! In: what a user calls it. Out: its folder, opened once, so that it stays the one that was meant. Must not know: what is
//! reported of its tasks.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use crate::event::{Cgroup, CgroupId, Text};

/// Where version 2 is mounted: alone, or beside version 1 (systemd's "hybrid").
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A version 2 control group that is there.
#[derive(Debug)]
pub struct OpenCgroup {
    folder: File,
    /// Which it is.
    pub facts: Cgroup,
}

/// Why there is no such control group.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Nothing has this name.
    #[error(
        "find the control group {}: there is no such folder, here or below {}\n\
         hint: `systemctl show -P ControlGroup UNIT` and the line 0:: of /proc/PID/cgroup tell the name",
        .0.display(), ROOTS[0]
    )]
    Absent(PathBuf),
    /// Something else has.
    #[error("find the control group {}: this is not in a tree of version 2 (cgroup2), the only version that is known to programs", .0.display())]
    Other(PathBuf),
    /// It cannot be opened.
    #[error("open the control group {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
}

impl OpenCgroup {
    /// Finds it by its folder, or by its name as in /proc/PID/cgroup.
    ///
    /// # Errors
    /// When there is none, or it may not be opened.
    pub fn find(wanted: &Path) -> Result<Self, CgroupError> {
        let bytes = wanted.as_os_str().as_bytes();
        let name = Path::new(OsStr::from_bytes(bytes.strip_prefix(b"0::").unwrap_or(bytes)));
        if name.as_os_str().is_empty() {
            return Err(CgroupError::Absent(wanted.to_owned()));
        }
        let below = |root| Path::new(root).join(name.strip_prefix("/").unwrap_or(name));
        let mut why_not = CgroupError::Absent(name.to_owned());
        for path in std::iter::once(name.to_owned()).chain(ROOTS.map(below)) {
            match Self::open(path) {
                Ok(group) => return Ok(group),
                Err(CgroupError::Absent(_)) => {}
                Err(error) => why_not = error,
            }
        }
        Err(why_not)
    }

    fn open(path: PathBuf) -> Result<Self, CgroupError> {
        let opened = path.canonicalize().and_then(|path| {
            let folder = File::open(&path)?;
            let number = folder.metadata()?.ino();
            let tree = fstatfs(&folder)?.filesystem_type();
            Ok((path, folder, number, tree))
        });
        match opened {
            Ok((path, folder, number, CGROUP2_SUPER_MAGIC)) if path.is_dir() => {
                let name = Text(path.into_os_string().into_encoded_bytes());
                Ok(Self { folder, facts: Cgroup { id: CgroupId(number), path: name } })
            }
            Ok((path, ..)) => Err(CgroupError::Other(path)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(CgroupError::Absent(path))
            }
            Err(error) => Err(CgroupError::Unreadable(path, error)),
        }
    }

    /// Its folder, as the kernel wants to be told of it.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::OpenCgroup;

    #[test]
    fn what_is_no_control_group_is_said_to_be_none_with_where_to_find_the_names() {
        let cases = [
            ("/proc/self", "not in a tree of version 2"),
            ("/etc/passwd", "not in a tree of version 2"),
            ("nobody.slice/nothing.service", "systemctl show -P ControlGroup"),
            ("0::/nobody.slice", "control group /nobody.slice: there is no such folder"),
            ("", "there is no such folder"),
            ("0::", "there is no such folder"),
        ];
        for (wanted, said) in cases {
            let error = OpenCgroup::find(Path::new(wanted)).unwrap_err().to_string();
            assert!(error.contains(said), "{wanted}: {error}");
        }
    }
}
