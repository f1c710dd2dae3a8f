//! A command that is run where calls fail: for the first failure, and then seldom.
//!
//! In: items. Out: `/bin/sh -c COMMAND` beside the pipeline, one at a time, with what happened in its environment, and in
//! lines on its standard input: the failure, and a snapshot of the ports it wanted with what is said of it, if that
//! comes soon. Must not know: what lines look like.

mod command;
mod environment;
mod launcher;

pub use launcher::Launcher;

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use super::Sink;
use crate::clock::Clock;
use crate::diagnose::Opinion;
use crate::event::{BootNs, Failure, Item, LossReason, NetnsId};
use command::{Job, Troubles};

/// Between two commands unless the user says otherwise, from failure to failure.
pub const EVERY: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The snapshot, until the command begins without it.
    snapshot: Duration,
    /// The command where portwatch is at its end, until it leaves it alone.
    end: Duration,
}

const LIMITS: Limits = Limits { snapshot: Duration::from_secs(2), end: Duration::from_secs(2) };

/// Has a command run, by a launcher that has kept the privileges that this process had at first.
///
/// Dropped, it waits a little for one that runs, and then leaves that alone.
pub struct Exec {
    launcher: Arc<Launcher>,
    every_ns: u64,
    limits: Limits,
    encoder: Box<dyn Sink>,
    encoded: Lines,
    clock: Clock,
    /// Failures before that are not told.
    not_before: BootNs,
    /// Failures since the last command.
    suppressed: u64,
    running: Option<Running>,
    troubles: Arc<Troubles>,
}

/// What an encoder writes into.
#[derive(Debug, Clone, Default)]
pub struct Lines(Rc<RefCell<Vec<u8>>>);

/// A command, from when its thread begins to wait for the snapshot.
struct Running {
    /// Of this namespace.
    netns: NetnsId,
    /// None once the snapshot is there.
    snapshot: Option<SyncSender<Vec<u8>>>,
    /// Closed when the thread ends.
    ended: Receiver<()>,
}

impl Exec {
    /// Has `launcher` run its command at most once in `every`. What it reads on its standard input is written by the sink that `encoder`
    /// makes.
    pub fn new(launcher: Launcher, every: Duration, encoder: impl FnOnce(Lines) -> Box<dyn Sink>) -> Self {
        let encoded = Lines::default();
        Self {
            launcher: Arc::new(launcher),
            every_ns: u64::try_from(every.as_nanos()).unwrap_or(u64::MAX),
            limits: LIMITS,
            encoder: encoder(encoded.clone()),
            encoded,
            clock: Clock::default(),
            not_before: BootNs(0),
            suppressed: 0,
            running: None,
            troubles: Arc::default(),
        }
    }

    fn failure(&mut self, failure: &Failure, item: &Item) -> io::Result<()> {
        if failure.at < self.not_before || self.is_running() {
            self.suppressed = self.suppressed.saturating_add(1);
            return Ok(());
        }
        self.not_before = BootNs(failure.at.0.saturating_add(self.every_ns));
        let job = Job {
            launcher: Arc::clone(&self.launcher),
            environment: environment::of(failure, self.clock, std::mem::take(&mut self.suppressed)),
            lines: self.encode(item, &[])?,
            wait: self.limits.snapshot,
        };
        let (snapshot, snapshots) = sync_channel(1);
        let (end, ended) = sync_channel(0);
        let troubles = Arc::clone(&self.troubles);
        let work = move || {
            job.run(&snapshots, &troubles);
            drop(end);
        };
        match std::thread::Builder::new().name("portwatch-exec".to_owned()).spawn(work) {
            Ok(_) => {
                self.running = Some(Running { netns: failure.netns, snapshot: Some(snapshot), ended });
            }
            Err(error) => self.troubles.thread(&error),
        }
        Ok(())
    }

    fn is_running(&mut self) -> bool {
        let is_open = |running: &Running| running.ended.try_recv() == Err(TryRecvError::Empty);
        self.running.as_ref().is_some_and(is_open)
    }

    fn encode(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<Vec<u8>> {
        self.encoder.item(item, opinions)?;
        self.encoder.flush()?;
        Ok(self.encoded.0.take())
    }
}

impl Sink for Exec {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        match item {
            Item::Failure(failure) => self.failure(failure, item)?,
            Item::Start(start) => {
                self.clock = Clock { boot_offset_ns: start.boot_offset_ns };
                // Its line is not for the command; what it says makes the encoder understand others.
                self.encode(item, opinions)?;
            }
            Item::Ports(snapshot) => {
                let is_its = |running: &&mut Running| {
                    snapshot.namespaces.iter().any(|namespace| namespace.id == running.netns)
                };
                let waits = self.running.as_mut().filter(is_its).and_then(|running| running.snapshot.take());
                if let Some(waits) = waits {
                    // Who has begun without it does not need it.
                    let _ = waits.try_send(self.encode(item, opinions)?);
                }
            }
            Item::Suppressed(more) => self.suppressed = self.suppressed.saturating_add(more.count),
            Item::Lost(more) if more.reason != LossReason::SkippedRun => {
                self.suppressed = self.suppressed.saturating_add(more.count);
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // No snapshot will come.
        drop(running.snapshot.take());
        if running.ended.recv_timeout(self.limits.end) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the command of --on-failure-exec still runs: it is left alone");
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
