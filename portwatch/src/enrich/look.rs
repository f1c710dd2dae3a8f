//! What one thread does to answer who a process is.
//!
//! In: a process as the kernel side named it, or only its id. Out: the same with its names. What cannot make a reader
//! wait comes first, so that it is known whatever the rest does. No file of a container is opened.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::cgroup::Cgroups;
use super::kubernetes::Kubernetes;
use super::lookup::Slip;
use super::process;
use super::users::Users;
use crate::event::{Details, Process, Tgid};

/// Who is asked about.
pub(super) enum Question {
    /// One who is known by its identity.
    Known(Process),
    /// Whoever has this id now.
    WithId(Tgid),
}

/// Where it is looked up.
pub(super) struct Places {
    proc_root: PathBuf,
    cgroups: Mutex<Cgroups>,
    users: Mutex<Users>,
    /// None where Kubernetes' names were not asked for.
    kubernetes: Option<Kubernetes>,
}

impl Places {
    /// These.
    pub(super) fn new(proc_root: PathBuf, cgroups: Cgroups, users: Users) -> Self {
        Self { proc_root, cgroups: Mutex::new(cgroups), users: Mutex::new(users), kubernetes: None }
    }

    /// The same, and there for Kubernetes' names.
    pub(super) fn with_kubernetes(self, kubernetes: Kubernetes) -> Self {
        Self { kubernetes: Some(kubernetes), ..self }
    }

    /// Answers.
    pub(super) fn look(&self, question: Question, slip: &Slip<Option<Process>>) {
        let process = match question {
            Question::Known(process) => Some(process),
            Question::WithId(tgid) => process::identify(&self.proc_root, self.cgroup_root().as_deref(), tgid),
        };
        let Some(process) = process else {
            slip.note(None);
            return;
        };
        let named = self.named(&process);
        slip.note(Some(Process { details: Arc::new(named.clone()), ..process.clone() }));
        let state = process::read(&self.proc_root, process.tgid, process.start);
        slip.note(Some(Process { details: Arc::new(Details { state, ..named }), ..process }));
    }

    fn cgroup_root(&self) -> Option<PathBuf> {
        let cgroups = self.cgroups.lock().unwrap_or_else(PoisonError::into_inner);
        cgroups.root().map(PathBuf::from)
    }

    /// By what needs nothing of the process itself.
    fn named(&self, process: &Process) -> Details {
        if process.tgid == Tgid(0) {
            // Nobody.
            return Details::default();
        }
        let lines = || process::cgroups(&self.proc_root, process.tgid, process.start);
        let mut names =
            self.cgroups.lock().unwrap_or_else(PoisonError::into_inner).names(process.cgroup, lines);
        if let Some(kubernetes) = &self.kubernetes {
            kubernetes.name(&mut names);
        }
        let user = self.users.lock().unwrap_or_else(PoisonError::into_inner).name(process.uid);
        Details { user, unit: names.unit, container: names.container, pod: names.pod, ..Details::default() }
    }
}
