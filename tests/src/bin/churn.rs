//! Processes and namespaces that live just long enough to fail, or to connect.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use portwatch_tests::churn::{self, Churn, connections, destination, name};
use socket2::{Domain, Socket, Type};

/// Makes one failing connect in each of many processes or network namespaces, or some that succeed in each process, one
/// after the other, and prints what they were as JSON.
#[derive(Parser)]
enum Command {
    /// Each with a name and a destination of its own
    Processes { count: u32 },
    /// Each with an inode number of its own
    Namespaces { count: u32 },
    /// Each with a name of its own, and up to three connections that it closes
    Connections { count: u32, dest: SocketAddr },
}

fn main() -> Result<()> {
    let churn = match Command::parse() {
        Command::Processes { count } => processes(count)?,
        Command::Namespaces { count } => namespaces(count)?,
        Command::Connections { count, dest } => connected(count, dest)?,
    };
    let mut line = serde_json::to_vec(&churn)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).context("print what was done")
}

fn processes(count: u32) -> Result<Churn> {
    let pids = forked(count, |n| refused(destination(n).into()) == Some(Errno::EADDRNOTAVAIL))?;
    Ok(Churn { pids, ..Churn::default() })
}

fn connected(count: u32, dest: SocketAddr) -> Result<Churn> {
    let pids = forked(count, |n| (0..connections(n)).all(|_| churn::left_in_time_wait(dest).is_ok()))?;
    Ok(Churn { pids, connections: (0..count).map(connections).collect(), ..Churn::default() })
}

/// Has each of so many processes do its work; their pids.
fn forked(count: u32, work: impl Fn(u32) -> bool) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for n in 0..count {
        // SAFETY: this process has one thread, so the child may do what it likes.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                let done = fs::write("/proc/thread-self/comm", name(n)).is_ok() && work(n);
                // SAFETY: ends this process without running what belongs to its parent.
                unsafe { nix::libc::_exit(i32::from(!done)) }
            }
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).context("wait for a child")?;
                ensure!(status == WaitStatus::Exited(child, 0), "process {n} did not do it: {status:?}");
                pids.push(child.as_raw().try_into()?);
            }
        }
    }
    Ok(pids)
}

fn namespaces(count: u32) -> Result<Churn> {
    let mut churn = Churn::default();
    for n in 0..count {
        unshare(CloneFlags::CLONE_NEWNET).context("enter a network namespace")?;
        churn.namespaces.push(fs::metadata("/proc/thread-self/ns/net")?.ino());
        // Its loopback is down, so there is no address to send from.
        let errno = refused("[::1]:9".parse()?);
        ensure!(errno == Some(Errno::EADDRNOTAVAIL), "namespace {n} did not fail: {errno:?}");
    }
    Ok(churn)
}

fn refused(destination: SocketAddr) -> Option<Errno> {
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM, None).ok()?;
    socket.connect(&destination.into()).err()?.raw_os_error().map(Errno::from_raw)
}
