//! Half an hour of failures, with all on that is on for months: a flight recorder, and metrics that are scraped each second.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Watching, printed};
use portwatch_tests::scrape::{page, sum, told_when};
use portwatch_tests::tally;
use serde_json::Value;

const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 7678);
const MINUTES: u64 = 30;
const FAILURES_A_SECOND: u64 = 1000;
const SERVICES: u16 = 8;
/// So little that a part is full within a minute, and from the sixth on the oldest go.
const KEPT: &str = "4M";
const KEPT_BYTES: u64 = 4 << 20;
/// By how much resident memory may differ from that after the first minute.
const SLACK_KIB: u64 = 2 * 1024;
/// Counters that have to agree once nothing more happens.
const TOTALS: [&str; 2] = ["portwatch_failures_total{", "portwatch_failures_by_cause_total{"];
const DETAILS: [&str; 3] =
    ["portwatch_delivered_total", "portwatch_suppressed_total", "portwatch_lost_total{"];

/// Every minute another process, which fails at all services in turn; how many failures there were.
fn load() -> u64 {
    let (attempts, rate) = ((60 * FAILURES_A_SECOND).to_string(), FAILURES_A_SECOND.to_string());
    let spread = (SERVICES - 1).to_string();
    // Fifty times a second, as to be woken a thousand times would take more of this guest than all else.
    let pace = ["--rate", &rate, "--burst", "20"];
    let what = ["--dest", "127.0.0.1:8080", "--spread", &spread, "--attempts", &attempts];
    let args = [&what[..], &pace].concat();
    (0..MINUTES).map(|_| tally::run(&args).unwrap().failed("EADDRNOTAVAIL")).sum()
}

/// What it has at an instant.
#[derive(Debug)]
struct Has {
    /// By its page tables: the counters of /proc/PID/status lag behind on Linux 6.1, by 64 page faults of each thread,
    /// each of which may have mapped 16 pages of the executable (`check_sync_rss_stat`, mm/memory.c). Mapping by
    /// mapping: their sum in smaps_rollup was once too small while a thread was started.
    resident_kib: u64,
    descriptors: usize,
}

impl Has {
    fn of(pid: Pid) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
        let mappings = text.lines().filter_map(|line| line.strip_prefix("Rss:"));
        let kib = |size: &str| size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        let resident_kib = mappings.map(kib).sum();
        let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        // A look at the ports has some open for some milliseconds.
        let first = descriptors();
        sleep(Duration::from_millis(250));
        Self { resident_kib, descriptors: first.min(descriptors()) }
    }
}

/// What a scrape tells: each counter, none of which may go back.
fn scraped(before: &[f64]) -> Vec<f64> {
    let told = page(SocketAddr::from(METRICS), "/metrics").unwrap();
    let is_line = |line: &str| {
        line.starts_with("# ") || line.rsplit(' ').next().is_some_and(|number| number.parse::<f64>().is_ok())
    };
    assert!(told.lines().all(is_line), "{told}");
    let counters: Vec<f64> = TOTALS.iter().chain(&DETAILS).map(|name| sum(&told, name)).collect();
    assert!(before.iter().zip(&counters).all(|(before, now)| before <= now), "{before:?}: {told}");
    counters
}

fn bytes(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn thirty_minutes_of_a_thousand_failures_a_second_take_no_more_memory_and_descriptors_than_the_first() {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let full = |n| Full::new(&format!("127.0.0.1:{}", 8080 + n), 2).unwrap();
    let _full: Vec<Full> = (0..SERVICES).map(full).collect();
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("parts");
    let args = ["record", "--metrics", "7678", "--keep", KEPT, "-o", parts.to_str().unwrap()];
    let watching = Watching::start(&args).unwrap();

    let load = thread::spawn(load);
    let (since, mut second, mut counters, mut after_a_minute) = (Instant::now(), 0, Vec::new(), None);
    while !load.is_finished() {
        second += 1;
        sleep(Duration::from_secs(second).saturating_sub(since.elapsed()));
        // Before the scrape, whose connection is a descriptor.
        let now = Has::of(watching.pid());
        counters = scraped(&counters);
        let on_disk = bytes(&parts);
        if second % 60 == 0 {
            println!("after {} minutes {now:?}, {on_disk} bytes, counters {counters:?}", second / 60);
        }
        assert!(on_disk <= KEPT_BYTES, "second {second}: {on_disk} bytes are kept");
        if second >= 60 {
            let before = after_a_minute.get_or_insert_with(|| Has::of(watching.pid()));
            let difference = now.resident_kib.abs_diff(before.resident_kib);
            assert!(difference <= SLACK_KIB, "second {second}: {before:?} after a minute, now {now:?}");
            assert_eq!(now.descriptors, before.descriptors, "second {second}: descriptors");
        }
    }
    let failed = load.join().unwrap();
    assert_eq!(failed, 60 * MINUTES * FAILURES_A_SECOND);
    assert!(second <= 61 * MINUTES, "it took {second} seconds");

    // What it told while it ran, what it says at its end, and what it recorded of that are the same.
    let told = told_when(METRICS.into(), TOTALS[0], failed as f64).unwrap();
    let [delivered, suppressed, lost] = DETAILS.map(|name| sum(&told, name));
    assert_eq!(sum(&told, TOTALS[1]), failed as f64, "{told}");
    assert_eq!(delivered + suppressed + lost, failed as f64, "{told}");
    let session = watching.end().unwrap();
    assert_eq!(session.status.code(), Some(0), "{}", session.stderr);
    let said = session.stdout.lines().find(|line| line.starts_with(&format!("{failed} failures in ")));
    assert!(said.is_some_and(|line| line.contains(&format!("{delivered} shown"))), "{}", session.stdout);

    let mut names: Vec<_> = fs::read_dir(&parts).unwrap().map(|file| file.unwrap().path()).collect();
    names.sort();
    assert!(!names[0].ends_with("000001.jsonl.zst"), "no part was deleted: {names:?}");
    let last = printed(&["replay", "--json", names.last().unwrap().to_str().unwrap()]).unwrap();
    let read = |kind: &str| -> Value {
        let line = last.lines().rev().find(|line| line.starts_with(&format!("{{\"type\":\"{kind}\"")));
        serde_json::from_str(line.unwrap()).unwrap()
    };
    let (summary, end) = (read("summary"), read("end"));
    println!("{said:?}: {end}");
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(number(&end["failures"]), failed, "{end}");
    assert_eq!(
        (number(&end["delivered"]) as f64, number(&end["suppressed"]) as f64),
        (delivered, suppressed)
    );
    assert_eq!(end["lost"].as_object().unwrap().values().map(number).sum::<u64>() as f64, lost, "{end}");
    let rows = summary["rows"].as_array().unwrap().iter().map(|row| number(&row["count"])).sum::<u64>();
    assert_eq!(rows + number(&summary["other"]), failed, "{summary}");
}
