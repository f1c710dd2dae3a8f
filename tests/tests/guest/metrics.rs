//! Metrics of a storm, as Prometheus itself reads them.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::scrape::{page, sum, told_when};
use portwatch_tests::tally;
use serde_json::Value;

const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 7678);
const PROMETHEUS: ([u8; 4], u16) = ([127, 0, 0, 1], 9090);
const CONFIG: &str = "\
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs: [{ job_name: portwatch, static_configs: [{ targets: ['127.0.0.1:7678'] }] }]
";
/// An emulated guest takes a while to start so large a program.
const PATIENCE: Duration = Duration::from_secs(120);

/// Scrapes each second.
struct Prometheus(Child);

impl Prometheus {
    fn start(folder: &std::path::Path) -> Self {
        let config = folder.join("prometheus.yml");
        fs::write(&config, CONFIG).unwrap();
        let child = Command::new(std::env::var("PROMETHEUS_BIN").unwrap())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .args(["--web.listen-address=127.0.0.1:9090", "--log.level=warn"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// The only value of a query now, if there is one.
    fn value(query: &str) -> Option<f64> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = page(SocketAddr::from(PROMETHEUS), &format!("/api/v1/query?query={escaped}")).ok()?;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].get(0)?["value"].get(1)?.as_str()?.parse().ok()
    }

    /// Waits until a query has this value.
    fn wait_for(query: &str, expected: f64) {
        let since = Instant::now();
        loop {
            let value = Self::value(query);
            if value.is_some_and(|value| (value - expected).abs() < 0.5) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{query} is {value:?}, not {expected}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It ends with the guest at the latest.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn prometheus_that_scrapes_each_second_of_a_storm_has_its_exact_count() {
    let folder = tempfile::tempdir().unwrap();
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let full = Full::new("127.0.0.1:8080", 10).unwrap();
    let watching = Watching::start(&["serve", "--dest", "127.0.0.1:8080"]).unwrap();
    let prometheus = Prometheus::start(folder.path());
    Prometheus::wait_for("sum(portwatch_failures_total)", 0.0);
    let args = ["--dest", "127.0.0.1:8080", "--attempts", "20000", "--rate", "4000"];
    let children: Vec<_> = (0..4).map(|_| tally::start(&args).unwrap()).collect();
    let failed: u64 =
        children.into_iter().map(|child| tally::finish(child).unwrap().failed("EADDRNOTAVAIL")).sum();
    assert_eq!(failed, 80_000);
    let of_loadgen = r#"portwatch_failures_total{cause="range_exhausted",errno="EADDRNOTAVAIL",destination="127.0.0.1:8080",group="loadgen"}"#;
    Prometheus::wait_for(of_loadgen, 80_000.0);
    Prometheus::wait_for("sum(portwatch_failures_total)", 80_000.0);
    Prometheus::wait_for("sum(portwatch_failures_by_cause_total)", 80_000.0);
    let details =
        r"sum(portwatch_delivered_total) + sum(portwatch_suppressed_total) + sum(portwatch_lost_total)";
    Prometheus::wait_for(details, 80_000.0);
    // Ten ports are taken, and it is known by whom it will not get better.
    Prometheus::wait_for("portwatch_ports_blocked / portwatch_ports_usable * 100", 100.0);
    Prometheus::wait_for("portwatch_ports_exhausted_in_seconds", 0.0);
    let seen =
        Prometheus::value(r#"changes(portwatch_failures_by_cause_total{cause="range_exhausted"}[5m])"#);
    assert!(seen.is_some_and(|seen| seen >= 3.0), "of its five seconds Prometheus saw {seen:?}");
    Prometheus::wait_for("min_over_time(up[5m])", 1.0);
    drop((prometheus, full));
    let session = watching.end_by(Signal::SIGTERM).unwrap();
    assert_eq!((session.status.code(), session.stdout.as_str()), (Some(0), ""), "{}", session.stderr);
}

#[test]
fn a_recording_is_told_as_metrics_too() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("c.jsonl.zst");
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let args = ["record", "--json", "--dest", ":8080", "--metrics", "7678", "-o", capture.to_str().unwrap()];
    let watching = Watching::start(&args).unwrap();
    let args = ["--dest", "127.0.0.1:8080", "--attempts", "30000"];
    let failed = tally::run(&args).unwrap().failed("EADDRNOTAVAIL");
    assert_eq!(failed, 30_000);
    let told = told_when(ADDRESS.into(), "portwatch_failures_total{", 30_000.0).unwrap();
    assert_eq!(sum(&told, "portwatch_failures_by_cause_total{"), 30_000.0, "{told}");
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], failed, "{}", session.stdout);
}
