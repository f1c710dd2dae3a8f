//! How a session begins and ends.

use std::time::Duration;

use nix::sys::signal::Signal;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

#[test]
fn the_first_line_says_what_watches() {
    let session = Watching::start(&["trace", "--json", "--dest", "10.0.0.0/8:443"]).unwrap().end().unwrap();
    let start = &session.lines[0];
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(start["kernel"], release.trim(), "{start}");
    for function in ["__inet_hash_connect", "tcp_v4_connect", "tcp_v6_connect"] {
        assert_eq!(start["hooks"][function], "fexit", "{start}");
    }
    assert_eq!(start["filters"]["destination"]["network"], "10.0.0.0/8", "{start}");
    assert_eq!(start["filters"]["errno"], "shortage", "{start}");
}

#[test]
fn both_signals_end_it_in_order() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let watching = Watching::start(&["trace", "--json"]).unwrap();
        let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "100"]).unwrap();
        let session = watching.end_by(signal).unwrap();
        assert_eq!(session.status.code(), Some(0), "{signal}");
        assert_eq!(session.end()["failures"], tally.failed("EADDRNOTAVAIL"), "{signal}");
        assert_eq!(session.end()["delivered"], tally.failed("EADDRNOTAVAIL"), "{signal}");
        println!("{signal}: told within {:?}, ended within {:?}", session.told, session.ended);
    }
}

#[test]
fn a_count_ends_it_after_that_many_lines() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json", "--count", "3"]).unwrap();
    tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "50"]).unwrap();
    let session = watching.wait().unwrap();
    assert_eq!(session.status.code(), Some(0));
    assert_eq!(session.failures().count(), 3);
    assert_eq!(session.end()["delivered"], 3);
}

#[test]
fn a_duration_ends_it_by_itself() {
    let session = Watching::start(&["trace", "--json", "--duration", "300ms"]).unwrap().wait().unwrap();
    assert_eq!(session.status.code(), Some(0));
    assert_eq!(session.end()["failures"], 0);
    assert!(session.end()["watched_ns"].as_u64().unwrap() >= 300_000_000, "{}", session.end());
}

#[test]
fn without_a_command_it_traces() {
    let session = Watching::start(&["--json", "--duration", "100ms"]).unwrap().wait().unwrap();
    assert_eq!(session.lines[0]["type"], "start");
}

#[test]
fn an_output_that_refuses_ends_it_with_an_error_and_a_closed_one_quietly() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let refused = || drop(std::net::TcpStream::connect("127.0.0.1:8080").unwrap_err());
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for (stdout, expected) in [(full(), Some(1)), (Stdio::piped(), Some(0))] {
        let mut command = portwatch_tests::portwatch::command(&["trace"]);
        let mut child = command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        assert!(said.starts_with("portwatch: ready"), "{said}");
        refused();
        said.clear();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), expected, "{said}");
        assert_eq!(said.contains("standard output"), expected == Some(1), "{said}");
        // The first failure's line finds it out.
        assert_eq!(said.contains("counted until then: 1;"), expected == Some(1), "{said}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_also_when_nothing_happens() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    let mut command = portwatch_tests::portwatch::command(&["trace"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("portwatch: ready"), "{ready}");
    drop(child.stdout.take());
    let since = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        if since.elapsed() > Duration::from_secs(10) {
            child.kill().unwrap();
            panic!("it goes on although nobody reads its output");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
