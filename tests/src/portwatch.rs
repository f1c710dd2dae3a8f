//! The portwatch under test.

use std::env;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::contract;

/// A command of portwatch.
///
/// # Panics
/// Without `PORTWATCH_BIN`, which `cargo xtask test` sets.
#[must_use]
#[expect(clippy::expect_used, reason = "without it no test can say anything")]
pub fn command(args: &[&str]) -> Command {
    let program = env::var_os("PORTWATCH_BIN").map(PathBuf::from);
    let mut command = Command::new(program.expect("PORTWATCH_BIN is set: run `cargo xtask test`"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What a command of portwatch that needs no privileges prints, once it has ended well.
///
/// # Errors
/// With what it said, when it did not.
pub fn printed(args: &[&str]) -> Result<String> {
    let output = command(args).output().with_context(|| format!("run portwatch {args:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "portwatch {args:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).context("not UTF-8")
}

/// Reads what a live command says until it is ready: that, and where it says more. None, with the reason printed, where it
/// refuses as this host cannot be traced.
///
/// # Errors
/// When it ends for another reason.
pub fn ready_or_skipped(child: &mut Child) -> Result<Option<(String, BufReader<ChildStderr>)>> {
    let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
    let mut said = String::new();
    while !said.contains("portwatch: ready") {
        if stderr.read_line(&mut said)? == 0 {
            ensure!(child.wait()?.code() == Some(69), "{said}");
            println!("skipped: this host cannot be traced: {}", said.lines().next().unwrap_or_default());
            return Ok(None);
        }
    }
    Ok(Some((said, stderr)))
}

/// A live command that has attached.
pub struct Watching {
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

/// An output that is read as it comes.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<Instant>,
}

/// What a live command left behind.
#[derive(Debug)]
pub struct Session {
    /// How it ended.
    pub status: ExitStatus,
    /// From the signal to the last of the output; for one that ended by itself, from when its end was awaited.
    pub told: Duration,
    /// The same to the end of the process, which waits until the kernel has let go of the programs.
    pub ended: Duration,
    /// All of stdout.
    pub stdout: String,
    /// What stderr said after the ready line.
    pub stderr: String,
    /// The lines of stdout, for a session with `--json`.
    pub lines: Vec<Value>,
}

impl Watching {
    /// Starts `portwatch ARGS` and waits until it is ready.
    ///
    /// # Errors
    /// With all it said, when it ends before.
    pub fn start(args: &[&str]) -> Result<Self> {
        Self::start_as(command(args))
    }

    /// Starts a command of portwatch and waits until it is ready.
    ///
    /// # Errors
    /// As for [`Watching::start`].
    pub fn start_as(mut command: Command) -> Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start portwatch")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stdout = Stream::new(stdout);
        let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut said = String::new();
        loop {
            let from = said.len();
            ensure!(stderr.read_line(&mut said)? > 0, "{command:?} ended before it was ready:\n{said}");
            if said[from..].starts_with("portwatch: ready") {
                break;
            }
        }
        Ok(Self { child, stdout, stderr: Stream::new(stderr) })
    }

    /// Waits until stdout has a line with these words; that line.
    ///
    /// # Errors
    /// When it takes longer than `limit`.
    pub fn wait_for(&self, words: &str, limit: Duration) -> Result<String> {
        let (since, mut searched) = (Instant::now(), 0);
        loop {
            {
                let text = self.stdout.so_far();
                let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines = String::from_utf8_lossy(&text[searched..whole]);
                if let Some(line) = lines.lines().find(|line| line.contains(words)) {
                    return Ok(line.to_owned());
                }
                searched = whole;
            }
            ensure!(since.elapsed() < limit, "no line with {words} within {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process.
    ///
    /// # Panics
    /// For a pid beyond what Linux has.
    #[must_use]
    #[expect(clippy::expect_used, reason = "pid_max is far below")]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"))
    }

    /// Interrupts it as Ctrl-C does, and waits.
    ///
    /// # Errors
    /// As for [`Watching::end_by`].
    pub fn end(self) -> Result<Session> {
        self.end_by(Signal::SIGINT)
    }

    /// Sends `signal`, and waits.
    ///
    /// # Errors
    /// When JSON was printed that breaks the contract.
    pub fn end_by(self, signal: Signal) -> Result<Session> {
        kill(self.pid(), signal).context("signal portwatch")?;
        self.wait()
    }

    /// Kills it, which it cannot notice, and returns what it had written to stdout: whole lines.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn killed(mut self) -> Result<String> {
        self.child.kill().context("kill portwatch")?;
        self.child.wait().context("wait for portwatch")?;
        let (mut stdout, _) = self.stdout.end();
        stdout.truncate(stdout.rfind('\n').map_or(0, |end| end + 1));
        Ok(stdout)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When JSON was printed that breaks the contract.
    pub fn wait(mut self) -> Result<Session> {
        let since = Instant::now();
        let ((stdout, said_last), (stderr, _)) = (self.stdout.end(), self.stderr.end());
        let status = self.child.wait().context("wait for portwatch")?;
        let (told, ended) = (said_last.saturating_duration_since(since), since.elapsed());
        let lines = if stdout.starts_with('{') { contract::checked(&stdout)? } else { Vec::new() };
        Ok(Session { status, told, ended, stdout, stderr, lines })
    }
}

impl Stream {
    fn new(mut output: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&text);
        let to_its_end = move || {
            let (mut buffer, mut last) = ([0; 4096], Instant::now());
            // What was read before an error is what a user would have seen.
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..length]);
                last = Instant::now();
            }
            last
        };
        Self { text, reader: std::thread::spawn(to_its_end) }
    }

    fn so_far(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that came, and when the last of it came.
    fn end(self) -> (String, Instant) {
        let Self { text, reader } = self;
        let last = reader.join().unwrap_or_else(|_| Instant::now());
        let text = text.lock().unwrap_or_else(PoisonError::into_inner);
        (String::from_utf8_lossy(&text).into_owned(), last)
    }
}

impl Session {
    /// The `failure` lines.
    pub fn failures(&self) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(|line| line["type"] == "failure")
    }

    /// What portwatch says it cannot see.
    pub fn limits(&self) -> impl Iterator<Item = &str> {
        let start = self.lines.first().and_then(|line| line["limits"].as_array());
        start.into_iter().flatten().filter_map(Value::as_str)
    }

    /// The rows of the `summary` line.
    ///
    /// # Panics
    /// Without a summary.
    #[expect(clippy::expect_used, reason = "the contract was checked")]
    pub fn rows(&self) -> impl Iterator<Item = &Value> {
        let summary = self.lines.iter().find(|line| line["type"] == "summary").expect("a summary");
        summary["rows"].as_array().into_iter().flatten()
    }

    /// The counts of all rows for which `matches` holds.
    pub fn counted(&self, matches: impl Fn(&Value) -> bool) -> u64 {
        self.rows().filter(|row| matches(row)).filter_map(|row| row["count"].as_u64()).sum()
    }

    /// The `end` line.
    ///
    /// # Panics
    /// Without one.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the contract was checked")]
    pub fn end(&self) -> &Value {
        self.lines.last().expect("an end")
    }
}
