//! What a recorder costs: for each failure, and where nothing happens for an hour.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Watching, printed};
use portwatch_tests::tally;

const SERVICE: &str = "127.0.0.1:8080";
/// What nobody makes in a second.
const NO_BOUND: &str = "4000000000";
/// Of all its threads, the kernel's part included: for reading the ring, for the line, and for the file.
const INSTRUCTIONS_A_FAILURE: u64 = 6_000;
const BYTES_A_FAILURE: u64 = 64;
const BYTES_AN_HOUR: u64 = 256 * 1024;
const FAILURES: u64 = 100_000;
/// Pages of the executable that are needed for the first time.
const SLACK_KIB: u64 = 128;

/// Processor time of all its threads, which in this guest is counted instructions.
fn instructions(pid: Pid) -> u64 {
    let time = clock_getcpuclockid(pid).and_then(ClockId::now).unwrap();
    Duration::from(time).as_nanos().try_into().unwrap()
}

/// Waits until it does nothing more than it always does.
fn at_rest(pid: Pid) -> u64 {
    loop {
        let before = instructions(pid);
        sleep(Duration::from_secs(3));
        let now = instructions(pid);
        if now - before < 3_000_000 {
            return now;
        }
    }
}

/// What a failure costs.
struct Cost {
    instructions: u64,
    /// Of the file, for all of them.
    file_bytes: u64,
}

/// Records a storm.
fn cost(file: &Path, options: &[&str]) -> Cost {
    let args = [&["record", "-o", file.to_str().unwrap(), "--detail", NO_BOUND], options].concat();
    let (watching, instructions) = storm(Watching::start(&args).unwrap());
    let session = watching.end().unwrap();
    assert_eq!(session.status.code(), Some(0), "{}", session.stderr);
    // All of them were recorded.
    let replayed = printed(&["replay", "--json", file.to_str().unwrap()]).unwrap();
    let recorded = replayed.lines().filter(|line| line.starts_with("{\"type\":\"failure\"")).count();
    assert_eq!(u64::try_from(recorded).unwrap(), FAILURES);
    Cost { instructions, file_bytes: fs::metadata(file).unwrap().len() }
}

/// What is spent on each failure by whoever reads the ring and does nothing with it but to copy it and take a checksum.
fn floor() -> u64 {
    let program = std::env::var("RING_FLOOR_BIN").unwrap();
    let (watching, instructions) = storm(Watching::start_as(Command::new(program)).unwrap());
    let session = watching.end().unwrap();
    // The change of the range has one, too.
    let records: u64 = session.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!((FAILURES..FAILURES + 10).contains(&records), "{}", session.stdout);
    instructions
}

/// What is spent on each failure of a storm.
fn storm(watching: Watching) -> (Watching, u64) {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let _full = Full::new(SERVICE, 2).unwrap();
    let before = at_rest(watching.pid());
    let each = (FAILURES / 4).to_string();
    let load = ["--dest", SERVICE, "--attempts", &each];
    let children: Vec<_> = (0..4).map(|_| tally::start(&load).unwrap()).collect();
    for child in children {
        assert_eq!(tally::finish(child).unwrap().failed("EADDRNOTAVAIL"), FAILURES / 4);
    }
    let spent = at_rest(watching.pid()) - before;
    (watching, spent / FAILURES)
}

#[test]
fn recording_a_failure_costs_at_most_6_000_instructions_and_64_bytes() {
    let floor = floor();
    println!("floor: {floor} instructions for a failure that is copied from the ring, with a checksum");
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [("quiet", &["--quiet"][..]), ("default", &[])] {
        let Cost { instructions, file_bytes } =
            cost(&folder.path().join(format!("{name}.jsonl.zst")), options);
        println!("{name}: {instructions} instructions a failure; {FAILURES} take {file_bytes} bytes");
        assert!(instructions <= INSTRUCTIONS_A_FAILURE, "{name}: {instructions} instructions for a failure");
        assert!(
            file_bytes <= BYTES_A_FAILURE * FAILURES,
            "{name}: {file_bytes} bytes for {FAILURES} failures"
        );
    }
}

/// How often its threads have begun to wait or were made to, its resident memory in KiB, and how many files it has open.
#[derive(Debug)]
struct State {
    switches: u64,
    resident_kib: u64,
    files: usize,
}

impl State {
    fn of(pid: Pid) -> Self {
        let number = |text: &str, name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let switches = tasks.map(|task| {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            number(&status, "voluntary_ctxt_switches:") + number(&status, "nonvoluntary_ctxt_switches:")
        });
        let switches = switches.sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { switches, resident_kib: number(&status, "VmRSS:"), files }
    }
}

#[test]
fn an_hour_in_which_nothing_happens_wakes_a_recorder_four_times_a_second_at_most_and_leaves_nothing() {
    const HOUR: Duration = Duration::from_secs(3600);
    let _netns = Netns::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("idle.jsonl.zst");
    let watching = Watching::start(&["record", "-o", file.to_str().unwrap()]).unwrap();
    // What it does once is done.
    sleep(Duration::from_secs(60));
    let (before, bytes) = (State::of(watching.pid()), fs::metadata(&file).unwrap().len());
    sleep(HOUR);
    let (after, bytes_after) = (State::of(watching.pid()), fs::metadata(&file).unwrap().len());
    println!("{before:?}, an hour later {after:?}");
    let woken = after.switches - before.switches;
    assert!(woken <= 4 * HOUR.as_secs(), "{woken} times in an hour: {before:?} {after:?}");
    assert!(after.resident_kib <= before.resident_kib + SLACK_KIB, "memory grows: {before:?} {after:?}");
    assert_eq!(after.files, before.files, "descriptors");
    // Who holds the ports is looked at all the time.
    let grown = bytes_after - bytes;
    println!("{grown} bytes were written");
    assert!(grown <= BYTES_AN_HOUR, "{grown} bytes in an hour in which nothing happens");
    let session = watching.end().unwrap();
    assert_eq!(session.status.code(), Some(0), "{}", session.stderr);
}
