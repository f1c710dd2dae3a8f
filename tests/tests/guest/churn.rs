//! Processes, namespaces and portwatches that come and go.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use nix::sys::signal::Signal;
use portwatch_tests::churn::{self, destination, name};
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;
use serde_json::Value;

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
    let watching = Watching::start(&["trace", "--json", "--detail", "4000000000"]).unwrap();
    let limit = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    fs::write("/proc/sys/kernel/pid_max", "400").unwrap();
    let churned = churn::run(&["processes", "20000"]);
    fs::write("/proc/sys/kernel/pid_max", limit).unwrap();
    let churned = churned.unwrap();
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 20_000, "{}", session.end());
    let numbers: HashMap<String, u32> = (0..20_000).map(|n| (destination(n).ip().to_string(), n)).collect();
    let mut identities = HashMap::new();
    let is_right = |line: &Value, identities: &mut HashMap<_, _>| {
        let n = numbers[line["destination"]["address"].as_str().unwrap()];
        let process = &line["process"];
        assert_eq!(process["comm"], name(n), "{line}");
        assert_eq!(process["pid"], churned.pids[n as usize], "{line}");
        // What /proc said, if it could still say something, is of this program.
        assert!(process["exe"].is_null() || process["exe"] == "/usr/bin/churn", "{line}");
        let identity = (process["pid"].as_u64(), process["start_ns"].as_u64());
        assert_eq!(*identities.entry(identity).or_insert(n), n, "two processes are one: {line}");
    };
    let mut shown = 0;
    for failure in session.failures() {
        is_right(failure, &mut identities);
        shown += 1;
    }
    assert_eq!(session.end()["delivered"], shown, "{}", session.end());
    let distinct: std::collections::HashSet<_> = churned.pids.iter().collect();
    println!("{} pids for 20,000 processes, {shown} shown", distinct.len());
    assert!(distinct.len() < 400);
    for row in session.rows() {
        is_right(row, &mut identities);
        assert_eq!(row["count"], 1, "{row}");
    }
}

#[test]
fn a_thousand_namespaces_are_not_confused() {
    let _netns = Netns::new().unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let churned = churn::run(&["namespaces", "1000"]).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 1000, "{}", session.end());
    let shown: Vec<_> = session.failures().map(|failure| failure["netns"].as_u64().unwrap()).collect();
    assert_eq!(shown, churned.namespaces);
    for failure in session.failures() {
        assert_eq!(failure["cause"], "no_source_address", "{failure}");
    }
}

#[test]
fn two_portwatches_see_the_same() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = [(); 2].map(|()| Watching::start(&["trace", "--json"]).unwrap());
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "100"]).unwrap();
    for session in watching.map(|watching| watching.end().unwrap()) {
        assert_eq!(session.end()["failures"], tally.failed("EADDRNOTAVAIL"), "{}", session.end());
        assert_eq!(session.end()["delivered"], 100, "{}", session.end());
    }
}

/// Programs, maps and links that the kernel has.
fn loaded() -> [usize; 3] {
    [
        loaded_programs().filter(Result::is_ok).count(),
        loaded_maps().filter(Result::is_ok).count(),
        loaded_links().filter(Result::is_ok).count(),
    ]
}

/// The same once the kernel has let go of what ended before: it frees maps when it finds the time.
fn settled() -> [usize; 3] {
    let mut last = loaded();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = loaded();
        if now == last {
            return now;
        }
        last = now;
    }
}

#[test]
fn nothing_is_left_of_fifty_that_are_killed() {
    let _netns = Netns::new().unwrap();
    let before = settled();
    let ways: [&[&str]; 4] =
        [&[], &["--errno", "all"], &["--mode", "tracepoints"], &["--errno", "all", "--mode", "tracepoints"]];
    // The way that most will use most often.
    let sessions = (0..50).map(|n| if n < 38 { ways[0] } else { ways[n % ways.len()] });
    for (n, way) in sessions.enumerate() {
        let watching = Watching::start(&[&["trace", "--json"], way].concat()).unwrap();
        let running = loaded();
        assert!(before.iter().zip(running).all(|(before, now)| now > *before), "{way:?}: {running:?}");
        // Its output is cut off, so there is no session to check.
        let _ = watching.end_by(Signal::SIGKILL);
        let since = Instant::now();
        while loaded() != before {
            assert!(
                since.elapsed() < Duration::from_secs(10),
                "{n}, {way:?}: {before:?} before, {:?} after",
                loaded()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let events = fs::read_to_string("/sys/kernel/tracing/kprobe_events").unwrap_or_default();
    assert_eq!(events, "", "no probe events are left");
}
