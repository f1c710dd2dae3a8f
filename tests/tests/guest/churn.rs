//! Processes, namespaces and portwatches that come and go.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use nix::sys::signal::Signal;
use portwatch_tests::churn::{self, destination, name};
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Watching, command};
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

/// What the kernel has that a session may leave behind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loaded {
    /// Programs, maps and links.
    counts: [usize; 3],
    /// Functions that somebody has hooked, by whatever means.
    functions: String,
    /// Probes, and events of probes.
    probes: [String; 2],
}

fn loaded() -> Loaded {
    let read = |path| fs::read_to_string(path).unwrap();
    Loaded {
        counts: [
            loaded_programs().filter(Result::is_ok).count(),
            loaded_maps().filter(Result::is_ok).count(),
            loaded_links().filter(Result::is_ok).count(),
        ],
        functions: read("/sys/kernel/tracing/enabled_functions"),
        probes: ["/sys/kernel/debug/kprobes/list", "/sys/kernel/tracing/kprobe_events"].map(read),
    }
}

/// The same once the kernel has let go of what ended before: it frees maps when it finds the time.
fn settled() -> Loaded {
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

/// Waits until all is as it was before.
fn assert_nothing_is_left(before: &Loaded, description: &str) {
    let since = Instant::now();
    while loaded() != *before {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "{description}: {before:?} before, {:?} after",
            loaded()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The ways to watch that differ in what they load.
const WAYS: [&[&str]; 6] = [
    &[],
    &["--mode", "wrappers"],
    &["--holders", "--search-time", "--errno", "all"],
    &["--errno", "all"],
    &["--mode", "tracepoints"],
    &["--errno", "all", "--mode", "tracepoints"],
];

/// A session that watches so, and has loaded something.
fn watching(way: &[&str], before: &Loaded) -> Watching {
    let watching = Watching::start(&[&["trace", "--json"], way].concat()).unwrap();
    let running = loaded();
    let more = before.counts.iter().zip(running.counts).all(|(before, now)| now > *before);
    assert!(more, "{way:?}: {running:?}");
    let hooks_functions = !way.contains(&"tracepoints");
    assert!(!hooks_functions || running.functions != before.functions, "{way:?}: {running:?}");
    watching
}

#[test]
fn nothing_is_left_of_fifty_that_are_killed() {
    let _netns = Netns::new().unwrap();
    let before = settled();
    // The way that most will use most often.
    let sessions = (0..50).map(|n| if n < 35 { WAYS[0] } else { WAYS[n % WAYS.len()] });
    for (n, way) in sessions.enumerate() {
        let watching = watching(way, &before);
        // Its output is cut off, so there is no session to check.
        let _ = watching.end_by(Signal::SIGKILL);
        assert_nothing_is_left(&before, &format!("{n}, {way:?}"));
    }
}

#[test]
fn nothing_is_left_of_what_ends_in_order() {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
    let before = settled();
    for way in WAYS {
        let session = watching(way, &before).end_by(Signal::SIGINT).unwrap();
        assert_eq!(session.status.code(), Some(0), "{way:?}: {}", session.stderr);
        assert_nothing_is_left(&before, &format!("{way:?}, SIGINT"));
        let watching = watching(&[way, &["--count", "1"]].concat(), &before);
        assert_eq!(tally::run(&["--dest", "127.0.0.1:8080"]).unwrap().failed("EADDRNOTAVAIL"), 1);
        let session = watching.wait().unwrap();
        assert_eq!(
            (session.status.code(), session.failures().count()),
            (Some(0), 1),
            "{way:?}: {}",
            session.stderr
        );
        assert_nothing_is_left(&before, &format!("{way:?}, --count"));
    }
    let doctor = command(&["doctor"]).output().unwrap();
    assert_eq!(doctor.status.code(), Some(0), "{}", String::from_utf8_lossy(&doctor.stdout));
    assert_nothing_is_left(&before, "doctor");
}
