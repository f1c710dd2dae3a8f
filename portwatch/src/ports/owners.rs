//! Whose sockets these are, by the descriptors of processes.
//!
//! In: inode numbers of sockets. Out: process ids. Must not know: what else there is to say about a process.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::occupancy::Held;
use crate::event::{SocketState, Tgid};

/// Descriptors that are looked at, of all processes together: some seconds' work.
const DESCRIPTORS: u64 = 8_000_000;

/// Who owns a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// This process has it open; the one with the lowest id if several have.
    Process(Tgid),
    /// It is in TIME_WAIT, where the kernel keeps no owner.
    TimeWait,
    /// It has no inode any more: its process has closed it. Or never had one: it is the kernel's own.
    Closed,
    /// No process that could be looked into has it open.
    NotFound,
}

/// What the descriptors of processes told.
#[derive(Debug, Default)]
pub struct Owners {
    by_inode: HashMap<u32, Tgid>,
    /// What could not be seen, in sentences.
    pub limits: Vec<String>,
}

impl Owners {
    /// Nobody was looked for, and why.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        Self { limits: vec![why.to_owned()], ..Self::default() }
    }

    /// Looks for `inodes` below `proc_root`, `/proc` outside tests, until all are found.
    #[must_use]
    pub fn find(proc_root: &Path, mut inodes: HashSet<u32>) -> Self {
        let mut owners = Self::default();
        let mut left = DESCRIPTORS;
        let mut closed = 0_u64;
        for tgid in processes(proc_root) {
            if inodes.is_empty() {
                return owners;
            }
            let folder = proc_root.join(tgid.0.to_string()).join("fd");
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    closed += u64::from(error.kind() == io::ErrorKind::PermissionDenied);
                    continue;
                }
            };
            for entry in entries.flatten() {
                let Some(rest) = left.checked_sub(1) else {
                    owners.limits.push(format!(
                        "processes have more than {DESCRIPTORS} descriptors: holders were not looked for in the rest"
                    ));
                    return owners;
                };
                left = rest;
                let target = fs::read_link(entry.path()).unwrap_or_default();
                if let Some(inode) = inode(target.as_os_str())
                    && inodes.remove(&inode)
                {
                    owners.by_inode.insert(inode, tgid);
                }
            }
        }
        if closed > 0 && !inodes.is_empty() {
            owners.limits.push(format!(
                "{closed} processes could not be looked into, so holders are missing: run as root on the host, or \
                 with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, to see all"
            ));
        }
        owners
    }

    /// Who owns the socket.
    #[must_use]
    pub fn of(&self, held: &Held) -> Owner {
        match (self.by_inode.get(&held.inode), held.inode, held.state) {
            (Some(tgid), _, _) => Owner::Process(*tgid),
            (None, _, SocketState::TimeWait) => Owner::TimeWait,
            (None, 0, _) => Owner::Closed,
            (None, _, _) => Owner::NotFound,
        }
    }
}

/// All of them, the oldest first as far as ids tell: a socket that a child inherited is its parent's.
fn processes(proc_root: &Path) -> Vec<Tgid> {
    let entries = fs::read_dir(proc_root).into_iter().flatten().flatten();
    let mut found: Vec<Tgid> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Tgid).collect();
    found.sort_unstable();
    found
}

/// The number in `socket:[4711]`.
fn inode(target: &OsStr) -> Option<u32> {
    let number = target.as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{Held, Owner, Owners};
    use crate::event::{SocketState, Tgid};

    fn held(state: SocketState, inode: u32) -> Held {
        Held { port: 40000, state, inode, cookie: 1, left_s: 0 }
    }

    #[test]
    fn a_socket_belongs_to_the_oldest_process_that_has_it_open() {
        let root = tempfile::tempdir().unwrap();
        let descriptors = [
            ("100/fd/3", "socket:[7]"),
            ("20/fd/5", "socket:[7]"),
            ("20/fd/6", "socket:[8]"),
            ("20/fd/7", "pipe:[9]"),
            ("20/fd/8", "/tmp/socket:[9]"),
            ("20/fd/9", "socket:[x]"),
            ("self/fd/3", "socket:[9]"),
        ];
        for (name, target) in descriptors {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        let owners = Owners::find(root.path(), HashSet::from([7, 8, 9]));
        let cases = [
            ("open in two processes", held(SocketState::Established, 7), Owner::Process(Tgid(20))),
            ("open in one", held(SocketState::Bound, 8), Owner::Process(Tgid(20))),
            ("open in none", held(SocketState::Listen, 9), Owner::NotFound),
            ("closed by its process", held(SocketState::FinWait2, 0), Owner::Closed),
            ("over", held(SocketState::TimeWait, 0), Owner::TimeWait),
        ];
        for (what, held, owner) in cases {
            assert_eq!(owners.of(&held), owner, "{what}");
        }
        assert!(owners.limits.is_empty(), "{:?}", owners.limits);
    }
}
