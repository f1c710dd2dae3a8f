//! Processes and namespaces that live just long enough to fail, or to connect.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::errno::Errno;
use nix::sched::{CloneFlags, clone, setns, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::time::ClockId;
use nix::unistd::{ForkResult, Gid, Uid, fork, setgid, setuid};
use portwatch_tests::churn::{self, Churn, connections, destination, name, user};
use socket2::{Domain, Socket, Type};

/// Makes one failing connect in each of many processes or network namespaces, or some that succeed in each process, one
/// after the other, and prints what they were as JSON.
#[derive(Parser)]
enum Command {
    /// Each with a name and a destination of its own
    Processes { count: u32 },
    /// Each with a name, a destination, a user and a group of its own, in these control groups and network namespaces
    /// in turn
    Strangers {
        count: u32,
        /// Folders of control groups; or @FILE, which has one in each line
        #[arg(long, value_delimiter = ',')]
        cgroups: Vec<PathBuf>,
        /// Files of network namespaces; or @FILE, which has one in each line
        #[arg(long, value_delimiter = ',')]
        namespaces: Vec<PathBuf>,
        /// All go here instead
        #[arg(long)]
        dest: Option<SocketAddr>,
    },
    /// Each with an inode number of its own
    Namespaces { count: u32 },
    /// Each with a name of its own, and up to three connections that it closes
    Connections { count: u32, dest: SocketAddr },
}

fn main() -> Result<()> {
    let churn = match Command::parse() {
        Command::Processes { count } => processes(count)?,
        Command::Strangers { count, cgroups, namespaces, dest } => {
            strangers(count, &listed(cgroups)?, &listed(namespaces)?, dest)?
        }
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

/// The paths themselves, where a file has them.
fn listed(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let Some(file) = paths.first().and_then(|path| path.to_str()?.strip_prefix('@')) else {
        return Ok(paths);
    };
    let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    Ok(text.lines().map(PathBuf::from).collect())
}

fn strangers(
    count: u32,
    cgroups: &[PathBuf],
    namespaces: &[PathBuf],
    dest: Option<SocketAddr>,
) -> Result<Churn> {
    let open = |path: &PathBuf| File::open(path).with_context(|| format!("open {}", path.display()));
    let namespaces = namespaces.iter().map(open).collect::<Result<Vec<_>>>()?;
    let returned_ns = AtomicU64::new(0);
    let work = |n: u32| {
        let (group, netns) =
            (&cgroups[n as usize % cgroups.len()], &namespaces[n as usize % namespaces.len()]);
        // The user last: only root may do the rest.
        let is_ready = fs::write("/proc/thread-self/comm", name(n)).is_ok()
            && fs::write(group.join("cgroup.procs"), "0").is_ok()
            && setns(netns, CloneFlags::CLONE_NEWNET).is_ok()
            && setgid(Gid::from_raw(user(n) + 1)).is_ok()
            && setuid(Uid::from_raw(user(n))).is_ok();
        let errno = is_ready.then(|| refused(dest.unwrap_or_else(|| destination(n).into()))).flatten();
        returned_ns.store(now_ns(), Ordering::Relaxed);
        isize::from(errno != Some(Errno::EADDRNOTAVAIL))
    };
    let mut churn = Churn::default();
    let mut stack = vec![0; 256 * 1024];
    for n in 0..count {
        // It has the memory in common with this process, as taking down a copy of it would take most of a millisecond.
        let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
        // SAFETY: this process has one thread, which stands still until the child is gone.
        let child = unsafe { clone(Box::new(|| work(n)), &mut stack, flags, Some(nix::libc::SIGCHLD)) };
        let child = child.context("make a process")?;
        let status = waitpid(child, None).context("wait for a child")?;
        churn.lingered_ns.push(now_ns().saturating_sub(returned_ns.load(Ordering::Relaxed)));
        ensure!(status == WaitStatus::Exited(child, 0), "process {n} did not do it: {status:?}");
        churn.pids.push(child.as_raw().try_into()?);
    }
    Ok(churn)
}

/// The same clock in every process.
fn now_ns() -> u64 {
    let now = ClockId::CLOCK_MONOTONIC.now().map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
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
