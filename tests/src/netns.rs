//! A network namespace for one test, with as few local ports as it needs.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, unshare};

/// The namespace that this thread is in, entered by [`Netns::new`].
#[derive(Debug)]
pub struct Netns {
    /// Its inode number.
    pub id: u64,
}

impl Netns {
    /// Leaves the present namespace for a new one whose loopback is up.
    ///
    /// # Errors
    /// Without root, or without iproute2.
    pub fn new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("enter a network namespace")?;
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("run ip")?;
        ensure!(up.success(), "ip link set lo up: {up}");
        let id = fs::metadata("/proc/thread-self/ns/net").context("look at the namespace")?.ino();
        Ok(Self { id })
    }

    /// The same with only these ports for outgoing connections: an even number of them, or one. Of a larger odd
    /// number the kernel leaves out one, which one depends (`__inet_hash_connect`, net/ipv4/inet_hashtables.c).
    ///
    /// # Errors
    /// As for [`Netns::new`].
    pub fn with_ports(low: u16, high: u16) -> Result<Self> {
        let netns = Self::new()?;
        set("ipv4/ip_local_port_range", &format!("{low} {high}"))?;
        Ok(netns)
    }
}

/// What was made; none, with the reason printed, where this host allows none.
#[must_use]
pub fn or_skipped(made: Result<Netns>) -> Option<Netns> {
    if made.is_err() {
        println!("skipped: no network namespace can be made here (needs root and iproute2)");
    }
    made.ok()
}

/// Writes a network setting of the present namespace.
///
/// # Errors
/// When the kernel has no such setting or refuses the value.
pub fn set(key: &str, value: &str) -> Result<()> {
    fs::write(format!("/proc/sys/net/{key}"), value).with_context(|| format!("set {key} to {value}"))
}

/// A listener, and connections to it that take every port of the range.
#[derive(Debug)]
pub struct Full {
    /// Where the connections go.
    pub destination: SocketAddr,
    _listener: TcpListener,
    _held: Vec<TcpStream>,
}

impl Full {
    /// Takes `ports` ports with connections to `destination`.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn new(destination: &str, ports: usize) -> Result<Self> {
        let listener = TcpListener::bind(destination).with_context(|| format!("listen on {destination}"))?;
        let destination = listener.local_addr()?;
        let connect =
            |n| TcpStream::connect(destination).with_context(|| format!("take port {n} of {ports}"));
        let held = (0..ports).map(connect).collect::<Result<_>>()?;
        Ok(Self { destination, _listener: listener, _held: held })
    }
}
