//! One run of the command, on a thread of its own, from the wait for the snapshot to its end.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Limits;

/// Between two looks whether it has ended: at first, and the longest.
const LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(320)];

/// What is to be run.
pub(super) struct Job {
    pub(super) command: OsString,
    pub(super) environment: Vec<(&'static str, OsString)>,
    pub(super) lines: Vec<u8>,
    pub(super) limits: Limits,
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
        self.lines.extend(snapshot.recv_timeout(self.limits.snapshot).into_iter().flatten());
        let ended = self.start().and_then(|mut child| self.wait(&mut child));
        match ended {
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => troubles.tell(Trouble::Failed, || failed(status)),
            Ok(None) => troubles.tell(Trouble::TookTooLong, || {
                format!(
                    "took longer than {:?} and was killed: let it put long work into the background",
                    self.limits.run
                )
            }),
            Err(error) => troubles.tell(Trouble::NotStarted, || format!("could not be run: {error}")),
        }
    }

    fn start(&self) -> io::Result<Child> {
        // Nothing has to be written while it runs, whether it reads or not; and all is there should this process end.
        let mut input = File::from(memfd_create("portwatch-failure", MFdFlags::MFD_CLOEXEC)?);
        input.write_all(&self.lines)?;
        input.rewind()?;
        // Standard output is for results.
        let output = io::stderr().as_fd().try_clone_to_owned()?;
        Command::new("/bin/sh")
            .arg("-c")
            .arg(&self.command)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .process_group(0)
            .spawn()
    }

    /// How it ended; none if it had to be killed, with all that it started and that did not leave its process group.
    fn wait(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let (since, [mut pause, longest]) = (Instant::now(), LOOKS);
        while since.elapsed() < self.limits.run {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(longest);
        }
        let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        killpg(group, Signal::SIGKILL)?;
        child.wait().map(|_| None)
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
