//! The tracepoints see what the functions see; and what `--search-time` adds.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching};
use portwatch_tests::tally;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

fn tcp(domain: Domain) -> Socket {
    Socket::new(domain, Type::STREAM, None).unwrap()
}

fn udp() -> Socket {
    Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One of each.
fn provoke() {
    let four = tcp(Domain::IPV4);
    assert!(four.connect(&address("127.0.0.1:8080").into()).is_err());
    let mapped = tcp(Domain::IPV6);
    assert!(mapped.connect(&address("[::ffff:127.0.0.1]:8080").into()).is_err());
    let bound = tcp(Domain::IPV4);
    bound.set_reuse_address(true).unwrap();
    bound.bind(&address("127.0.0.1:41000").into()).unwrap();
    assert!(bound.connect(&address("127.0.0.1:8080").into()).is_err());
    let fast = tcp(Domain::IPV4);
    let sent = fast.send_to_with_flags(b"x", &address("127.0.0.1:8080").into(), nix::libc::MSG_FASTOPEN);
    assert!(sent.is_err());
    assert!(tcp(Domain::IPV4).bind(&address("192.0.2.7:80").into()).is_err());
    assert!(tcp(Domain::IPV4).bind(&address("127.0.0.1:0").into()).is_err());
    let holders: Vec<_> = (0..4).map(|_| udp()).collect();
    for holder in &holders {
        holder.bind(&address("0.0.0.0:0").into()).unwrap();
    }
    assert!(udp().connect(&address("127.0.0.1:53").into()).is_err());
    assert!(udp().send_to(b"x", &address("127.0.0.1:53").into()).is_err());
    set("ipv6/conf/all/disable_ipv6", "1").unwrap();
    assert!(tcp(Domain::IPV6).connect(&address("[::1]:8080").into()).is_err());
    // Look-alikes.
    assert!(tcp(Domain::IPV4).connect(&address("127.0.0.1:9").into()).is_err());
    assert!(tcp(Domain::IPV4).bind(&address("127.0.0.1:8080").into()).is_err());
    assert!(std::os::unix::net::UnixStream::connect("/nowhere").is_err());
}

fn told(session: &Session) -> Vec<Value> {
    let keep = [
        "call",
        "protocol",
        "errno",
        "cause",
        "stage",
        "had_port",
        "netns",
        "source",
        "destination",
        "v4_mapped",
    ];
    let facts = |failure: &Value| {
        keep.iter()
            .map(|name| ((*name).to_owned(), failure[*name].clone()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    session.failures().map(facts).collect()
}

#[test]
fn tracepoints_tell_the_same_as_functions() {
    let mut seen = Vec::new();
    for mode in ["functions", "tracepoints"] {
        let _netns = Netns::with_ports(40000, 40003).unwrap();
        let full = Full::new("127.0.0.1:8080", 4).unwrap();
        // The tuple that the bound socket wants.
        let first = tcp(Domain::IPV4);
        first.set_reuse_address(true).unwrap();
        first.bind(&address("127.0.0.1:41000").into()).unwrap();
        first.connect(&full.destination.into()).unwrap();
        let watching = Watching::start(&["trace", "--json", "--mode", mode]).unwrap();
        provoke();
        let session = watching.end().unwrap();
        assert!(session.failures().all(|failure| failure["process"]["pid"] == std::process::id()));
        assert_eq!(session.end()["failures"], 9, "{mode}: {}", session.stdout);
        let mut facts = told(&session);
        facts.iter_mut().for_each(|fact| fact["netns"] = Value::Null);
        seen.push(facts);
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn tracepoints_tell_answers_and_refusals_of_who_called() {
    let _netns = Netns::new().unwrap();
    let args = ["trace", "--json", "--mode", "tracepoints", "--errno", "all"];
    let watching = Watching::start(&args).unwrap();
    let waiting = tally::run(&["--dest", "127.0.0.1:9", "--attempts", "3"]).unwrap();
    let not_waiting = tally::run(&["--dest", "127.0.0.1:9", "--attempts", "4", "--nonblocking"]).unwrap();
    let unreachable = tally::run(&["--dest", "192.0.2.1:80", "--attempts", "2"]).unwrap();
    let session = watching.end().unwrap();
    assert!(session.limits().next().is_some(), "{}", session.lines[0]);
    for (tally, errno, count) in
        [(&waiting, "ECONNREFUSED", 3), (&not_waiting, "ECONNREFUSED", 4), (&unreachable, "ENETUNREACH", 2)]
    {
        let of_run = |row: &Value| row["process"]["pid"] == tally.pid && row["errno"] == errno;
        assert_eq!(session.counted(of_run), count, "{errno}: {}", session.stdout);
    }
    assert_eq!(session.end()["failures"], 9, "{}", session.stdout);
}

/// A listener with room for as many connections as 2,000 ports make.
fn that_never_accepts() -> Socket {
    setrlimit(Resource::RLIMIT_NOFILE, 8192, 8192).unwrap();
    let listener = tcp(Domain::IPV4);
    listener.bind(&address("127.0.0.1:8080").into()).unwrap();
    listener.listen(4000).unwrap();
    listener
}

#[test]
fn searches_get_slow_before_they_fail() {
    let _netns = Netns::with_ports(40000, 41999).unwrap();
    let listener = that_never_accepts();
    let destination = listener.local_addr().unwrap();
    let watching = Watching::start(&["trace", "--json", "--search-time"]).unwrap();
    let mut held = Vec::new();
    let errno = loop {
        let socket = tcp(Domain::IPV4);
        match socket.connect(&destination) {
            Ok(()) => held.push(socket),
            Err(error) => break Errno::from_raw(error.raw_os_error().unwrap()),
        }
    };
    let session = watching.end().unwrap();
    assert_eq!((errno, held.len()), (Errno::EADDRNOTAVAIL, 2000));
    let failure = session.failures().next().unwrap();
    let failed_ns = failure["search_ns"].as_u64().unwrap();
    let searches = session.lines.iter().find(|line| line["type"] == "searches").unwrap();
    let row = &searches["rows"][0];
    assert_eq!((&row["count"], &row["destination"]["port"]), (&2001.into(), &8080.into()), "{row}");
    let number = |name: &str| row[name].as_u64().unwrap();
    println!("a search that failed: {failed_ns} ns; {row}");
    // The first half is found at once; of the second, each search goes through the first.
    assert!((900..=1100).contains(&number("slow")), "{row}");
    assert!(number("longest_ns") >= failed_ns && number("average_ns") < failed_ns, "{row}");
}

#[test]
fn slow_searches_are_warned_of_long_before_one_fails() {
    let _netns = Netns::with_ports(40000, 41999).unwrap();
    let listener = that_never_accepts();
    let destination = listener.local_addr().unwrap();
    let watching = Watching::start(&["trace", "--json", "--search-time", "--warn"]).unwrap();
    let connected = || {
        let socket = tcp(Domain::IPV4);
        socket.connect(&destination).unwrap();
        socket
    };
    // The first half is found at once, and is a look's interval away from the rest.
    let mut held: Vec<_> = (0..1000).map(|_| connected()).collect();
    sleep(Duration::from_millis(2500));
    held.extend((0..100).map(|_| connected()));
    sleep(Duration::from_millis(2500));
    let session = watching.end().unwrap();
    drop(held);
    assert_eq!(session.failures().count(), 0, "{}", session.stdout);
    let is_warning = |line: &&Value| line["type"] == "warning" && line["signal"] == "search_time";
    let warnings: Vec<_> = session.lines.iter().filter(is_warning).collect();
    let [warning] = warnings.as_slice() else { panic!("one warning: {warnings:?}") };
    assert_eq!(
        (&warning["destination"]["port"], &warning["source"]),
        (&8080.into(), &"127.0.0.1".into()),
        "{warning}"
    );
    let slow = warning["slow"].as_u64().unwrap();
    assert!((5..=110).contains(&slow), "{warning}");
    assert!(session.lines.iter().any(|line| line["type"] == "recent_searches"), "{}", session.stdout);
}

#[test]
fn without_the_option_nothing_is_measured() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    tally::run(&["--dest", "127.0.0.1:8080"]).unwrap();
    let session = watching.end().unwrap();
    assert!(session.failures().all(|failure| failure["search_ns"].is_null()), "{}", session.stdout);
    assert!(session.lines.iter().all(|line| line["type"] != "searches"), "{}", session.stdout);
}
