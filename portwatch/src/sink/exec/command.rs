//! One run of the command, on a thread of its own, from the wait for the snapshot to its end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::process::ExitStatus;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use std::os::unix::process::ExitStatusExt as _;

use super::Launcher;

/// What is to be run.
pub(super) struct Job {
    pub(super) launcher: Arc<Launcher>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    pub(super) lines: Vec<u8>,
    /// For the snapshot.
    pub(super) wait: Duration,
}

/// What went wrong so far: each kind is told once.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeSet<Trouble>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    NotStarted,
    Failed,
    TookTooLong,
    NoThread,
}

impl Job {
    /// Runs it, with the lines of the snapshot if they come in time.
    pub(super) fn run(mut self, snapshot: &Receiver<Vec<u8>>, troubles: &Troubles) {
        self.lines.extend(snapshot.recv_timeout(self.wait).into_iter().flatten());
        match self.launcher.run(&self.environment, &self.lines) {
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => troubles.tell(Trouble::Failed, || failed(status)),
            Ok(None) => troubles.tell(Trouble::TookTooLong, || {
                format!(
                    "took longer than {:?} and was killed: let it put long work into the background",
                    self.launcher.limit
                )
            }),
            Err(error) => troubles.tell(Trouble::NotStarted, || format!("could not be run: {error}")),
        }
    }
}

fn failed(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended without an exit code".to_owned(),
    }
}

impl Troubles {
    /// No thread could be started for it.
    pub(super) fn thread(&self, error: &io::Error) {
        self.tell(Trouble::NoThread, || format!("could not be run: start a thread: {error}"));
    }

    fn tell(&self, trouble: Trouble, what: impl Fn() -> String) {
        if self.is_new(trouble) {
            log::warn!("the command of --on-failure-exec {}; this is not said again", what());
        }
    }

    fn is_new(&self, trouble: Trouble) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::{Trouble, Troubles, failed};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    #[test]
    fn each_kind_of_trouble_is_told_once() {
        let troubles = Troubles::default();
        let kinds = [Trouble::Failed, Trouble::Failed, Trouble::TookTooLong, Trouble::Failed];
        assert_eq!(kinds.map(|kind| troubles.is_new(kind)), [true, false, true, false]);
    }

    #[test]
    fn how_it_ended_is_said_in_words() {
        let of = |raw| failed(ExitStatus::from_raw(raw));
        assert_eq!([of(3 << 8), of(15)], ["ended with exit code 3", "was ended by signal 15"]);
    }
}
