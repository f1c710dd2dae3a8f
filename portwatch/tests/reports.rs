//! Files as a user hands them to `portwatch report`.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// 2023-11-14T22:13:20Z.
const OFFSET: i64 = 1_700_000_000_000_000_000;

fn start(part: u32) -> Value {
    json!({
        "type": "start", "schema": 1, "portwatch": "0.1.0", "host": "web-1", "kernel": "6.12.1", "hooks": {},
        "limits": [], "time": "2023-11-14T22:13:20Z", "monotonic_ns": 0, "boot_offset_ns": OFFSET, "filters": {},
        "part": part,
    })
}

fn row(pid: u32, count: u64) -> Value {
    json!({
        "process": {"pid": pid, "comm": "java", "start_ns": 1, "uid": 0, "gid": 0, "cgroup": 1}, "netns": 1,
        "call": "connect", "protocol": "tcp", "errno": "EADDRNOTAVAIL", "errno_code": 99,
        "stage": "port_search", "had_port": false, "destination": {"address": "192.0.2.1", "port": 80},
        "count": count, "first": "2023-11-14T22:13:21Z", "last": "2023-11-14T22:13:29Z",
    })
}

fn counts(from_s: u64, rows: &[Value]) -> Value {
    let ns = |second: u64| second * 1_000_000_000;
    json!({"type": "counts", "from_ns": ns(from_s), "to_ns": ns(from_s + 10), "rows": rows, "other": 0})
}

fn ending(rows: &[Value], failures: u64) -> [Value; 2] {
    [
        json!({"type": "summary", "rows": rows, "other": 0}),
        json!({"type": "end", "failures": failures, "delivered": 0, "suppressed": failures, "lost": {}, "watched_ns": 1}),
    ]
}

fn write(folder: &Path, name: &str, lines: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, lines.concat()).unwrap();
    path
}

fn report(files: &[PathBuf]) -> Value {
    report_by("process", files)
}

fn report_by(what: &str, files: &[PathBuf]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    command.args(["report", "--format", "json", "--group-by", what]);
    let output = command.args(files).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_file_without_a_start_takes_nothing_from_a_recording_beside_it() {
    let [here, there] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let a = write(here.path(), "a", &[start(1), counts(0, &[row(1, 100)])]);
    let b = write(there.path(), "b", &ending(&[row(2, 5)], 5));
    let [summary, end] = ending(&[row(1, 130)], 130);
    let c = write(here.path(), "c", &[start(2), counts(10, &[row(1, 30)]), summary, end]);
    let cases = [
        ("killed", vec![a.clone(), b.clone()], 105, false),
        ("whole", vec![a.clone(), c.clone()], 130, true),
        ("one between two parts", vec![a.clone(), b.clone(), c.clone()], 135, true),
        ("one before", vec![b, a, c], 135, true),
    ];
    for (what, files, failures, is_exact) in cases {
        let report = report(&files);
        assert_eq!(report["totals"]["failures"], failures, "{what}");
        assert_eq!(report["totals"]["exact"], is_exact, "{what}");
        let rows = report["processes"]["rows"].as_array().unwrap();
        let counted: u64 = rows.iter().map(|row| row["count"].as_u64().unwrap()).sum();
        assert_eq!(counted, failures, "{what}: {rows:?}");
    }
}

#[test]
fn a_report_of_a_capture_that_is_not_there_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let output = Command::new(env!("CARGO_BIN_EXE_portwatch"))
        .args(["report", "--format", "html", "-o"])
        .arg(&report)
        .arg(folder.path().join("gone.jsonl.zst"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("gone.jsonl.zst"), "{said}");
    assert!(!report.exists());
}

#[test]
fn failures_are_counted_by_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut of_shop = row(1, 3);
    of_shop["process"]["unit"] = "shop.service".into();
    let rows = [of_shop, row(2, 2)];
    let [summary, end] = ending(&rows, 5);
    let file = write(folder.path(), "a", &[start(1), counts(0, &rows), summary, end]);
    let report = report_by("unit", &[file]);
    assert_eq!(report["groups"]["by"], "unit", "{report}");
    assert_eq!(report["groups"]["rows"][0]["unit"], "shop.service", "{report}");
    assert_eq!(report["groups"]["rows"][0]["count"], 3, "{report}");
}
