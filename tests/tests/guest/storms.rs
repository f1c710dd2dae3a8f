//! As many failures as can be made: every one counted, detail bounded, losses told at once.

use std::fs;
use std::net::SocketAddr;
use std::process::Child;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching};
use portwatch_tests::tally::{self, Tally};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::memory::{STORM_LIMIT_KIB, resident};

/// What nobody makes in a second.
const NO_BOUND: &str = "4000000000";

/// The counts of the processes are exact, also where the kernel skips programs.
fn assert_exact(session: &Session, tallies: &[Tally]) {
    println!("{}", session.end());
    for tally in tallies {
        let is_of = |row: &Value| row["process"]["pid"] == tally.pid;
        let rows: Vec<&Value> = session.rows().filter(|row| is_of(row)).collect();
        assert_eq!(session.counted(is_of), tally.failed("EADDRNOTAVAIL"), "{rows:#?} {}", session.end());
    }
}

/// Four processes fail so often each, as fast as they can.
fn storm(options: &[&str], service: &str, each: u64) -> Session {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new(service, 1).unwrap();
    let watching = Watching::start(&[&["trace", "--json"], options].concat()).unwrap();
    let attempts = each.to_string();
    let args = ["--dest", service, "--attempts", &attempts];
    let children: Vec<_> = (0..4).map(|_| tally::start(&args).unwrap()).collect();
    let tallies: Vec<_> = children.into_iter().map(|child| tally::finish(child).unwrap()).collect();
    let session = watching.end().unwrap();
    assert!(tallies.iter().all(|tally| tally.failed("EADDRNOTAVAIL") == each));
    assert_exact(&session, &tallies);
    assert_eq!(session.end()["failures"], 4 * each, "{options:?}: {}", session.end());
    session
}

#[test]
fn two_hundred_thousand_failures_as_fast_as_they_go_are_counted_by_process() {
    let session = storm(&[], "127.0.0.1:8080", 50_000);
    assert!(session.end()["suppressed"].as_u64().unwrap() > 0, "{}", session.end());
    let told = session.lines.iter().position(|line| line["type"] == "suppressed");
    let last_shown = session.lines.iter().rposition(|line| line["type"] == "failure");
    assert!(told.is_some() && told < last_shown, "a storm is told while it lasts: {told:?} {last_shown:?}");
}

/// The ways to see failures beside that of the storm above.
const OTHER_WAYS: [&[&str]; 3] = [&["--mode", "wrappers"], &["--mode", "tracepoints"], &["--errno", "all"]];

#[test]
fn storms_are_counted_by_process_in_each_way() {
    for options in OTHER_WAYS {
        println!("{options:?}");
        storm(options, "127.0.0.1:8080", 5_000);
    }
}

#[test]
fn storms_over_ipv6_are_counted_by_process_in_each_way() {
    for options in [&[&[][..]], &OTHER_WAYS[..]].concat() {
        println!("{options:?}");
        storm(options, "[::1]:8080", 5_000);
    }
}

/// Threads whose ids differ by a multiple of this use one place for what programs tell each other (`PLACES`, notes.rs).
const PLACES: u32 = 32 * 1024;

/// The load generator by two processes or a few more, of which two have such ids; none, with the reason printed, where
/// ids cannot be chosen.
fn in_one_place(args: &[&str]) -> Option<Vec<Child>> {
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    if fs::metadata(LAST_PID).is_err() {
        println!("skipped: this kernel lets nobody choose the ids of processes");
        return None;
    }
    let follows = |last: u32| {
        fs::write(LAST_PID, last.to_string()).unwrap();
        tally::start(args).unwrap()
    };
    let mut children = vec![follows(2000)];
    let first = children[0].id();
    // Somebody else may take an id first.
    for wanted in (1..6).map(|n| first + n * PLACES) {
        children.push(follows(wanted - 1));
        if children.last().unwrap().id() == wanted {
            break;
        }
    }
    let ids: Vec<u32> = children.iter().map(Child::id).collect();
    assert_eq!((ids[ids.len() - 1] - first) % PLACES, 0, "no two have one place: {ids:?}");
    Some(children)
}

#[test]
fn processes_whose_ids_share_a_place_are_each_counted() {
    const PID_MAX: &str = "/proc/sys/kernel/pid_max";
    let before = fs::read_to_string(PID_MAX).unwrap();
    fs::write(PID_MAX, "200000").unwrap();
    let every_error = ["--mode", "tracepoints", "--errno", "all"];
    for options in [&[&[][..]], &OTHER_WAYS[..], &[&every_error[..]]].concat() {
        println!("{options:?}");
        let _netns = Netns::with_ports(40000, 40000).unwrap();
        let _full = Full::new("127.0.0.1:8080", 1).unwrap();
        let watching = Watching::start(&[&["trace", "--json"], options].concat()).unwrap();
        let children = in_one_place(&["--dest", "127.0.0.1:8080", "--attempts", "5000"]);
        let tallies =
            children.map(|children| children.into_iter().map(|child| tally::finish(child).unwrap()));
        let tallies: Option<Vec<_>> = tallies.map(Iterator::collect);
        let session = watching.end().unwrap();
        let Some(tallies) = tallies else { break };
        assert_exact(&session, &tallies);
        let made: u64 = tallies.iter().map(|tally| tally.failed("EADDRNOTAVAIL")).sum();
        assert_eq!(session.end()["failures"], made, "{options:?}: {}", session.end());
    }
    fs::write(PID_MAX, before).unwrap();
}

#[test]
fn a_thousand_failures_a_second_for_a_minute_are_all_shown() {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new("127.0.0.1:8080", 1).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let args = ["--dest", "127.0.0.1:8080", "--attempts", "60000", "--rate", "1000"];
    let tally = tally::run(&args).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], tally.failed("EADDRNOTAVAIL"), "{}", session.end());
    assert_eq!(session.end()["delivered"], 60_000, "{}", session.end());
    // More than are handed on as values.
    assert_eq!(session.stdout.matches("{\"type\":\"failure\"").count(), 60_000);
}

#[test]
fn a_reader_that_stands_still_loses_detail_and_says_so_when_it_wakes() {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new("127.0.0.1:8080", 1).unwrap();
    let watching = Watching::start(&["trace", "--json", "--detail", NO_BOUND]).unwrap();
    kill(watching.pid(), Signal::SIGSTOP).unwrap();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "100000"]).unwrap();
    kill(watching.pid(), Signal::SIGCONT).unwrap();
    // No further event arrives.
    let told = watching.wait_for("\"reason\":\"ring_full\"", Duration::from_secs(10)).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 100_000);
    assert_eq!(session.end()["failures"], 100_000, "{}", session.end());
    let lost = session.end()["lost"]["ring_full"].as_u64().unwrap();
    // The ring holds 8,192 records.
    assert!((90_000..93_000).contains(&lost), "{}", session.end());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["count"], lost, "all of it was told: {told}");
}

#[test]
fn a_hundred_thousand_kinds_of_failures_overflow_into_a_bucket() {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
    let watching = Watching::start(&["trace", "--json", "--comm", "loadgen"]).unwrap();
    let run = |address: &str| {
        let dest = format!("{address}:1000");
        let args = ["--dest", &dest, "--attempts", "50000", "--spread", "49999"];
        tally::run(&args).unwrap().failed("EADDRNOTAVAIL")
    };
    assert_eq!(run("127.0.0.1") + run("127.0.0.2"), 100_000);
    let (resident_kib, kinds) = resident(watching.pid());
    println!("after 100,000 kinds of failures: {kinds}");
    assert!(resident_kib <= STORM_LIMIT_KIB, "after 100,000 kinds of failures: {kinds}");
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 100_000, "{}", session.end());
    assert_eq!(session.rows().count(), 24 * 1024);
    let other = session.lines[session.lines.len() - 2]["other"].as_u64();
    assert_eq!(other, Some(100_000 - 24 * 1024));
    assert!(session.stderr.contains("table of processes and destinations is full"), "{}", session.stderr);
}

/// Sixty-four threads search a range of 6,000 ports at once, and each search lets others run at every port: 640 times in
/// vain.
pub(crate) fn sixty_four_threads_search(options: &[&str]) -> (Session, Tally) {
    setrlimit(Resource::RLIMIT_NOFILE, 8192, 8192).unwrap();
    let _netns = Netns::with_ports(40000, 45999).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:8080").unwrap();
    let holders: Vec<_> = (40000..46000_u16)
        .map(|port| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 9], port)).into()).unwrap();
            socket
        })
        .collect();
    let watching = Watching::start(&[&["trace", "--json"], options].concat()).unwrap();
    let names = (0..64).map(|n| format!("t{n}")).collect::<Vec<_>>().join(",");
    let args = ["--dest", "127.0.0.1:8080", "--attempts", "10", "--threads", &names];
    let tally = tally::run(&args).unwrap();
    let session = watching.end().unwrap();
    drop((holders, listener));
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 640);
    (session, tally)
}

fn sixty_four_threads(options: &[&str]) {
    let (session, tally) = sixty_four_threads_search(options);
    assert_exact(&session, &[tally]);
    assert_eq!(session.end()["failures"], 640, "{}", session.end());
    if options == ["--mode", "functions"] || options == ["--mode", "wrappers"] {
        assert_eq!(session.end()["possibly_missed"], 0, "{}", session.end());
    }
}

#[test]
fn all_of_sixty_four_threads_are_seen_by_functions() {
    sixty_four_threads(&["--mode", "functions"]);
}

#[test]
fn all_of_sixty_four_threads_are_seen_by_wrappers() {
    sixty_four_threads(&["--mode", "wrappers"]);
}

#[test]
fn all_of_sixty_four_threads_are_seen_by_tracepoints() {
    sixty_four_threads(&["--mode", "tracepoints"]);
}

#[test]
fn all_of_sixty_four_threads_are_seen_once_where_every_error_is_watched() {
    sixty_four_threads(&["--errno", "all"]);
}

/// Sixty-four threads of this process make a call ten times each that finds no port in a range of 6,000.
fn shortages_of_sixty_four_threads(held: fn(u16) -> Socket, errno: Errno, call: fn() -> std::io::Result<()>) {
    setrlimit(Resource::RLIMIT_NOFILE, 8192, 8192).unwrap();
    let _netns = Netns::with_ports(40000, 45999).unwrap();
    let _held: Vec<_> = (40000..46000).map(held).collect();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(call().unwrap_err().raw_os_error(), Some(errno as i32));
                }
            });
        }
    });
    let session = watching.end().unwrap();
    println!("{}", session.end());
    assert_eq!(session.end()["failures"], 640, "{}", session.end());
}

fn bound(kind: Type, port: u16) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, kind, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    Ok(socket)
}

#[test]
fn all_binds_of_sixty_four_threads_are_seen() {
    let held = |port| bound(Type::STREAM, port).unwrap();
    shortages_of_sixty_four_threads(held, Errno::EADDRINUSE, || bound(Type::STREAM, 0).map(drop));
}

#[test]
fn all_datagrams_of_sixty_four_threads_are_seen() {
    let held = |port| bound(Type::DGRAM, port).unwrap();
    shortages_of_sixty_four_threads(held, Errno::EAGAIN, || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        socket.send_to(b"x", &SocketAddr::from(([127, 0, 0, 1], 9)).into()).map(drop)
    });
}
