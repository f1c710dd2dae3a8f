//! The systemd unit: that it is closed as tightly as is said, and that portwatch takes what it passes.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::portwatch::ready_or_skipped;

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/portwatch.service");
/// Of `systemd-analyze security`, in tenths: 2.0.
const EXPOSURE: &str = "--threshold=20";

/// Values of a setting, in the order of the unit.
fn values<'a>(unit: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    unit.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn systemd_finds_the_unit_hardly_exposed() {
    let analyze = |args: &[&str]| Command::new("systemd-analyze").args(args).output();
    let known =
        analyze(&["--help"]).is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--threshold"));
    if !known {
        println!("skipped: there is no systemd-analyze here that rates units (systemd 250)");
        return;
    }
    let output = analyze(&["security", "--no-pager", "--offline=true", EXPOSURE, UNIT]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", said.lines().last().unwrap_or_default());
}

#[test]
fn portwatch_runs_as_the_unit_starts_it() {
    let unit = fs::read_to_string(UNIT).unwrap();
    let start = values(&unit, "ExecStart").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("recordings");
    let words = start.split(' ').skip(1);
    let words = words.map(|word| if word.starts_with("/var/lib/") { here.to_str().unwrap() } else { word });
    let mut child = Command::new(env!("CARGO_BIN_EXE_portwatch"))
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if ready_or_skipped(&mut child).unwrap().is_none() {
        return;
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(here.join("000001.jsonl.zst").exists());
}

#[test]
fn the_unit_gives_no_capability_that_has_no_use() {
    let unit = fs::read_to_string(UNIT).unwrap();
    for name in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        let mut given: Vec<&str> = values(&unit, name).flat_map(|value| value.split(' ')).collect();
        given.sort_unstable();
        let used = ["CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE"];
        assert_eq!(given, used, "{name}");
    }
    for limit in ["MemoryMax", "CPUQuota", "TasksMax"] {
        assert_eq!(values(&unit, limit).count(), 1, "{limit}");
    }
}
