//! What reading the socket tables costs, beside a loop that only receives the same dumps.
//!
//! `cargo run --release --example census_cost -- 20000` as root: makes so many connections in a network namespace of
//! its own, each closed into TIME_WAIT, and prints the processor time of both, the least of some rounds.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NetlinkBuffer};
use nix::time::{ClockId, clock_gettime};
use portwatch::event::Holder;
use portwatch::ports::{Held, Query, Told, census};
use portwatch_tests::netns::{Netns, set};

const ROUNDS: u32 = 25;
/// Less than half of the range, beyond which each connect takes a millisecond.
const PER_DESTINATION: usize = 20_000;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NETLINK_SOCK_DIAG: isize = 4;

fn main() -> Result<()> {
    let sockets: usize = std::env::args().nth(1).context("how many sockets?")?.parse()?;
    let _netns = Netns::with_ports(10000, 59999)?;
    set("ipv4/tcp_max_tw_buckets", "2000000")?;
    set("ipv4/tcp_tw_reuse", "0")?;
    fill(sockets)?;
    let mut least = [Duration::MAX; 2];
    let mut read = [0, 0];
    for _ in 0..ROUNDS {
        for (n, dump) in [bare as fn() -> Result<u64>, whole].into_iter().enumerate() {
            let before = processor_time()?;
            read[n] = dump()?;
            least[n] = least[n].min(processor_time()? - before);
        }
    }
    let [bare, whole] = least.map(|time| time.as_secs_f64() * 1e3);
    println!("bare loop  {bare:8.2} ms  {} sockets", read[0]);
    println!("census     {whole:8.2} ms  {} sockets", read[1]);
    println!("ratio      {:8.2}", whole / bare);
    Ok(())
}

/// Connections to as many destinations as they need.
fn fill(sockets: usize) -> Result<()> {
    let mut made = 0;
    for n in 0.. {
        let address = SocketAddr::from(([127, 0, 1, n], 80));
        let listener = TcpListener::bind(address)?;
        for _ in 0..PER_DESTINATION {
            if made == sockets {
                return Ok(());
            }
            let client = TcpStream::connect(address).context("connect")?;
            let (server, _) = listener.accept()?;
            client.shutdown(std::net::Shutdown::Both)?;
            drop((client, server));
            made += 1;
        }
    }
    Ok(())
}

/// The same four dumps, of which nothing is looked at but where they end.
fn bare() -> Result<u64> {
    let socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut sockets = 0;
    for (family, protocol) in [(2, 6), (10, 6), (2, 17), (10, 17)] {
        let mut request = [0; 72];
        let mut head = NetlinkBuffer::new(&mut request);
        head.set_length(72);
        head.set_message_type(SOCK_DIAG_BY_FAMILY);
        head.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
        request[16] = family;
        request[17] = protocol;
        request[20..24].fill(0xff);
        socket.send_to(&request, &netlink_sys::SocketAddr::new(0, 0), 0)?;
        'dump: loop {
            let length = socket.recv(&mut &mut buffer[..], 0)?;
            let mut rest = &buffer[..length];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest)?;
                match message.message_type() {
                    NLMSG_DONE => break 'dump,
                    kind => ensure!(kind == SOCK_DIAG_BY_FAMILY, "message {kind}"),
                }
                sockets += 1;
                rest = &rest[usize::try_from(message.length())?.next_multiple_of(4)..];
            }
        }
    }
    Ok(sockets)
}

/// What `portwatch ports` reads and sorts, without looking for owners.
fn whole() -> Result<u64> {
    let census = census(&Query::default())?;
    let told = Told { owner: |held: &Held| held.inode, open_since: |_: &Held| None };
    let (_, rows) = census.rows(&told, |_| Holder::NotFound);
    ensure!(!rows.is_empty(), "no rows");
    Ok(census.sockets)
}

fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
