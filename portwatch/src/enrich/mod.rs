//! What is known about a process whose event was just read, or whose socket was found, beyond what the kernel side told;
//! settings where no hook tells of them; and what portwatch itself takes. The only module that reads /proc, /sys/fs/cgroup and
//! /etc/passwd for that, and that asks container runtimes.
//!
//! In: a [`Process`] as the kernel side named it. Out: the same with [`Details`]. Identity never
//! comes from here: a process whose start time does not match is another one. The exception is who holds a socket: that is
//! looked up by id, as nothing else is known. All of it is read by threads of its own, as reading may hang; who asks waits
//! for a bounded time, and goes on with what is known by then.

mod cgroup;
mod cgroup_path;
mod cri;
mod kubernetes;
mod look;
mod lookup;
mod own;
mod pods;
mod process;
mod sysctls;
mod users;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::event::{BootNs, CgroupId, Details, Process, Tgid};
use cgroup::Cgroups;
pub use cgroup::Reach;
use kubernetes::Kubernetes;
pub use kubernetes::NameSource;
use look::{Places, Question};
use lookup::{Look, READERS, Readers, Slip};
pub use own::usage;
pub use sysctls::Sysctls;
use users::Users;

/// Processes remembered; when full, all are forgotten and read again.
const REMEMBERED: usize = 4096;
/// The same of control groups, some 400 bytes each.
const REMEMBERED_GROUPS: usize = 16_384;
/// The number of the root (`kernfs_create_root`, 5.10 to 7.3), where all are that have no control group of version 2.
const ROOT_CGROUP: CgroupId = CgroupId(1);
/// How long what was read is taken for true, nanoseconds: a process may execute another program.
const FRESH_NS: u64 = 1_000_000_000;

/// Users of this host (passwd(5)).
const USERS: &str = "/etc/passwd";

/// Looks processes up, and remembers what it found.
pub struct Enricher {
    readers: Readers<Question, Option<Process>>,
    /// By identity, what was read for something that happened at this instant.
    seen: HashMap<Identity, (BootNs, Arc<Details>), RandomState>,
    /// By control group, its names: also of processes that are not remembered any more.
    groups: HashMap<CgroupId, Arc<Details>, RandomState>,
    /// Processes that are not asked about again before they have answered.
    late: Vec<Late>,
    unanswered: u64,
}

type Identity = (Tgid, BootNs);

/// A question that was not answered in time.
struct Late {
    tgid: Tgid,
    /// None where the process was asked about by its id.
    start: Option<BootNs>,
    slip: Arc<Slip<Option<Process>>>,
}

/// Of whom the unit, the container and the pod are known on this host, with the privileges of the calling thread.
#[must_use]
pub fn reach() -> Reach {
    Cgroups::of_host().reach()
}

impl Enricher {
    /// Starts threads that read below `proc_root`, `/proc` outside tests. Each begins with `confine`, after which it only
    /// reads.
    #[must_use]
    pub fn new(proc_root: impl Into<PathBuf>, confine: fn()) -> Self {
        Self::of(Places::new(proc_root.into(), Cgroups::of_host(), Users::new(USERS)), confine)
    }

    /// The same, with names of Kubernetes from container runtimes and kubelet's folders of logs. The thread that asks runtimes
    /// begins with `confine_asking`, after which it only connects to their sockets.
    #[must_use]
    pub fn with_kubernetes(proc_root: impl Into<PathBuf>, confine: fn(), confine_asking: fn()) -> Self {
        let places = Places::new(proc_root.into(), Cgroups::of_host(), Users::new(USERS));
        Self::of(places.with_kubernetes(Kubernetes::of_host(Path::new("/"), confine_asking)), confine)
    }

    fn of(places: Places, confine: fn()) -> Self {
        let look: Arc<Look<_, _>> = Arc::new(move |question, slip: &Slip<_>| places.look(question, slip));
        Self::by(Readers::start(&look, confine))
    }

    fn by(readers: Readers<Question, Option<Process>>) -> Self {
        Self {
            readers,
            seen: HashMap::default(),
            groups: HashMap::default(),
            late: Vec::new(),
            unanswered: 0,
        }
    }

    /// Another one, which asks the same threads.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::by(self.readers.clone())
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
        let (tgid, start) = identity;
        if let Ok(Some(found)) | Err(Some(found)) =
            self.ask(Question::Known(process.clone()), (tgid, Some(start)), at)
        {
            process.details = found.details;
        } else {
            // It hangs, or all do: what was known of it is better than nothing.
            self.recall(process);
        }
    }

    /// The start of a process as [`Self::identify`] finds it: /proc rounds it down.
    #[must_use]
    pub fn start_in_proc(start: BootNs) -> BootNs {
        process::as_in_proc(start)
    }

    /// The process that has this id now, `at` this instant; none if nobody has, or if it may not be looked at.
    #[must_use]
    pub fn identify(&mut self, tgid: Tgid, at: BootNs) -> Option<Process> {
        let (Ok(found) | Err(found)) = self.ask(Question::WithId(tgid), (tgid, None), at);
        found
    }

    /// Adds what was found earlier, without looking again.
    pub fn recall(&self, process: &mut Process) {
        if let Some((_, details)) = self.seen.get(&(process.tgid, process.start)) {
            process.details = Arc::clone(details);
        } else if let Some(details) = self.groups.get(&process.cgroup) {
            process.details = Arc::clone(details);
        }
    }

    /// How often a process was not asked about, or did not answer in time, so far.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// The answer; or what there is of it where it does not come in time.
    fn ask(
        &mut self,
        question: Question,
        (tgid, start): (Tgid, Option<BootNs>),
        at: BootNs,
    ) -> Result<Option<Process>, Option<Process>> {
        self.take_late_answers(at);
        if let Some(late) = self.late.iter().find(|late| (late.tgid, late.start) == (tgid, start)) {
            return Err(late.slip.so_far());
        }
        let room = self.late.len() < READERS;
        let Some(slip) = room.then(|| self.readers.ask(question, None)).flatten() else {
            self.unanswered += 1;
            return Err(None);
        };
        let answer = slip.wait();
        match &answer {
            Ok(Some(found)) => self.remember(found, at),
            Ok(None) => {}
            Err(_) => {
                if self.unanswered == 0 {
                    log::warn!(
                        "reading /proc/{} took too long, and is not waited for; such processes have no executable and \
                         arguments here, and when {READERS} hang no names",
                        tgid.0
                    );
                }
                self.unanswered += 1;
                self.late.push(Late { tgid, start, slip });
            }
        }
        answer
    }

    fn take_late_answers(&mut self, at: BootNs) {
        let late = std::mem::take(&mut self.late);
        for late in late {
            match late.slip.complete() {
                Some(answer) => answer.iter().for_each(|found| self.remember(found, at)),
                None => self.late.push(late),
            }
        }
    }

    fn remember(&mut self, found: &Process, at: BootNs) {
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        self.seen.insert((found.tgid, found.start), (at, Arc::clone(&found.details)));
        let Details { unit, container, pod, .. } = &*found.details;
        let has_names = unit.is_some() || container.is_some() || pod.is_some();
        // Kubernetes' may come later than others.
        let is_more = |known: &Arc<Details>| kubernetes_names(&found.details) > kubernetes_names(known);
        if has_names && found.cgroup > ROOT_CGROUP && self.groups.get(&found.cgroup).is_none_or(is_more) {
            if self.groups.len() >= REMEMBERED_GROUPS {
                self.groups.clear();
            }
            let (unit, container, pod) = (unit.clone(), container.clone(), pod.clone());
            let names = Details { unit, container, pod, ..Details::default() };
            self.groups.insert(found.cgroup, Arc::new(names));
        }
    }
}

/// Who knows names of Kubernetes on this host: what `--kubernetes` would ask. The thread that does begins with `confine`.
#[must_use]
pub fn name_sources(confine: fn()) -> Vec<NameSource> {
    kubernetes::sources(Path::new("/"), confine)
}

/// How many names of Kubernetes there are in it.
fn kubernetes_names(details: &Details) -> usize {
    let container = details.container.as_ref().and_then(|container| container.name.as_ref());
    let pod = details.pod.as_ref().and_then(|pod| pod.name.as_ref());
    usize::from(container.is_some()) + usize::from(pod.is_some())
}

#[cfg(test)]
mod tests;
