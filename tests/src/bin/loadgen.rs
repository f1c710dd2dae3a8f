//! Makes connects that fail, and tells exactly how many did.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{getgid, gettid, getuid};
use portwatch_tests::evenly::search_evenly;
use portwatch_tests::tally::{Tally, ThreadTally};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Calls connect() again and again and prints a tally as JSON. Connections that succeed are held until the end.
#[derive(Parser, Clone)]
struct Args {
    /// Where to
    #[arg(long)]
    dest: SocketAddr,
    /// Attempts of each thread
    #[arg(long, default_value_t = 1)]
    attempts: u64,
    /// Attempts a second, of each thread; as fast as they go without this
    #[arg(long)]
    rate: Option<u32>,
    /// Make so many of them at once, and wait then
    #[arg(long, default_value_t = 1, requires = "rate")]
    burst: u64,
    /// Ports above that of the destination to use in turn
    #[arg(long, default_value_t = 0)]
    spread: u16,
    /// Sockets that do not wait
    #[arg(long)]
    nonblocking: bool,
    /// An IPv6 socket for an IPv4 destination and source
    #[arg(long)]
    mapped: bool,
    /// Bind to this first, sharing the address
    #[arg(long)]
    source: Option<SocketAddr>,
    /// Connect the same socket again and again
    #[arg(long)]
    same_socket: bool,
    /// Close each connection before its peer does, and wait until that has: it is left in TIME_WAIT
    #[arg(long)]
    close: bool,
    /// Let each socket have the whole of this range, LOW-HIGH, which Linux 6.8 and newer then search evenly
    /// (IP_LOCAL_PORT_RANGE); older kernels that do not know it search as ever
    #[arg(long, value_parser = range)]
    evenly: Option<(u16, u16)>,
    /// Names of threads to make the attempts in, instead of the main one
    #[arg(long, value_delimiter = ',')]
    threads: Vec<String>,
    /// After the tally, hold the connections until somebody kills it
    #[arg(long)]
    hold: bool,
    /// Name of the main thread, made of bytes given in hexadecimal
    #[arg(long, value_parser = bytes)]
    comm_hex: Option<std::ffi::CString>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(name) = &args.comm_hex {
        prctl::set_name(name).context("take a name")?;
    }
    let (threads, held): (Vec<_>, Vec<_>) =
        if args.threads.is_empty() { vec![attempts(&args)?] } else { in_threads(&args)? }.into_iter().unzip();
    let ids = (getuid().as_raw(), getgid().as_raw());
    let netns = std::fs::metadata("/proc/self/ns/net").context("look at the namespace")?.ino();
    let mut line = serde_json::to_vec(&Tally { pid: process::id(), ids, netns, threads })?;
    line.push(b'\n');
    std::io::stdout().write_all(&line).context("print the tally")?;
    if args.hold {
        loop {
            nix::unistd::pause();
        }
    }
    drop(held);
    Ok(())
}

fn in_threads(args: &Args) -> Result<Vec<(ThreadTally, Vec<Socket>)>> {
    let start = |name: &String| {
        let args = args.clone();
        std::thread::Builder::new().name(name.clone()).spawn(move || attempts(&args))
    };
    let threads = args.threads.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread failed"))?).collect()
}

/// Makes them. What connected is to be held.
fn attempts(args: &Args) -> Result<(ThreadTally, Vec<Socket>)> {
    let (mut failed, mut held) = (BTreeMap::new(), Vec::new());
    let ports = u64::from(args.spread) + 1;
    let began = Instant::now();
    for n in 0..args.attempts {
        if let Some(rate) = args.rate {
            let due = began + Duration::from_secs(n - n % args.burst) / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let destination = destination(args, u16::try_from(n % ports)?);
        if held.is_empty() || !args.same_socket {
            held.push(open(args)?);
        }
        let Some(socket) = held.last() else { continue };
        match connect(socket, &destination) {
            Ok(()) if args.close => left_in_time_wait(&mut held)?,
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => {
                *failed.entry(format!("{errno:?}")).or_insert(0) += 1;
                if !args.same_socket {
                    held.pop();
                }
            }
        }
    }
    let connected = args.attempts - failed.values().sum::<u64>();
    let comm = std::fs::read("/proc/thread-self/comm").context("read the thread's name")?;
    let comm = String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned();
    Ok((ThreadTally { tid: u32::try_from(gettid().as_raw())?, comm, connected, failed }, held))
}

/// Closes the last of them.
fn left_in_time_wait(held: &mut Vec<Socket>) -> Result<()> {
    let mut socket = held.pop().context("no connection")?;
    socket.shutdown(Shutdown::Write).context("close")?;
    ensure!(socket.read(&mut [0]).context("wait for the peer")? == 0, "the peer has something to say");
    Ok(())
}

fn connect(socket: &Socket, destination: &SockAddr) -> Result<(), Errno> {
    socket.connect(destination).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn open(args: &Args) -> Result<Socket> {
    let domain = if args.mapped { Domain::IPV6 } else { Domain::for_address(args.dest) };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).context("make a socket")?;
    socket.set_nonblocking(args.nonblocking)?;
    if let Some((low, high)) = args.evenly {
        search_evenly(&socket, low, high);
    }
    if let Some(source) = args.source {
        socket.set_reuse_address(true)?;
        socket
            .bind(&asked(args, source))
            .with_context(|| format!("bind descriptor {} to {source}", socket.as_raw_fd()))?;
    }
    Ok(socket)
}

fn destination(args: &Args, above: u16) -> SockAddr {
    asked(args, SocketAddr::new(args.dest.ip(), args.dest.port().wrapping_add(above)))
}

/// As its sockets are to be asked for it.
fn asked(args: &Args, address: SocketAddr) -> SockAddr {
    match address.ip() {
        IpAddr::V4(v4) if args.mapped => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()).into(),
        _ => address.into(),
    }
}

fn range(text: &str) -> Result<(u16, u16)> {
    let (low, high) = text.split_once('-').context("not LOW-HIGH")?;
    Ok((low.parse()?, high.parse()?))
}

fn bytes(hex: &str) -> Result<std::ffi::CString> {
    let byte = |n| {
        u8::from_str_radix(hex.get(n..n + 2).context("odd number of digits")?, 16).context("not hexadecimal")
    };
    let bytes = (0..hex.len()).step_by(2).map(byte).collect::<Result<Vec<_>>>()?;
    std::ffi::CString::new(bytes).context("a name has no zero byte")
}
