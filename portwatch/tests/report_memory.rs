//! What a report takes of a hostile capture. Alone in its process, whose memory its children have to begin with.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

fn start() -> Value {
    json!({
        "type": "start", "schema": 1, "portwatch": "0.1.0", "host": "web-1", "kernel": "6.12.1", "hooks": {},
        "limits": [], "time": "2023-11-14T22:13:20Z", "monotonic_ns": 0, "boot_offset_ns": 1_700_000_000_000_000_000_u64, "filters": {},
        "part": 1,
    })
}

fn row(pid: u32) -> Value {
    json!({
        "process": {"pid": pid, "comm": "java", "start_ns": 1, "uid": 0, "gid": 0, "cgroup": 1}, "netns": 1,
        "call": "connect", "protocol": "tcp", "errno": "EADDRNOTAVAIL", "errno_code": 99,
        "stage": "port_search", "had_port": false, "destination": {"address": "192.0.2.1", "port": 80},
        "count": 7, "first": "2023-11-14T22:13:21Z", "last": "2023-11-14T22:13:29Z",
    })
}

/// Sessions that say as much of themselves as they can, written piece by piece: what this process takes is that of its children
/// to begin with.
fn write_hostile(path: &Path) {
    let mut lines = zstd::Encoder::new(fs::File::create(path).unwrap(), 1).unwrap();
    lines.include_checksum(true).unwrap();
    let name = |number: u32, bytes: usize| format!("{number}{}", "\u{1f525}<&\"".repeat(bytes / 7));
    for number in 0..160 {
        let mut start = start();
        start["host"] = name(number, 50_000).into();
        start["monotonic_ns"] = number.into();
        start["limits"] = (0..70).map(|limit| name(number * 100 + limit, 4000)).collect();
        start["hooks"] = (0..70).map(|hook| (name(hook, 2000), Value::from(name(hook, 2000)))).collect();
        start["filters"] = json!({ "comm": name(1, 50_000), "cgroup": 7, "cgroup_path": name(2, 50_000) });
        writeln!(lines, "{start}").unwrap();
        let counts = json!({"type": "counts", "from_ns": 0, "to_ns": 10_000_000_000_u64, "rows": [row(number)], "other": 0});
        writeln!(lines, "{counts}").unwrap();
    }
    let long = start_with_a_long_name();
    writeln!(lines, "{long}").unwrap();
    lines.finish().unwrap();
}

/// About as long as a line can be.
fn start_with_a_long_name() -> Value {
    let mut start = start();
    start["limits"] = (0..250).map(|_| "x".repeat(60 << 10)).collect();
    start
}

#[test]
fn a_report_takes_bounded_memory_whatever_sessions_say_of_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.jsonl.zst");
    write_hostile(&path);
    for format in ["text", "json", "html"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
        let output = fs::File::create(folder.path().join(format)).unwrap();
        command.args(["report", "--format", format]).arg(&path).stdin(Stdio::null()).stdout(output);
        assert!(command.status().unwrap().success(), "{format}");
        let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
        println!("{format}: {kibibytes} KiB");
        assert!(kibibytes <= 64 << 10, "{format}: {kibibytes} KiB");
        let written = fs::read_to_string(folder.path().join(format)).unwrap();
        let has_all = written.contains("1,120 calls failed") || written.contains("\"failures\":1120");
        assert!(has_all, "{format}: {written:.2000}");
        assert!(format == "text" || written.contains("further hosts"), "{format}: {written:.2000}");
    }
}
