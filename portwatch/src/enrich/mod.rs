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
use std::time::{Duration, Instant};

use crate::event::{BootNs, Details, Process, Tgid};
pub use sysctls::Sysctls;

/// Processes remembered; when full, all are forgotten and read again.
const REMEMBERED: usize = 4096;
/// How long what was read is taken for true: a process may execute another program.
const FRESH: Duration = Duration::from_secs(1);

/// Where version 2 control groups are (cgroups(7)).
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Looks processes up, and remembers what it found.
pub struct Enricher {
    proc_root: PathBuf,
    seen: HashMap<(Tgid, BootNs), (Instant, Details)>,
}

impl Enricher {
    /// Reads below `proc_root`, `/proc` outside tests.
    #[must_use]
    pub fn new(proc_root: impl Into<PathBuf>) -> Self {
        Self { proc_root: proc_root.into(), seen: HashMap::new() }
    }

    /// Adds what is known about this process.
    pub fn enrich(&mut self, process: &mut Process) {
        let identity = (process.tgid, process.start);
        let known = self.seen.get(&identity).filter(|(read, _)| read.elapsed() < FRESH);
        if let Some((_, details)) = known {
            process.details = details.clone();
            return;
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        process.details = process::read(&self.proc_root, process.tgid, process.start);
        self.seen.insert(identity, (Instant::now(), process.details.clone()));
    }

    /// The start of a process as [`Self::identify`] finds it: /proc rounds it down.
    #[must_use]
    pub fn start_in_proc(start: BootNs) -> BootNs {
        process::as_in_proc(start)
    }

    /// The process that has this id now; none if nobody has, or if it may not be looked at.
    #[must_use]
    pub fn identify(&mut self, tgid: Tgid) -> Option<Process> {
        let mut process = process::identify(&self.proc_root, Path::new(CGROUP_ROOT), tgid)?;
        self.enrich(&mut process);
        Some(process)
    }

    /// Adds what was found earlier, without looking again.
    pub fn recall(&self, process: &mut Process) {
        if let Some((_, details)) = self.seen.get(&(process.tgid, process.start)) {
            process.details = details.clone();
        }
    }
}
