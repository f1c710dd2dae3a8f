//! Tables of the kernel side that are full: what had no room is counted, and the totals stay exact.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use portwatch_tests::netns::Netns;
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Connects under way that the table has room for.
const CALLERS: usize = 16 * 1024;

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {words}: {status}");
}

/// A namespace in which packets to 192.0.2.1 come back in over loopback, where nobody is at home.
fn nobody_at_home() -> Netns {
    let netns = Netns::with_ports(20000, 59999).unwrap();
    ip("route add 192.0.2.0/24 dev lo src 127.0.0.1");
    setrlimit(Resource::RLIMIT_NOFILE, 40_000, 40_000).unwrap();
    netns
}

/// A connect that does not wait.
fn connecting(destination: &str) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let destination: SocketAddr = destination.parse().unwrap();
    let error = socket.connect(&destination.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EINPROGRESS as i32));
    socket
}

/// Has somebody move in there who refuses, and waits until each of them was told so. Packets are sent again after one
/// second, two, four, and so on.
fn refused(sockets: &[Socket]) {
    ip("address add 192.0.2.1/32 dev lo");
    let since = Instant::now();
    for socket in sockets {
        while !is_closed(socket) {
            assert!(since.elapsed() < Duration::from_secs(60), "no answer after {:?}", since.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// By `struct tcp_info`, which begins with the state; asking for the error would take it away.
fn is_closed(socket: &Socket) -> bool {
    const TCP_CLOSE: u8 = 7;
    let (mut state, mut length) = (0_u8, 1);
    // SAFETY: one byte is what there is room for.
    let result = unsafe {
        let (value, length) = ((&raw mut state).cast(), &raw mut length);
        let (level, option) = (nix::libc::IPPROTO_TCP, nix::libc::TCP_INFO);
        nix::libc::getsockopt(socket.as_raw_fd(), level, option, value, length)
    };
    Errno::result(result).unwrap();
    state == TCP_CLOSE
}

#[test]
fn five_thousand_destinations_that_were_searched_for_overflow_into_a_bucket() {
    let _netns = Netns::with_ports(40000, 59999).unwrap();
    let watching = Watching::start(&["trace", "--json", "--search-time"]).unwrap();
    let args = ["--dest", "127.0.0.1:1000", "--attempts", "5000", "--spread", "4999"];
    let tally = tally::run(&args).unwrap();
    assert_eq!(tally.failed("ECONNREFUSED"), 5000);
    let session = watching.end().unwrap();
    let searches = session.lines.iter().find(|line| line["type"] == "searches").unwrap();
    let rows = searches["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4096);
    assert!(rows.iter().all(|row| row["count"] == 1), "{rows:?}");
    assert_eq!((&searches["other"]["count"], &searches["unmeasured"]), (&904.into(), &0.into()));
    assert!(searches["other"]["longest_ns"].as_u64().unwrap() > 0, "{}", searches["other"]);
}

#[test]
fn callers_of_more_connects_than_there_is_room_for_are_unknown_and_counted() {
    let _netns = nobody_at_home();
    let watching = Watching::start(&["trace", "--json", "--errno", "all"]).unwrap();
    let sockets: Vec<Socket> = (0..CALLERS + 600).map(|_| connecting("192.0.2.1:80")).collect();
    refused(&sockets);
    let session = watching.end().unwrap();
    let of = |pid: u32| session.counted(|row| row["process"]["pid"] == pid && row["errno"] == "ECONNREFUSED");
    assert_eq!((of(std::process::id()), of(0)), (CALLERS as u64, 600), "{}", session.end());
    assert_eq!(session.end()["no_room"], serde_json::json!({ "callers": 600 }), "{}", session.end());
    assert!(session.stderr.contains("their caller is unknown"), "{}", session.stderr);
}

#[test]
fn a_caller_that_waits_is_not_forgotten_for_those_that_have_their_answer() {
    for mode in ["functions", "tracepoints"] {
        let _netns = nobody_at_home();
        let watching = Watching::start(&["trace", "--json", "--errno", "all", "--mode", mode]).unwrap();
        let waiting = connecting("192.0.2.1:80");
        let answered: Vec<Socket> = (0..CALLERS + 4000).map(|_| connecting("127.0.0.1:9")).collect();
        refused(&[waiting]);
        let session = watching.end().unwrap();
        let to = |address: &str| {
            let own = |row: &Value| row["process"]["pid"] == std::process::id();
            session.counted(|row| own(row) && row["destination"]["address"] == address)
        };
        let counted = (to("192.0.2.1"), to("127.0.0.1"), session.end()["failures"].as_u64());
        let expected = answered.len() as u64;
        assert_eq!(counted, (1, expected, Some(expected + 1)), "{mode}: {}", session.end());
        assert!(session.end()["no_room"].is_null(), "{mode}: {}", session.end());
    }
}
