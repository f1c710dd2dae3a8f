//! Short-lived processes and namespaces: what each of them is, known to who makes them and who checks.

use std::env;
use std::io::Read as _;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
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
    /// Connections that each process made, in their order.
    pub connections: Vec<u32>,
    /// For how many nanoseconds each process was there after its call had returned, at most, in their order.
    pub lingered_ns: Vec<u64>,
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

/// The user of the process with this number, where each has one of its own; its group is the next number.
#[must_use]
pub fn user(n: u32) -> u32 {
    20_000 + 2 * n
}

/// Connections that the process with this number makes and closes.
#[must_use]
pub fn connections(n: u32) -> u32 {
    1 + n % 3
}

/// Connects and closes, before the peer does: what is left is in TIME_WAIT.
///
/// # Errors
/// When it cannot connect, or the peer does not close in turn.
pub fn left_in_time_wait(destination: SocketAddr) -> Result<()> {
    let mut connection = TcpStream::connect(destination).context("connect")?;
    connection.shutdown(Shutdown::Write).context("close")?;
    ensure!(connection.read(&mut [0]).context("wait for the peer")? == 0, "the peer has something to say");
    Ok(())
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
