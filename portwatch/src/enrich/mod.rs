//! What /proc still knows about a process whose event was just read, or whose socket was found, and settings where no
//! hook tells of them. The only module that reads /proc and /sys for that.
//!
//! In: a [`Process`] as the kernel side named it. Out: the same with [`Details`]. Identity never comes from here: a
//! process whose start time does not match is another one. The exception is who holds a socket: that is looked up by
//! id, as nothing else is known.

mod process;
mod sysctls;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::event::{BootNs, Details, Process, Tgid};
pub use sysctls::Sysctls;

/// Processes remembered; when full, all are forgotten and read again.
const REMEMBERED: usize = 4096;
/// How long what was read is taken for true, nanoseconds: a process may execute another program.
const FRESH_NS: u64 = 1_000_000_000;

/// Where version 2 control groups are (cgroups(7)).
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Looks processes up, and remembers what it found.
pub struct Enricher {
    proc_root: PathBuf,
    /// By identity, what was read for something that happened at this instant.
    seen: HashMap<(Tgid, BootNs), (BootNs, Arc<Details>), RandomState>,
}

impl Enricher {
    /// Reads below `proc_root`, `/proc` outside tests.
    #[must_use]
    pub fn new(proc_root: impl Into<PathBuf>) -> Self {
        Self { proc_root: proc_root.into(), seen: HashMap::default() }
    }

    /// Adds what is known about this process, to whom something happened `at` this instant.
    pub fn enrich(&mut self, process: &mut Process, at: BootNs) {
        let identity = (process.tgid, process.start);
        let is_fresh = |read: BootNs| at.0.saturating_sub(read.0) < FRESH_NS;
        let known = self.seen.get(&identity).filter(|(read, _)| is_fresh(*read));
        if let Some((_, details)) = known {
            process.details = Arc::clone(details);
            return;
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        process.details = process::read(&self.proc_root, process.tgid, process.start).into();
        self.seen.insert(identity, (at, Arc::clone(&process.details)));
    }

    /// The start of a process as [`Self::identify`] finds it: /proc rounds it down.
    #[must_use]
    pub fn start_in_proc(start: BootNs) -> BootNs {
        process::as_in_proc(start)
    }

    /// The process that has this id now, `at` this instant; none if nobody has, or if it may not be looked at.
    #[must_use]
    pub fn identify(&mut self, tgid: Tgid, at: BootNs) -> Option<Process> {
        let mut process = process::identify(&self.proc_root, Path::new(CGROUP_ROOT), tgid)?;
        self.enrich(&mut process, at);
        Some(process)
    }

    /// Adds what was found earlier, without looking again.
    pub fn recall(&self, process: &mut Process) {
        if let Some((_, details)) = self.seen.get(&(process.tgid, process.start)) {
            process.details = Arc::clone(details);
        }
    }
}
