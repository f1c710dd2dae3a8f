//! With real shells, in folders of their own.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Exec, Launcher, Limits, Lines};
use crate::diagnose::Opinion;
use crate::event::{
    BootNs, Details, Failure, Fault, Item, LossReason, Lost, Namespace, NetnsId, PortRange, Process, Scope,
    Snapshot, State, Suppressed, Text,
};
use crate::sink::Sink;

/// Longer than any of these commands takes, but for those that are to take too long.
const SOON: Duration = Duration::from_secs(20);
const SECOND: u64 = 1_000_000_000;

/// Writes what kind of item it was given, and after an item that it is about a lot of bytes.
struct Kinds(Lines, usize);

impl Sink for Kinds {
    fn item(&mut self, item: &Item, _: &[Opinion]) -> io::Result<()> {
        match item {
            Item::Failure(failure) => writeln!(self.0, "failure at {}", failure.at.0)?,
            Item::Ports(snapshot) => writeln!(self.0, "snapshot at {}", snapshot.at.0)?,
            _ => writeln!(self.0, "other")?,
        }
        self.0.write_all(&vec![b'x'; self.1])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failure(at: u64) -> Failure {
    Failure {
        at: BootNs(at),
        fault: Fault::no_port(([10, 0, 0, 2], 443)),
        process: Process::with_id(7),
        netns: NetnsId(5),
        source: ([10, 0, 0, 1], 0).into(),
        port_range: PortRange { low: 40000, high: 40003 },
        own_range: None,
        search: None,
    }
}

fn snapshot(netns: u32, at: u64) -> Item {
    let namespace = Namespace::own(NetnsId(netns), PortRange { low: 40000, high: 40003 });
    Item::Ports(Snapshot {
        at: BootNs(at),
        boot_offset_ns: 0,
        scope: Scope::default(),
        namespaces: vec![namespace],
        hosts_range: None,
        rows: Vec::new(),
        sockets: 0,
        repeated: 0,
        bound_visible: None,
        limits: Vec::new(),
    })
}

/// Runs `command` in `folder` where calls fail.
fn exec_with(folder: &Path, command: &str, limits: Limits, padding: usize) -> Exec {
    exec_for(SOON, folder, command, limits, padding)
}

/// The same, killed if it takes longer than `longest`.
fn exec_for(longest: Duration, folder: &Path, command: &str, limits: Limits, padding: usize) -> Exec {
    let command = format!("cd '{}' && {{ {command}; }}", folder.display());
    let encoder = |lines| Box::new(Kinds(lines, padding)) as Box<dyn Sink>;
    let mut exec = Exec::new(Launcher::beside(command.into(), longest), Duration::from_secs(60), encoder);
    exec.limits = limits;
    exec
}

fn exec(folder: &Path, command: &str) -> Exec {
    exec_with(folder, command, Limits { snapshot: Duration::ZERO, end: SOON }, 0)
}

fn show(exec: &mut Exec, item: &Item) {
    exec.item(item, &[]).unwrap();
    exec.flush().unwrap();
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn what_happened_is_in_the_environment_exact_and_no_code() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = b"$(touch pwned)`touch pwned`'\";touch pwned\n\xff".to_vec();
    let mut failed = failure(1_500);
    failed.process.comm = Text(hostile.clone());
    let exe = Some(Text(b"/usr/bin/some thing\0beyond".to_vec()));
    let details = Details {
        unit: Some(Text(b"$(touch pwned).service".to_vec())),
        ..State::Alive { exe, cmdline: None }.into()
    };
    failed.process.details = details.into();
    let mut exec = exec(folder.path(), "env -0 > environment; : $PORTWATCH_COMM");
    show(&mut exec, &Item::Failure(failed));
    drop(exec);
    let environment = fs::read(folder.path().join("environment")).unwrap();
    let variable = |name: &str| {
        let start = format!("PORTWATCH_{name}=").into_bytes();
        let mut variables = environment.split(|byte| *byte == 0);
        variables
            .find_map(|variable| variable.strip_prefix(&*start))
            .map(|value| OsString::from_vec(value.into()))
    };
    let expected: [(&str, &[u8]); 16] = [
        ("TIME", b"1970-01-01T00:00:00.000001500Z"),
        ("CAUSE", b"range_exhausted"),
        ("ERRNO", b"EADDRNOTAVAIL"),
        ("CALL", b"connect"),
        ("PROTOCOL", b"tcp"),
        ("PID", b"7"),
        ("COMM", &hostile),
        ("EXE", b"/usr/bin/some thing"),
        ("UNIT", b"$(touch pwned).service"),
        ("CONTAINER", b""),
        ("UID", b"0"),
        ("NETNS", b"5"),
        ("SOURCE", b"10.0.0.1:0"),
        ("DESTINATION", b"10.0.0.2:443"),
        ("PORT_RANGE", b"40000-40003"),
        ("SUPPRESSED", b"0"),
    ];
    for (name, value) in expected {
        assert_eq!(variable(name), Some(OsString::from_vec(value.to_vec())), "{name}");
    }
    assert!(!folder.path().join("pwned").exists());
}

#[test]
fn it_runs_for_the_first_failure_and_then_once_an_interval_and_says_how_many_it_was_silent_about() {
    let folder = tempfile::tempdir().unwrap();
    let mut exec = exec(folder.path(), "echo $PORTWATCH_SUPPRESSED >> runs");
    let runs = || fs::read_to_string(folder.path().join("runs")).unwrap_or_default();
    let lost = |reason| Item::Lost(Lost { reason, count: 100, from: BootNs(0), to: BootNs(1) });
    let suppressed = Item::Suppressed(Suppressed { count: 1000, from: BootNs(0), to: BootNs(1) });
    show(&mut exec, &Item::Failure(failure(SECOND)));
    wait_until("a run for the first", || runs() == "0\n");
    (2..60).for_each(|second| show(&mut exec, &Item::Failure(failure(second * SECOND))));
    [lost(LossReason::RingFull), lost(LossReason::SkippedRun), suppressed]
        .iter()
        .for_each(|item| show(&mut exec, item));
    wait_until("the end of its thread", || !exec.is_running());
    show(&mut exec, &Item::Failure(failure(61 * SECOND)));
    drop(exec);
    assert_eq!(runs(), "0\n1158\n");
}

#[test]
fn it_reads_the_failure_and_the_snapshot_of_its_namespace() {
    let other = || snapshot(6, 20);
    let cases: [(&str, Vec<Item>, &str); 3] = [
        ("the snapshot", vec![other(), snapshot(5, 30), snapshot(5, 40)], "failure at 10\nsnapshot at 30\n"),
        ("of others only", vec![other()], "failure at 10\n"),
        ("none", Vec::new(), "failure at 10\n"),
    ];
    for (what, items, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { snapshot: SOON, end: SOON };
        let mut exec = exec_with(folder.path(), "cat > input", limits, 0);
        show(&mut exec, &Item::Failure(failure(10)));
        items.iter().for_each(|item| show(&mut exec, item));
        // The end: no more snapshots.
        drop(exec);
        assert_eq!(fs::read_to_string(folder.path().join("input")).unwrap(), expected, "{what}");
    }
}

#[test]
fn a_command_need_not_read_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot: Duration::ZERO, end: SOON };
    // More than a pipe holds.
    let mut exec = exec_with(folder.path(), "echo $$ > pid", limits, 1 << 20);
    show(&mut exec, &Item::Failure(failure(10)));
    drop(exec);
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    assert!(!is_alive(&pid), "a zombie: {pid}");
}

#[test]
fn what_takes_too_long_is_killed_with_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot: Duration::ZERO, end: SOON };
    let longest = Duration::from_millis(300);
    let mut exec = exec_for(longest, folder.path(), "sleep 1000 & echo $! $$ > pids; wait", limits, 0);
    show(&mut exec, &Item::Failure(failure(10)));
    drop(exec);
    let pids = fs::read_to_string(folder.path().join("pids")).unwrap();
    for pid in pids.split_whitespace() {
        // Who has lost its parent is reaped by another.
        let is_gone = || {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
                || !is_alive(pid)
        };
        wait_until(&format!("the end of {pid}, of {pids}"), is_gone);
    }
}

#[test]
fn nobody_waits_for_the_command_and_the_end_only_a_little() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot: Duration::ZERO, end: Duration::from_millis(100) };
    let mut exec =
        exec_with(folder.path(), "echo $$ > pid; while [ ! -e go ]; do sleep 0.01; done", limits, 0);
    let since = Instant::now();
    let pid = || fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
    show(&mut exec, &Item::Failure(failure(10)));
    wait_until("a run", || pid().ends_with('\n'));
    // The next is due, but one at a time.
    show(&mut exec, &Item::Failure(failure(100 * SECOND)));
    assert_eq!(exec.suppressed, 1);
    drop(exec);
    assert!(since.elapsed() < SOON / 2, "{:?}", since.elapsed());
    assert!(is_alive(&pid()), "it is left alone");
    fs::write(folder.path().join("go"), "").unwrap();
    wait_until("its end", || !is_alive(&pid()));
}

#[test]
fn a_command_that_fails_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["exit 3", "kill -9 $$", "no-such-program"] {
        let mut exec = exec(folder.path(), command);
        show(&mut exec, &Item::Failure(failure(10)));
        wait_until(command, || !exec.is_running());
        show(&mut exec, &Item::Failure(failure(100 * SECOND)));
        assert_eq!(exec.suppressed, 0, "{command}: the next one is run");
    }
}
