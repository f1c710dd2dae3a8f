//! What an operator does on a host: install, start, look, remove.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::printed;
use portwatch_tests::tally::Tally;
use serde_json::Value;

/// What is waited for comes much sooner, but everything may be emulated.
const PATIENCE: Duration = Duration::from_secs(60);
/// As the user who records is one of systemd's, this leads to a folder that nobody else may enter.
pub(crate) const RECORDED: &str = "/var/lib/portwatch";
/// Where failures are made.
pub(crate) const SERVICE: &str = "127.0.0.1:8080";

/// What a command said; it must end well.
pub(crate) fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
    said
}

pub(crate) fn systemctl(args: &[&str]) -> String {
    said("systemctl", args)
}

/// A property of the unit, as systemd shows it.
pub(crate) fn property(name: &str) -> String {
    let args = ["show", "portwatch.service", "--value", "--property", name];
    systemctl(&args).trim().to_owned()
}

/// Waits until it holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}\n{}", journal());
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// What the unit has said since the machine booted.
pub(crate) fn journal() -> String {
    said("journalctl", &["--sync"]);
    said("journalctl", &["--unit", "portwatch.service", "--output", "cat", "--no-pager"])
}

/// How often it was ready since the machine booted.
pub(crate) fn times_ready() -> usize {
    journal().lines().filter(|line| line.starts_with("portwatch: ready")).count()
}

/// What dpkg's own installation would have made.
fn empty_database() {
    for folder in ["info", "updates", "triggers", "parts", "alternatives"] {
        fs::create_dir_all(Path::new("/var/lib/dpkg").join(folder)).unwrap();
    }
    for file in ["status", "available"] {
        let file = Path::new("/var/lib/dpkg").join(file);
        if !file.exists() {
            fs::write(file, "").unwrap();
        }
    }
}

/// Installs the package where it is not installed.
pub(crate) fn install() {
    if property("LoadState") == "loaded" {
        return;
    }
    empty_database();
    said("dpkg", &["--install", &std::env::var("PORTWATCH_DEB").unwrap()]);
}

/// Has systemd forget how often the unit was started, and that it failed.
pub(crate) fn forget() {
    // One that did not run lately is not loaded: that is an error, and there is nothing to forget.
    let _ = Command::new("systemctl").args(["reset-failed", "portwatch"]).output().unwrap();
}

/// Starts the unit where it does not run, and waits until it watches.
pub(crate) fn start() {
    install();
    if property("ActiveState") == "active" {
        return;
    }
    let before = times_ready();
    // How often the unit may be started is meant for what starts it without end; tests start it more often than people.
    forget();
    let since = Instant::now();
    systemctl(&["start", "portwatch"]);
    until("the unit is ready", || times_ready() > before);
    println!("ready after {} ms", since.elapsed().as_millis());
}

/// As on a host that has never had the package.
pub(crate) fn purge() {
    empty_database();
    said("dpkg", &["--purge", "portwatch"]);
    forget();
    for (what, gone) in [
        ("the link", fs::remove_file(RECORDED)),
        ("the folder", fs::remove_dir_all("/var/lib/private/portwatch")),
    ] {
        let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        assert!(gone.as_ref().err().is_none_or(missing), "{what}: {gone:?}");
    }
}

/// The files that the unit has recorded, in their order.
pub(crate) fn parts() -> Vec<PathBuf> {
    let entries = fs::read_dir(RECORDED).unwrap().map(|entry| entry.unwrap().path());
    let mut parts: Vec<PathBuf> =
        entries.filter(|path| path.to_string_lossy().ends_with(".jsonl.zst")).collect();
    parts.sort();
    parts
}

/// The failures in what was recorded.
pub(crate) fn failures() -> Vec<Value> {
    let replayed = printed(&["replay", "--json", RECORDED]).unwrap();
    let lines = replayed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == "failure").collect()
}

/// How many of them are of a unit.
pub(crate) fn count_of(unit: &str, failures: &[Value]) -> usize {
    failures.iter().filter(|failure| failure["process"]["unit"] == unit).count()
}

/// A network namespace without a port that is free.
pub(crate) struct Shortage {
    _full: Full,
    /// Where it can be entered.
    path: String,
}

impl Shortage {
    pub(crate) fn new() -> Self {
        let netns = Netns::with_ports(40000, 40001).unwrap();
        let full = Full::new(SERVICE, 2).unwrap();
        assert!(netns.id > 0);
        let thread = fs::read_link("/proc/thread-self").unwrap();
        Self { _full: full, path: format!("/proc/{}/ns/net", thread.display()) }
    }

    /// Has a unit of that name fail so often, and waits for its end.
    pub(crate) fn fails(&self, unit: &str, attempts: u32) -> Tally {
        let tally = format!("/run/tally-{unit}");
        let properties = [
            "Type=oneshot".to_owned(),
            format!("NetworkNamespacePath={}", self.path),
            format!("StandardOutput=file:{tally}"),
        ];
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--collect", "--unit", unit]);
        command.args(properties.iter().flat_map(|property| ["--property", property]));
        // It is there to be looked up for about a second.
        let rate = attempts.to_string();
        command.args([&std::env::var("LOADGEN_BIN").unwrap(), "--dest", SERVICE]);
        command.args(["--attempts", &rate, "--rate", &rate]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{unit}: {}", String::from_utf8_lossy(&output.stderr));
        let tally: Tally = serde_json::from_slice(&fs::read(&tally).unwrap()).unwrap();
        assert_eq!(tally.failed("EADDRNOTAVAIL"), u64::from(attempts), "{unit}");
        tally
    }
}
