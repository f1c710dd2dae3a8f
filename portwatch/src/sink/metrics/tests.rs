//! What is told of what came in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Format, METRICS, Metrics, State, encode, failures, lock, places};
use crate::diagnose::Observer;
use crate::event::{
    BootNs, Container, Counts, Details, Errno, Fault, Item, LossReason, Lost, Namespace, NetnsId, Occupancy,
    Pod, PodName, PortRange, Process, Protocol, Row, Scope, Snapshot, Stage, Suppressed, Text, Usage,
};
use crate::sink::{GroupBy, Sink as _};

const NETNS: NetnsId = NetnsId(4_026_531_840);

fn row(comm: &[u8], destination: &str, count: u64) -> Row {
    let process = Process { comm: Text(comm.to_vec()), ..Process::with_id(7) };
    let fault = Fault::no_port(destination.parse::<std::net::SocketAddr>().unwrap());
    Row { process, netns: NETNS, fault, count, first: BootNs(1), last: BootNs(2) }
}

fn counts(rows: Vec<Row>, other: u64) -> Item {
    Item::Counts(Counts { from: BootNs(1), to: BootNs(2), rows, other })
}

fn occupancy(port: u16, used: u32) -> Occupancy {
    Occupancy {
        netns: NETNS,
        protocol: Protocol::Tcp,
        source: Some([10, 0, 0, 1].into()),
        destination: Some(([10, 0, 0, 2], port).into()),
        device: 0,
        used,
        usable: 100,
        by_state: Vec::new(),
        holders: Vec::new(),
        time_wait: None,
        open_since: None,
    }
}

fn snapshot(at_s: u64, rows: Vec<Occupancy>) -> Item {
    let namespace = Namespace::own(NETNS, PortRange { low: 40000, high: 40099 });
    Item::Ports(Snapshot {
        at: BootNs(at_s * 1_000_000_000),
        boot_offset_ns: 0,
        scope: Scope::default(),
        namespaces: vec![namespace],
        hosts_range: None,
        rows,
        sockets: 0,
        repeated: 0,
        bound_visible: None,
        limits: Vec::new(),
    })
}

/// What is told after these items.
fn told(items: &[Item]) -> String {
    let (mut metrics, exposition) = Metrics::new(GroupBy::Process, Usage::default, Arc::default());
    let mut observer = Observer::default();
    for item in items {
        let opinions = observer.see(item);
        metrics.item(item, &opinions).unwrap();
    }
    exposition.told(Format::OpenMetrics).unwrap()
}

/// Series of a metric, with their values.
fn series<'a>(told: &'a str, name: &str) -> Vec<(&'a str, f64)> {
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    told.lines()
        .filter(of)
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(series, value)| (series, value.parse().unwrap()))
        .collect()
}

fn sum(told: &str, name: &str) -> f64 {
    series(told, name).iter().map(|(_, value)| value).sum()
}

fn number(told: &str) -> usize {
    told.lines().filter(|line| !line.starts_with("# ")).count()
}

#[test]
fn failures_are_counted_by_what_they_are() {
    let bind = Fault {
        call: crate::event::Call::Bind,
        stage: Stage::Bind,
        errno: Errno::EADDRINUSE,
        ..Fault::no_port(([0, 0, 0, 0], 0))
    };
    let items = [
        counts(vec![row(b"nginx", "10.0.0.2:443", 3), row(b"nginx", "[2001:db8::1]:443", 1)], 0),
        counts(
            vec![row(b"nginx", "10.0.0.2:443", 4), Row { fault: bind, ..row(b"haproxy", "10.0.0.2:1", 5) }],
            2,
        ),
    ];
    let told = told(&items);
    let expected = [
        (
            r#"portwatch_failures_total{cause="range_exhausted",errno="EADDRNOTAVAIL",destination="10.0.0.2:443",group="nginx"}"#,
            7.0,
        ),
        (
            r#"portwatch_failures_total{cause="range_exhausted",errno="EADDRNOTAVAIL",destination="[2001:db8::1]:443",group="nginx"}"#,
            1.0,
        ),
        (r#"portwatch_failures_total{cause="bind_range_exhausted",errno="EADDRINUSE",group="haproxy"}"#, 5.0),
        (r#"portwatch_failures_total{cause="other",errno="other",destination="other",group="other"}"#, 2.0),
    ];
    assert_eq!(series(&told, "portwatch_failures_total"), expected);
    let by_cause: BTreeMap<_, _> = series(&told, "portwatch_failures_by_cause_total").into_iter().collect();
    assert_eq!(by_cause.len(), 9, "each cause from the start on: {by_cause:?}");
    assert_eq!(by_cause[r#"portwatch_failures_by_cause_total{cause="range_exhausted"}"#], 8.0);
    assert_eq!(by_cause[r#"portwatch_failures_by_cause_total{cause="unknown"}"#], 2.0);
}

#[test]
fn whatever_fails_the_series_are_bounded_and_the_sum_is_exact() {
    let kinds = failures::MOST as u64 + 700;
    let many = |from: u64, to: u64, count| {
        let of = |n: u64| {
            row(format!("p{}", n % 7).as_bytes(), &format!("10.1.{}.{}:{}", n >> 8, n & 255, 1 + n), count)
        };
        counts((from..to).map(of).collect(), 1)
    };
    let rows = (0..places::MOST + 50).map(|n| occupancy(u16::try_from(n).unwrap() + 1, 90)).collect();
    let told = told(&[many(0, kinds, 1), many(0, kinds, 2), snapshot(1, rows)]);
    let expected = 3 * kinds + 2;
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let expected = expected as f64;
    assert_eq!(sum(&told, "portwatch_failures_total"), expected);
    assert_eq!(sum(&told, "portwatch_failures_by_cause_total"), expected);
    assert_eq!(series(&told, "portwatch_failures_total").len(), failures::MOST + 1);
    assert_eq!(series(&told, "portwatch_ports_used").len(), places::MOST);
    assert_eq!(sum(&told, "portwatch_places_left_out_total"), 50.0);
    assert!(number(&told) <= encode::MOST, "{} series", number(&told));
}

#[test]
fn who_failed_is_told_by_what_was_asked_for() {
    let text = |text: &str| Text(text.as_bytes().to_vec());
    let mut of_shop = row(b"nginx", "10.0.0.2:443", 3);
    let name = PodName { namespace: text("shop"), name: text("web-1") };
    of_shop.process.details = Arc::new(Details {
        unit: Some(text("nginx.service")),
        container: Some(Container { id: text("3f084b"), runtime: None, name: None }),
        pod: Some(Pod { uid: text("214f"), name: Some(name) }),
        ..Details::default()
    });
    let cases = [
        (GroupBy::Process, [",group=\"nginx\"} 3", ",group=\"curl\"} 2"]),
        (GroupBy::Unit, [",group=\"nginx.service\"} 3", "} 2"]),
        (GroupBy::Container, [",group=\"3f084b\"} 3", "} 2"]),
        (GroupBy::Pod, [",group=\"shop/web-1\"} 3", "} 2"]),
        (GroupBy::Destination, ["} 5", "} 5"]),
    ];
    for (by, expected) in cases {
        let (mut metrics, exposition) = Metrics::new(by, Usage::default, Arc::default());
        let rows = vec![of_shop.clone(), row(b"curl", "10.0.0.2:443", 2)];
        metrics.item(&counts(rows, 0), &[]).unwrap();
        let told = exposition.told(Format::Text).unwrap();
        for series in expected {
            let series = format!("destination=\"10.0.0.2:443\"{series}\n");
            assert!(told.contains(&series), "{by:?}: {series} in {told}");
        }
    }
}

#[test]
fn a_name_cannot_forge_a_series_or_a_line() {
    let hostile: [(&[u8], &str); 6] = [
        (b"a\"} 1\nforged_total 7", r#"a\"} 1\nforged_total 7"#),
        (b"back\\slash\\", r"back\\slash\\"),
        (b"\\\"\n", r#"\\\"\n"#),
        (b"# EOF", "# EOF"),
        ("\u{202e}evil\u{7}".as_bytes(), "\u{202e}evil\u{7}"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
    ];
    for (comm, label) in hostile {
        for format in [Format::OpenMetrics, Format::Text] {
            let (mut metrics, exposition) = Metrics::new(GroupBy::Process, Usage::default, Arc::default());
            metrics.item(&counts(vec![row(comm, "10.0.0.2:443", 3)], 0), &[]).unwrap();
            let told = exposition.told(format).unwrap();
            let expected = format!("destination=\"10.0.0.2:443\",group=\"{label}\"}} 3\n");
            assert!(told.contains(&expected), "{label}: {told}");
            let (of_it, of_another) = (number(&told), "forged_total 7\n");
            assert_eq!(of_it, number(&self::told(&[counts(vec![row(b"a", "10.0.0.2:1", 1)], 0)])), "{told}");
            assert!(!told.contains(&format!("\n{of_another}")), "{told}");
        }
    }
}

#[test]
fn what_is_not_told_in_detail_is_told_in_numbers() {
    let (from, to) = (BootNs(1), BootNs(2));
    let lost = |reason, count| Item::Lost(Lost { reason, count, from, to });
    let items = [
        lost(LossReason::RingFull, 3),
        lost(LossReason::RingFull, 4),
        lost(LossReason::SkippedRun, 5),
        Item::Suppressed(Suppressed { count: 6, from, to }),
    ];
    let told = told(&items);
    let lost: BTreeMap<_, _> = series(&told, "portwatch_lost_total").into_iter().collect();
    assert_eq!(lost[r#"portwatch_lost_total{reason="ring_full"}"#], 7.0);
    assert_eq!(lost.len(), 4, "each reason from the start on: {lost:?}");
    assert_eq!(
        (sum(&told, "portwatch_skipped_runs_total"), sum(&told, "portwatch_suppressed_total")),
        (5.0, 6.0)
    );
}

#[test]
fn places_are_told_while_half_of_their_ports_are_taken() {
    let place = r#"{netns="4026531840",protocol="tcp",source="10.0.0.1",destination="10.0.0.2:443"}"#;
    let names = ["portwatch_ports_used", "portwatch_ports_usable", "portwatch_ports_exhausted_in_seconds"];
    // The used ports of each look, two seconds apart, and what is told then.
    let steps: [(u32, [Option<f64>; 3]); 5] = [
        (40, [None; 3]),
        (60, [Some(60.0), Some(100.0), Some(4.0)]),
        (80, [Some(80.0), Some(100.0), Some(2.0)]),
        (100, [Some(100.0), Some(100.0), Some(0.0)]),
        (10, [None; 3]),
    ];
    let mut items = Vec::new();
    for (n, (used, expected)) in steps.into_iter().enumerate() {
        items.push(snapshot(2 * n as u64, vec![occupancy(443, used)]));
        let told = told(&items);
        for (name, value) in names.into_iter().zip(expected) {
            let series = series(&told, name);
            let found = series.first().map(|(series, value)| (series.to_string(), *value));
            assert_eq!(found, value.map(|value| (format!("{name}{place}"), value)), "{name} at {used}");
        }
    }
}

#[test]
fn a_place_that_nobody_looks_at_any_more_is_not_told() {
    let mut state = State::new(GroupBy::Process);
    let (now, item) = (Instant::now(), snapshot(1, vec![occupancy(443, 90)]));
    let opinions = Observer::default().see(&item);
    let Item::Ports(snapshot) = item else { unreachable!() };
    state.places.see(&snapshot, &opinions, now);
    let known = |after: u64| state.places.at(now + Duration::from_secs(after)).count();
    assert_eq!([known(0), known(119), known(120)], [1, 1, 0]);
}

#[test]
fn all_metrics_are_there_and_each_is_described_once() {
    let usage =
        || Usage { cpu: Some(Duration::from_millis(1500)), resident_bytes: Some(4096), descriptors: Some(9) };
    let cut = Arc::<AtomicU64>::default();
    let (metrics, exposition) = Metrics::new(GroupBy::Process, usage, Arc::clone(&cut));
    cut.store(8, Ordering::Relaxed);
    drop(metrics);
    let told = exposition.told(Format::Text).unwrap();
    for metric in METRICS {
        let heads = [
            format!("# HELP {} {}\n", metric.name(), metric.help),
            format!("# TYPE {} {}\n", metric.name(), metric.kind.word()),
        ];
        for head in heads {
            assert_eq!(told.matches(&head).count(), 1, "{head}{told}");
        }
    }
    for line in [
        "process_cpu_seconds_total 1.5",
        "process_resident_memory_bytes 4096",
        "process_open_fds 9",
        "portwatch_connections_cut_total 8",
        "portwatch_delivered_total 0",
    ] {
        assert!(told.lines().any(|other| other == line), "{line}: {told}");
    }
    assert!(exposition.told(Format::OpenMetrics).unwrap().ends_with("# EOF\n"));
}

#[test]
fn who_asks_at_once_again_is_given_the_same() {
    let (mut metrics, exposition) = Metrics::new(GroupBy::Process, Usage::default, Arc::default());
    let first = exposition.told(Format::Text).unwrap();
    metrics.item(&counts(vec![row(b"a", "10.0.0.2:1", 1)], 0), &[]).unwrap();
    assert_eq!(exposition.told(Format::Text).unwrap(), first);
    *lock(&exposition.last) = None;
    assert_ne!(exposition.told(Format::Text).unwrap(), first);
}
