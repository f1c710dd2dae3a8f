//! Short-lived processes and namespaces: what each of them is, known to who makes them and who checks.

use std::env;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// What was made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Churn {
    /// Pids, in their order.
    pub pids: Vec<u32>,
    /// Inode numbers of network namespaces, in their order.
    pub namespaces: Vec<u64>,
}

/// The name of the process with this number.
#[must_use]
pub fn name(n: u32) -> String {
    format!("p{n}")
}

/// Where the process with this number goes: to an address of its own.
#[must_use]
pub fn destination(n: u32) -> SocketAddrV4 {
    let [_, high, middle, low] = n.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(127, 1 + high, middle, low), 9)
}

/// Runs `churn ARGS` to its end.
///
/// # Errors
/// When it cannot be started, fails, or prints nothing that can be read.
pub fn run(args: &[&str]) -> Result<Churn> {
    let program = env::var_os("CHURN_BIN")
        .map(PathBuf::from)
        .context("CHURN_BIN is not set: run `cargo xtask test`")?;
    let output = Command::new(&program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {} {args:?}", program.display()))?;
    ensure!(output.status.success(), "churn {args:?} ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("read what churn did")
}
