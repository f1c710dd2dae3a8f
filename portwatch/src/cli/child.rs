//! A command that runs while portwatch watches.

use std::ffi::OsString;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::oneshot;

use super::outcome::say;
use crate::privileges::{self, Duty};
use crate::term::named;
use crate::thread;

/// How long it may take to end by itself, as Ctrl-C reaches it, too,
const BY_ITSELF: Duration = Duration::from_millis(500);
/// and after a SIGTERM.
const WHEN_TOLD: Duration = Duration::from_secs(5);

/// Runs, or has ended.
pub(super) struct Child {
    name: String,
    pid: Pid,
    end: Arc<End>,
}

#[derive(Default)]
struct End {
    /// From then on its id may be another's; held while it is used.
    is_over: Mutex<bool>,
    news: Condvar,
}

impl Child {
    /// Starts it; `ended` is told when it ends. None without a command.
    pub(super) fn start(command: &[OsString], ended: oneshot::Sender<()>) -> Result<Option<Self>> {
        let Some((program, arguments)) = command.split_first() else { return Ok(None) };
        let name = named(program);
        let mut child =
            Command::new(program).args(arguments).spawn().with_context(|| format!("start {name}"))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).context("the id of a process")?);
        let end: Arc<End> = Arc::default();
        let (shared, of) = (Arc::clone(&end), name.clone());
        let confine = || _ = privileges::confine(&Duty::Write);
        let wait = move || {
            // Until it is reaped its id is its own.
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            *shared.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
            shared.news.notify_all();
            if let Ok(status) = child.wait() {
                tell(&of, status);
            }
            // Nobody waits for it where portwatch has ended first.
            let _ = ended.send(());
        };
        thread::start("portwatch-wait", confine, wait)
            .context("start a thread that waits for the command")?;
        Ok(Some(Self { name, pid, end }))
    }

    /// Recording is over: waits a moment, then asks it to end if it has not.
    pub(super) fn end(&self) {
        if self.is_over_within(BY_ITSELF, || {}) {
            return;
        }
        say(&format!("portwatch: recording is over, sending SIGTERM to {}", self.name));
        let terminate = || _ = kill(self.pid, Signal::SIGTERM);
        if !self.is_over_within(WHEN_TOLD, terminate) {
            say(&format!("portwatch: {} (pid {}) goes on", self.name, self.pid));
        }
    }

    /// Whether it ends so soon after `doing`, which is left out where it is over already.
    fn is_over_within(&self, time: Duration, doing: impl FnOnce()) -> bool {
        let is_over = self.end.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_over {
            return true;
        }
        doing();
        let waited = self.end.news.wait_timeout_while(is_over, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Portwatch's own exit code is about the recording.
fn tell(name: &str, status: ExitStatus) {
    if !status.success() {
        say(&format!("portwatch: {name} ended with {status}"));
    }
}
