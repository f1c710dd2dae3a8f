//! A recorder that is killed leaves a file that tells all but its last second.

use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Watching, printed};
use portwatch_tests::tally;
use serde_json::Value;

const SERVICE: &str = "127.0.0.1:8080";
/// What a killed recorder may lose, by the kernel's clock.
const SECOND_NS: u64 = 1_000_000_000;
/// What a failure may be late in user space, where a recorder and its load share two emulated processors.
const LATE_NS: u64 = 500_000_000;
const KILLS: u64 = 20;
const LATEST_KILL_US: u64 = 2_000_000;

fn line(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn failures(lines: &str) -> Vec<&str> {
    lines.lines().filter(|line| line.starts_with("{\"type\":\"failure\"")).collect()
}

#[test]
fn a_recorder_that_is_killed_in_a_storm_leaves_all_but_the_last_second() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("killed.jsonl.zst");
    let name = file.to_str().unwrap();
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let _full = Full::new(SERVICE, 2).unwrap();
    let watching = Watching::start(&["record", "-o", name, "--json"]).unwrap();
    let load = tally::start(&["--dest", SERVICE, "--attempts", "5000", "--rate", "1000"]).unwrap();
    // In its midst.
    std::thread::sleep(Duration::from_millis(3_300));
    let live = killed_without_load(watching, &load);
    let tally = tally::finish(load).unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 5000);

    let replayed = printed(&["replay", "--json", name]).unwrap();
    let (shown, kept) = (failures(&live), failures(&replayed));
    assert!(kept.len() > 1000, "{} of {} that were shown", kept.len(), shown.len());
    // Those that were shown and not kept are the last ones, and of one second.
    for (shown, kept) in shown.iter().zip(&kept) {
        assert_eq!(shown, kept);
    }
    let at = |text: &&str| line(text)["monotonic_ns"].as_u64().unwrap();
    let (last_shown, last_kept) = (shown.last().map(at).unwrap(), kept.last().map(at).unwrap());
    println!(
        "{} shown, {} kept, the last {} ms apart",
        shown.len(),
        kept.len(),
        last_shown.abs_diff(last_kept) / 1_000_000
    );
    assert!(last_shown <= last_kept + SECOND_NS, "shown until {last_shown}, kept until {last_kept}");
    assert!(replayed.contains("\"why\":\"no_end\""), "nothing says that it was killed: {replayed}");
    // What is left is good for a report, which says so too.
    let report = printed(&["report", name]).unwrap();
    assert!(report.contains(SERVICE), "{report}");
}

/// Kills a recorder in a storm, which stands still until the kernel has let go of the programs: where everything is
/// emulated, code that is patched while it runs may trap.
fn killed_without_load(watching: Watching, load: &Child) -> String {
    let load = Pid::from_raw(i32::try_from(load.id()).unwrap());
    kill(load, Signal::SIGSTOP).unwrap();
    let shown = watching.killed().unwrap();
    kill(load, Signal::SIGCONT).unwrap();
    shown
}

/// Now, by the clock of `monotonic_ns`.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap();
    Duration::from(now).as_nanos().try_into().unwrap()
}

#[test]
fn twenty_recorders_that_are_killed_in_a_storm_leave_all_but_the_last_second_and_no_wrong_line() {
    let folder = tempfile::tempdir().unwrap();
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let _full = Full::new(SERVICE, 2).unwrap();
    // All of them with detail: what is suppressed is not in the file.
    let options = ["record", "--quiet", "--no-holders", "--detail", "4000000000", "-o"];
    let (mut most_lost_ns, mut kept) = (0, 0);
    for number in 0..KILLS {
        let file = folder.path().join(format!("{number}.jsonl.zst"));
        let name = file.to_str().unwrap();
        let watching = Watching::start(&[&options[..], &[name]].concat()).unwrap();
        let mut load = tally::start(&["--dest", SERVICE, "--attempts", "1000000", "--rate", "500"]).unwrap();
        let began = now_ns();
        // Evenly over that time, in no order.
        let time = Duration::from_micros(number * LATEST_KILL_US / KILLS * 7919 % LATEST_KILL_US);
        std::thread::sleep(time);
        let ended = now_ns();
        assert_eq!(killed_without_load(watching, &load), "", "it should have been quiet");
        load.kill().unwrap();
        load.wait().unwrap();

        let replayed = printed(&["replay", "--json", name]).unwrap();
        assert!(replayed.starts_with("{\"type\":\"start\""), "after {time:?}: {replayed}");
        assert!(replayed.contains("\"why\":\"no_end\""), "nothing says that it was killed: {replayed}");
        let mut last = 0;
        for text in failures(&replayed) {
            let failure = line(text);
            let facts = [&failure["process"]["pid"], &failure["errno"], &failure["destination"]["port"]];
            assert_eq!(facts, [&Value::from(load.id()), &"EADDRNOTAVAIL".into(), &8080.into()], "{text}");
            let at = failure["monotonic_ns"].as_u64().unwrap();
            assert!(last < at, "after {last}: {text}");
            last = at;
            kept += 1;
        }
        // Where nothing was kept all of it is missing, from the beginning.
        let lost_ns = ended - last.max(began).min(ended);
        assert!(lost_ns <= SECOND_NS + LATE_NS, "{lost_ns} ns are lost after {time:?}");
        most_lost_ns = most_lost_ns.max(lost_ns);
    }
    println!("{KILLS} kills, lost at most {} ms; kept {kept} failures", most_lost_ns / 1_000_000);
    // At least every other one had written a frame with failures.
    assert!(kept > 1000, "{kept} failures were kept");
}
