//! A network namespace for one test, with as few local ports as it needs.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

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
    /// Without root.
    pub fn new() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("enter a network namespace")?;
        loopback_up().context("switch the loopback on")?;
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

/// As `ip link set lo up` does, for which a program would have to be started (netdevice(7)).
fn loopback_up() -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).context("make a socket")?;
    let up = libc::ifreq {
        ifr_name: std::array::from_fn(|at| b"lo".get(at).map_or(0, |byte| byte.cast_signed())),
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: i16::try_from(libc::IFF_UP | libc::IFF_RUNNING)?,
        },
    };
    // SAFETY: the kernel reads one such structure, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const up) };
    Errno::result(result)?;
    Ok(())
}

/// What was made; none, with the reason printed, where this host allows none.
#[must_use]
pub fn or_skipped(made: Result<Netns>) -> Option<Netns> {
    if made.is_err() {
        println!("skipped: no network namespace can be made here (needs root)");
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
