//! One subject from its start to its end.
//!
//! Its output goes to files: a thread that reads a pipe would make the measuring process one with two threads, and
//! a reader that is woken would be measured.

use std::env;
use std::fs::{self, File};
use std::process::{self, Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::bed::{Bed, Costs, FAILING};
use crate::beyond;
use crate::hooks::{self, POLL};
use crate::shown;
use crate::subject::{Attached, Load, OWN_PID, OWN_PROGRAM, Subject};

const STDOUT: &str = "/tmp/bench-stdout";
const STDERR: &str = "/tmp/bench-stderr";
/// How long a subject must have done nothing to be at rest.
const REST: Duration = Duration::from_millis(10);
/// Of the guest's time, in which compilers of others take one second.
const START_LIMIT: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

/// What one run of a subject came to.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Of connects.
    pub(crate) costs: Costs,
    /// Instructions from its start until it had attached and was at rest, of all its threads.
    pub(crate) start: Option<u64>,
    /// Resident memory then, in KiB.
    pub(crate) memory: Option<u64>,
    /// Resident memory a minute later, in KiB.
    pub(crate) memory_later: Option<u64>,
    /// Failures made while it watched.
    pub(crate) failures: Option<u64>,
    /// Those of them that it showed.
    pub(crate) shown: Option<u64>,
}

/// A subject that runs.
pub(crate) struct Watcher {
    child: Child,
}

/// Runs `subject` once and measures.
pub(crate) fn once(subject: &Subject, bed: &Bed) -> Result<Run> {
    let mut watcher = Watcher::start(subject)?;
    watcher.wait_until_attached(&subject.attached)?;
    let (start, memory) = (watcher.instructions()?, watcher.memory()?);
    let costs = match subject.load {
        Load::All => bed.costs()?,
        Load::Stopped => {
            watcher.signal(Signal::SIGSTOP)?;
            let failing = bed.failing(FAILING);
            watcher.signal(Signal::SIGCONT)?;
            Costs { failing: Some(failing?), ..Costs::default() }
        }
        Load::Beyond => {
            let batches = beyond::batches(bed)?;
            let failing = batches.cost(&watcher.end()?)?;
            return Ok(Run { costs: Costs { failing: Some(failing), ..Costs::default() }, ..Run::default() });
        }
    };
    let mut run = Run { costs, failures: Some(u64::try_from(FAILING)?), ..Run::default() };
    if subject.load == Load::All {
        sleep(MINUTE);
        run.start = Some(start);
        run.memory = Some(memory);
        run.memory_later = Some(watcher.memory()?);
    }
    run.shown = subject.shows.failures(&watcher.end()?, u64::try_from(FAILING)?)?;
    Ok(run)
}

impl Watcher {
    fn start(subject: &Subject) -> Result<Self> {
        let own = env::current_exe().context("find this program")?;
        let mut words = subject.command.iter().map(|word| match *word {
            OWN_PROGRAM => own.display().to_string(),
            OWN_PID => process::id().to_string(),
            word => word.to_owned(),
        });
        let mut command = Command::new(words.next().context("an empty command")?);
        let create = |path| File::create(path).with_context(|| format!("create {path}"));
        command.args(words).stdin(Stdio::null()).stdout(create(STDOUT)?).stderr(create(STDERR)?);
        let child = command.spawn().with_context(|| format!("start {}", subject.command.join(" ")))?;
        Ok(Self { child })
    }

    fn wait_until_attached(&mut self, attached: &Attached) -> Result<()> {
        let since = Instant::now();
        while !self.is_attached(attached)? {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it had attached: {}", shown::start(&written()?));
            }
            ensure!(since.elapsed() < START_LIMIT, "it did not attach: {}", shown::start(&written()?));
            sleep(POLL);
        }
        Ok(())
    }

    fn is_attached(&self, attached: &Attached) -> Result<bool> {
        match attached {
            Attached::Hooks(functions, words) => {
                let on = hooks::are_on(functions)? && written()?.contains(words);
                Ok(on && self.is_at_rest()?)
            }
            // It is never at rest: it sees each call made here to find out.
            Attached::Tracer => {
                let tracer = format!("TracerPid:\t{}", self.child.id());
                Ok(fs::read_to_string("/proc/self/status")?.lines().any(|line| line == tracer))
            }
        }
    }

    fn is_at_rest(&self) -> Result<bool> {
        let before = self.instructions()?;
        sleep(REST);
        Ok(self.instructions()? == before)
    }

    /// Of all its threads, those that have ended too.
    fn instructions(&self) -> Result<u64> {
        let time = clock_getcpuclockid(self.pid()?).and_then(nix::time::ClockId::now);
        let time = time.context("read the processor time of the subject")?;
        Ok(u64::try_from(Duration::from(time).as_nanos())?)
    }

    fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kibibytes.with_context(|| format!("no resident memory in {path}"))?.parse()?)
    }

    /// Interrupts it, and returns what it wrote to stdout; for one that wrote nothing there, to stderr.
    fn end(mut self) -> Result<String> {
        self.signal(Signal::SIGINT)?;
        self.child.wait().context("wait for the subject")?;
        let read = |path| fs::read(path).with_context(|| format!("read {path}"));
        let stdout = read(STDOUT)?;
        let output = if stdout.is_empty() { read(STDERR)? } else { stdout };
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("send {signal}"))
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Fails only when it has ended, which is the aim.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn written() -> Result<String> {
    let read = |path| fs::read(path).with_context(|| format!("read {path}"));
    let output = [read(STDOUT)?, read(STDERR)?].concat();
    Ok(String::from_utf8_lossy(&output).into_owned())
}
