//! What metrics say to Prometheus's own tools, and that documents, rules and the dashboard say the same.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

#[path = "../examples/storm/mod.rs"]
mod storm;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portwatch::diagnose::Observer;
use portwatch::event::Usage;
use portwatch::sink::metrics::{Format, METRICS, Metrics};
use portwatch::sink::{GroupBy, Sink as _};
use serde_json::{Value, json};

use self::storm::Storm;

/// Names promtool.
const PROMTOOL: &str = "PROMTOOL";
const FAILURES: u64 = 20_000;

fn of_checkout(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Where promtool is; none, with the reason printed, where it is not.
fn promtool_or_skipped() -> Option<OsString> {
    let named = std::env::var_os(PROMTOOL);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join("promtool")).find(|file| file.is_file());
    let promtool = named.or_else(|| found.map(Into::into));
    if promtool.is_none() {
        println!(
            "skipped: {PROMTOOL} names no promtool, and none is on the PATH: `cargo xtask test` names one"
        );
    }
    promtool
}

/// Asserts that promtool finds nothing to say against it.
fn assert_clean(mut command: Command, input: &[u8]) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let [said, errors] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(status.success() && errors.is_empty(), "{command:?}: {status}\n{said}{errors}");
}

/// What is told after a storm.
fn after_a_storm(format: Format) -> String {
    let usage =
        || Usage { cpu: Some(Duration::from_millis(20)), resident_bytes: Some(1), descriptors: Some(1) };
    let (mut metrics, exposition) = Metrics::new(GroupBy::Process, usage, Arc::default());
    let mut observer = Observer::default();
    for item in Storm::of(FAILURES) {
        let opinions = observer.see(&item);
        metrics.item(&item, &opinions).unwrap();
    }
    exposition.told(format).unwrap()
}

/// Words that may be names of metrics of portwatch.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("portwatch_") || word.starts_with("process_")).collect()
}

fn dashboard() -> Value {
    let text = fs::read_to_string(of_checkout("packaging/grafana/portwatch.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The queries of a panel.
fn asked(panel: &Value) -> Vec<&str> {
    panel["targets"].as_array().unwrap().iter().filter_map(|target| target["expr"].as_str()).collect()
}

#[test]
fn promtool_finds_nothing_wrong_with_what_is_told() {
    let Some(promtool) = promtool_or_skipped() else { return };
    let told = after_a_storm(Format::Text);
    assert!(told.contains("portwatch_ports_used{"), "no place is told of: {told}");
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]);
    assert_clean(command, told.as_bytes());
}

#[test]
fn the_rules_are_right_and_fire_when_they_should() {
    let Some(promtool) = promtool_or_skipped() else { return };
    for args in [["check", "rules", "portwatch.rules.yml"], ["test", "rules", "portwatch.rules.test.yml"]] {
        let mut command = Command::new(&promtool);
        command.args(args).current_dir(of_checkout("packaging/prometheus"));
        assert_clean(command, b"");
    }
}

#[test]
fn what_failed_in_a_storm_is_the_sum_of_its_series() {
    let told = after_a_storm(Format::OpenMetrics);
    let sum = |name: &str| -> u64 {
        let lines = told.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    let failed: u64 = Storm::of(FAILURES)
        .filter_map(|item| match item {
            portwatch::event::Item::End(end) => Some(end.failures),
            _ => None,
        })
        .sum();
    assert!(failed >= FAILURES, "{failed}");
    assert_eq!(sum("portwatch_failures_total{"), failed);
    assert_eq!(sum("portwatch_failures_by_cause_total{"), failed);
    let details = ["portwatch_delivered_total ", "portwatch_suppressed_total ", "portwatch_lost_total{"];
    assert_eq!(details.map(sum).iter().sum::<u64>(), failed, "{told}");
}

#[test]
fn rules_and_the_dashboard_name_only_what_is_told() {
    let told: BTreeSet<String> = METRICS.iter().map(|metric| metric.name()).collect();
    for file in [
        "packaging/prometheus/portwatch.rules.yml",
        "packaging/prometheus/portwatch.rules.test.yml",
        "packaging/grafana/portwatch.json",
    ] {
        let text = fs::read_to_string(of_checkout(file)).unwrap();
        let names = names(&text);
        assert!(names.len() > 5, "{file}: {names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !told.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file} names what nobody tells: {unknown:?}");
    }
}

#[test]
fn each_query_of_the_dashboard_is_one() {
    let Some(promtool) = promtool_or_skipped() else { return };
    let dashboard = dashboard();
    let queries = dashboard["panels"].as_array().unwrap().iter().flat_map(asked);
    // JSON is YAML.
    let rules = queries.enumerate().map(|(n, query)| {
        let query = query.replace("$__range", "1h").replace("$__rate_interval", "1m");
        json!({ "record": format!("query:{n}"), "expr": query })
    });
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules.collect::<Vec<_>>() }] });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("queries.yml"), rules.to_string()).unwrap();
    let mut command = Command::new(&promtool);
    command.args(["check", "rules", "queries.yml"]).current_dir(folder.path());
    assert_clean(command, b"");
}

#[test]
fn the_dashboard_is_json_whose_panels_each_ask_something_and_overlap_nowhere() {
    let mut taken = BTreeSet::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        let asked = asked(panel);
        assert!(!asked.is_empty(), "{panel}");
        for expr in asked {
            assert!(expr.contains("instance=~\"$instance\""), "it asks of every host: {expr}");
        }
        let place = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        let [x, y, width, height] = place;
        assert!(x + width <= 24, "{panel}");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "two panels are at {cell:?}: {}", panel["title"]);
        }
    }
}

#[test]
fn the_document_has_the_table_of_what_is_told() {
    let document = fs::read_to_string(of_checkout("docs/metrics.md")).unwrap();
    let row = |metric: &&portwatch::sink::metrics::Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { " ".to_owned() } else { format!(" {} ", labels.join(", ")) };
        format!("| `{}` | {} |{labels}| {} |", metric.name(), metric.kind.word(), metric.help)
    };
    let expected: Vec<String> = METRICS.iter().map(row).collect();
    let found: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, expected, "docs/metrics.md: the table is to be\n{}", expected.join("\n"));
}
