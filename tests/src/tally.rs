//! What the load generator says of itself: the ground truth of every count.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// One run of the load generator.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tally {
    /// Its process.
    pub pid: u32,
    /// The user and the group that it runs as.
    pub ids: (u32, u32),
    /// The inode number of its network namespace.
    pub netns: u64,
    /// Each of its threads.
    pub threads: Vec<ThreadTally>,
}

/// One thread of the load generator.
#[derive(Debug, Serialize, Deserialize)]
pub struct ThreadTally {
    /// Its id.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// Calls that succeeded or are under way.
    pub connected: u64,
    /// Calls that failed, by the name of the error.
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    /// Failures with this error, of all threads.
    #[must_use]
    pub fn failed(&self, errno: &str) -> u64 {
        self.threads.iter().filter_map(|thread| thread.failed.get(errno)).sum()
    }
}

/// Runs the load generator to its end.
///
/// # Errors
/// When it cannot be started, fails, or prints no tally.
pub fn run(args: &[&str]) -> Result<Tally> {
    finish(start(args)?)
}

/// Starts the load generator.
///
/// # Errors
/// When it cannot be started.
pub fn start(args: &[&str]) -> Result<Child> {
    let program = env::var_os("LOADGEN_BIN")
        .map(PathBuf::from)
        .context("LOADGEN_BIN is not set: run `cargo xtask test`")?;
    let child = Command::new(&program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    child.with_context(|| format!("start {} {args:?}", program.display()))
}

/// A load generator that holds its connections, and is there to be looked up. Ended when dropped.
#[derive(Debug)]
pub struct Holder {
    child: Child,
    /// What it did before.
    pub tally: Tally,
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Waits for the tally of a load generator that was started with `--hold`.
///
/// # Errors
/// When it ends before, or prints no tally.
pub fn held(mut child: Child) -> Result<Holder> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    let tally = serde_json::from_str(&line).context("read the load generator's tally");
    if tally.is_err() {
        child.kill().and_then(|()| child.wait())?;
    }
    Ok(Holder { child, tally: tally? })
}

/// Waits for a load generator and reads its tally.
///
/// # Errors
/// When it fails or prints no tally.
pub fn finish(child: Child) -> Result<Tally> {
    let output = child.wait_with_output().context("wait for the load generator")?;
    ensure!(output.status.success(), "the load generator ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("read the load generator's tally")
}
