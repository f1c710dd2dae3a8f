//! Places to connect to, and what a connect() there costs.
//!
//! Only connect() itself is measured, in a process with one thread. Two namespaces: one with the usual range of
//! ports, and one with 1,000 that are all taken towards one destination.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use portwatch_tests::netns::{Netns, set};
use socket2::{Domain, Socket, Type};

/// Connects of each kind that succeed, in one measurement; odd, so that the median is one of them.
pub(crate) const SUCCEEDING: usize = 1001;
/// Connects that fail: fewer than portwatch sends in detail within a second.
pub(crate) const FAILING: usize = 501;

const NAMESPACE: &str = "/proc/thread-self/ns/net";
const RANGE: &str = "ipv4/ip_local_port_range";
/// Outside of the range.
const LISTENER: &str = "127.0.0.1:7000";
const LOW: u16 = 20_000;
const HIGH: u16 = 20_999;
/// Taken too; a search in so few is over soon.
const TWO_PORTS: &str = "20000 20001";
const BACKLOG: i32 = 16;
/// Each so many connects, a connection and two packets are kept until the end. Otherwise all connects of a
/// measurement might get the same memory, and where that is at the border of a slab each costs 590 instructions more.
const KEEP_EACH: usize = 8;
const UNREAD: &[u8] = b"x";
/// Lets a socket vanish at close, instead of keeping its port for a minute.
const NO_LINGER: Option<Duration> = Some(Duration::ZERO);

/// Medians of instructions of one measurement; none for what was not measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Costs {
    /// Nobody listens: the functions that are hooked succeed, and the cost does not vary.
    pub(crate) refused: Option<u64>,
    /// Somebody listens.
    pub(crate) accepted: Option<u64>,
    /// Every port of the range is taken.
    pub(crate) failing: Option<u64>,
    /// No connect at all, but another system call, which does next to nothing: getppid().
    pub(crate) other_call: Option<u64>,
}

/// The places.
#[derive(Debug)]
pub(crate) struct Bed {
    usual: File,
    full: File,
    listener: Socket,
    destination: SocketAddr,
    _full_listener: Socket,
    _held: Vec<(Socket, Socket)>,
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, cost) in [
            ("refused", self.refused),
            ("accepted", self.accepted),
            ("failing", self.failing),
            ("other call", self.other_call),
        ] {
            if let Some(cost) = cost {
                write!(f, "  {name} {cost}")?;
            }
        }
        Ok(())
    }
}

impl Bed {
    /// Makes them; the process stays in the usual namespace.
    pub(crate) fn new() -> Result<Self> {
        let own = || File::open(NAMESPACE).with_context(|| format!("open {NAMESPACE}"));
        let usual = own()?;
        let listener = listen()?;
        Netns::with_ports(LOW, HIGH)?;
        let full = own()?;
        let (full_listener, destination) = (listen()?, LISTENER.parse()?);
        let take = |port: u16| -> Result<_> {
            let client = tcp()?;
            client
                .connect(&SocketAddr::into(destination))
                .with_context(|| format!("take a port for {port}"))?;
            Ok((client, full_listener.accept()?.0))
        };
        let held = (LOW..=HIGH).map(take).collect::<Result<_>>()?;
        let bed = Self { usual, full, listener, destination, _full_listener: full_listener, _held: held };
        bed.enter(&bed.usual)?;
        Ok(bed)
    }

    /// All of them.
    pub(crate) fn costs(&self) -> Result<Costs> {
        Ok(Costs {
            refused: Some(self.refused()?),
            accepted: Some(self.accepted()?),
            failing: Some(self.failing(FAILING)?),
            other_call: Some(other_call()?),
        })
    }

    fn refused(&self) -> Result<u64> {
        let nobody: SocketAddr = "127.0.0.1:9".parse()?;
        median((0..SUCCEEDING).map(|_| cost(nobody, Some(Errno::ECONNREFUSED)).map(|(cost, _)| cost)))
    }

    fn accepted(&self) -> Result<u64> {
        let mailbox = UdpSocket::bind("127.0.0.1:0").context("make a mailbox")?;
        let mut kept = Vec::new();
        let one = |n| {
            let (cost, client) = cost(self.destination, None)?;
            client.set_linger(NO_LINGER)?;
            let (accepted, _) = self.listener.accept()?;
            if n % KEEP_EACH == 0 {
                client.send(UNREAD)?;
                mailbox.send_to(UNREAD, mailbox.local_addr()?)?;
                kept.push((client, accepted));
            }
            Ok(cost)
        };
        median((0..SUCCEEDING).map(one))
    }

    /// The median of so many failures.
    pub(crate) fn failing(&self, attempts: usize) -> Result<u64> {
        median(self.failures(attempts)?.into_iter().map(Ok))
    }

    /// The cost of each of so many failures, in a range of 1,000 ports.
    pub(crate) fn failures(&self, attempts: usize) -> Result<Vec<u64>> {
        self.enter(&self.full)?;
        let one = |_| cost(self.destination, Some(Errno::EADDRNOTAVAIL)).map(|(cost, _)| cost);
        let costs = (0..attempts).map(one).collect();
        self.enter(&self.usual)?;
        costs
    }

    /// As many failures as fast as can be: with the same destination and cause, in a range of two ports.
    pub(crate) fn flood(&self, attempts: usize) -> Result<()> {
        self.enter(&self.full)?;
        set(RANGE, TWO_PORTS)?;
        let costs =
            (0..attempts).try_for_each(|_| cost(self.destination, Some(Errno::EADDRNOTAVAIL)).map(drop));
        set(RANGE, &format!("{LOW} {HIGH}"))?;
        self.enter(&self.usual)?;
        costs
    }

    fn enter(&self, namespace: &File) -> Result<()> {
        setns(namespace, CloneFlags::CLONE_NEWNET).context("change the network namespace")
    }
}

/// A system call that has nothing to do with connects.
fn other_call() -> Result<u64> {
    let one = |_| {
        let since = Instant::now();
        nix::unistd::getppid();
        Ok(u64::try_from(since.elapsed().as_nanos())?)
    };
    median((0..SUCCEEDING).map(one))
}

/// The instructions of one connect that must end so, and its socket.
fn cost(destination: SocketAddr, expected: Option<Errno>) -> Result<(u64, Socket)> {
    let (socket, destination) = (tcp()?, destination.into());
    let since = Instant::now();
    let result = socket.connect(&destination);
    let cost = since.elapsed().as_nanos();
    let errno = result.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
    ensure!(errno == expected, "a connect ended with {errno:?} instead of {expected:?}");
    Ok((u64::try_from(cost)?, socket))
}

fn tcp() -> io::Result<Socket> {
    Socket::new(Domain::IPV4, Type::STREAM, None)
}

fn listen() -> Result<Socket> {
    let socket = tcp().context("make a socket")?;
    let address: SocketAddr = LISTENER.parse()?;
    socket
        .bind(&address.into())
        .and_then(|()| socket.listen(BACKLOG))
        .with_context(|| format!("listen on {LISTENER}"))?;
    Ok(socket)
}

/// The one in the middle.
pub(crate) fn median(values: impl Iterator<Item = Result<u64>>) -> Result<u64> {
    let mut values = values.collect::<Result<Vec<_>>>()?;
    values.sort_unstable();
    values.get(values.len() / 2).copied().context("nothing was measured")
}
