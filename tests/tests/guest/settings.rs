//! Settings that are changed while portwatch watches: by whom, from what to what, and what that did.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use caps::Capability;
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching, command};
use serde_json::Value;

use crate::privileges::as_nobody;

const RANGE: &str = "ipv4/ip_local_port_range";
const MODES: [&str; 2] = ["functions", "tracepoints"];

fn watching(mode: &str) -> Watching {
    Watching::start(&["trace", "--json", "--mode", mode]).unwrap()
}

/// The `sysctl` lines.
pub(crate) fn changes(session: &Session) -> Vec<&Value> {
    session.lines.iter().filter(|line| line["type"] == "sysctl").collect()
}

/// As it is read, with a space for each tab.
fn get(key: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/sys/net/{key}")).ok()?;
    Some(text.trim_end_matches('\n').replace('\t', " "))
}

#[test]
fn a_range_that_is_widened_in_a_storm_is_told_with_who_did_it_and_the_failures_end() {
    for mode in MODES {
        let netns = Netns::with_ports(40000, 40003).unwrap();
        let full = Full::new("127.0.0.1:8080", 4).unwrap();
        let watching = watching(mode);
        let failures = AtomicU64::new(0);
        let inside = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let widened_by = std::thread::scope(|scope| {
            scope.spawn(|| {
                nix::sched::setns(inside, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                while TcpStream::connect(full.destination).is_err() {
                    failures.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            while failures.load(Ordering::Relaxed) < 50 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let args = ["sysctl", "-w", "net.ipv4.ip_local_port_range=40000 40999"];
            let mut child = Command::new("busybox").args(args).stdout(Stdio::null()).spawn().unwrap();
            assert!(child.wait().unwrap().success());
            child.id()
        });
        let session = watching.end().unwrap();
        let told = changes(&session);
        assert_eq!(told.len(), 1, "{mode}: {told:?}");
        let expected = [
            ("/key", "net.ipv4.ip_local_port_range".into()),
            ("/old", "40000 40003".into()),
            ("/new", "40000 40999".into()),
            ("/netns", netns.id.into()),
            ("/process/pid", widened_by.into()),
            ("/process/comm", "busybox".into()),
        ];
        for (name, value) in expected {
            assert_eq!(told[0].pointer(name), Some(&value), "{mode}: {name} of {}", told[0]);
        }
        assert_eq!(session.end()["failures"], failures.load(Ordering::Relaxed), "{mode}: {}", session.end());
        let when = |line: &Value| line["monotonic_ns"].as_u64().unwrap();
        let later = session.failures().filter(|failure| when(failure) > when(told[0])).count();
        assert!(later <= 1, "{mode}: {later} failures after the change: {}", session.stdout);
    }
}

#[test]
fn a_change_in_another_namespace_is_told_to_a_user_with_two_capabilities() {
    for mode in MODES {
        let args = ["trace", "--json", "--mode", mode, "--pid", "1", "--dest", "192.0.2.1"];
        let here = Netns::new().unwrap();
        let command = as_nobody(&args, &[Capability::CAP_BPF, Capability::CAP_PERFMON]);
        let watching = Watching::start_as(command).unwrap();
        let elsewhere = Netns::new().unwrap();
        let old = get("ipv4/tcp_tw_reuse").unwrap();
        set("ipv4/tcp_tw_reuse", "1").unwrap();
        let session = watching.end().unwrap();
        assert_ne!(here.id, elsewhere.id);
        let told = changes(&session);
        assert_eq!(told.len(), 1, "{mode}: {told:?} {}", session.lines[0]);
        assert_eq!((&told[0]["old"], &told[0]["new"]), (&old.into(), &"1".into()), "{mode}: {}", told[0]);
        assert_eq!(told[0]["netns"], elsewhere.id, "{mode}: {}", told[0]);
        assert_eq!(told[0]["process"]["pid"], std::process::id(), "{mode}: {}", told[0]);
        assert_eq!(session.lines[0]["hooks"]["proc_sys_write"], "fexit", "{}", session.lines[0]);
    }
}

#[test]
fn each_setting_is_told_as_it_is_read() {
    // The first is another value than a new namespace has, the second another one again.
    let values = [
        (RANGE, ["1024 65535", "40000 40001"]),
        ("ipv4/ip_local_reserved_ports", ["8080,9000-9010,65535", "\n"]),
        ("ipv4/ip_local_port_step_width", ["3", "4294967295"]),
        ("ipv4/ip_autobind_reuse", ["1", "0"]),
        ("ipv4/ip_unprivileged_port_start", ["80", "0"]),
        ("ipv4/tcp_tw_reuse", ["1", "0"]),
        ("ipv4/tcp_tw_reuse_delay", ["500", "1001"]),
        ("ipv4/tcp_timestamps", ["0", "2"]),
        ("ipv4/tcp_fin_timeout", ["17", "120"]),
        ("ipv4/tcp_max_tw_buckets", ["1234", "0"]),
        ("ipv4/ip_nonlocal_bind", ["1", "0"]),
        ("ipv6/ip_nonlocal_bind", ["1", "0"]),
        ("ipv6/conf/all/disable_ipv6", ["1", "0"]),
        ("ipv6/conf/default/disable_ipv6", ["1", "0"]),
        ("ipv6/conf/lo/disable_ipv6", ["1", "0"]),
    ];
    let netns = Netns::new().unwrap();
    let watching = watching("functions");
    let mut expected = Vec::new();
    for (key, values) in values {
        for value in values {
            // One that this kernel lacks, or a value that it does not take, is no change.
            let Some(old) = get(key) else { continue };
            if set(key, value).is_err() {
                assert_eq!((key, value), ("ipv4/ip_local_port_step_width", "4294967295"));
                continue;
            }
            let new = get(key).unwrap();
            assert_ne!(old, new, "{key}");
            expected.push((format!("net.{}", key.replace('/', ".")), old, new));
        }
    }
    let session = watching.end().unwrap();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or("(none)").to_owned();
    let told: Vec<_> = changes(&session)
        .iter()
        .map(|line| {
            assert_eq!(line["netns"], netns.id, "{line}");
            (text(line, "key"), text(line, "old"), text(line, "new"))
        })
        .collect();
    assert_eq!(told, expected);
    assert!(told.len() >= 20, "of these only three are missing in some kernels: {told:?}");
    assert!(session.end()["sysctls_lost"].is_null(), "{}", session.end());
}

#[test]
fn what_changes_nothing_is_not_told() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    set("ipv4/ip_local_reserved_ports", "8080-8090").unwrap();
    for mode in MODES {
        let watching = watching(mode);
        for (key, value) in [(RANGE, "5 4"), (RANGE, "1 70000"), ("ipv4/tcp_tw_reuse", "nonsense")] {
            assert!(set(key, value).is_err(), "{key} = {value}");
        }
        set(RANGE, "40000 40003").unwrap();
        set("ipv4/ip_local_reserved_ports", "8080-8090").unwrap();
        set("ipv6/conf/lo/forwarding", "1").unwrap();
        let denied = "echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse";
        let mut nobody = Command::new("busybox");
        std::os::unix::process::CommandExt::uid(&mut nobody, 65534);
        let output = nobody.args(["sh", "-c", denied]).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        let session = watching.end().unwrap();
        assert_eq!(changes(&session), Vec::<&Value>::new(), "{mode}");
    }
}

#[test]
fn changes_that_come_faster_than_is_told_are_counted_and_take_no_room_from_failures() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let full = Full::new("127.0.0.1:8080", 4).unwrap();
    for (key, [one, other], in_a_window) in [
        ("ipv4/tcp_max_tw_buckets", ["1", "2"], 64),
        // Its records are large.
        ("ipv4/ip_local_reserved_ports", ["1-9", "2-8"], 2),
    ] {
        set(key, other).unwrap();
        let watching = watching("functions");
        let since = Instant::now();
        for _ in 0..500 {
            set(key, one).unwrap();
            set(key, other).unwrap();
            assert!(TcpStream::connect(full.destination).is_err());
        }
        println!("{key}: 1,000 changes in {:?}", since.elapsed());
        let session = watching.end().unwrap();
        let told = changes(&session).len() as u64;
        let lost = session.end()["sysctls_lost"].as_u64().unwrap_or(0);
        println!("{key}: {told} told, {lost} lost");
        assert_eq!(told + lost, 1000, "{key}: {}", session.end());
        // As many are told in each window of 1.07 s.
        assert!(told >= in_a_window && lost > 0, "{key}: {told} told, {lost} lost");
        assert_eq!(session.end()["delivered"], 500, "{key}: {}", session.end());
        assert!(session.stderr.contains("settings are changed faster"), "{}", session.stderr);
    }
}

#[test]
fn a_setting_that_is_changed_between_two_looks_at_the_ports_is_told() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 2).unwrap();
    let watching = command(&["ports", "--json", "--watch", "200ms", "--duration", "4s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    set("ipv4/tcp_fin_timeout", "41").unwrap();
    let output = watching.wait_with_output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if errors.contains("modprobe tcp_diag") {
        println!("skipped: sock_diag is a module here, and none of this version was found");
        return;
    }
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let changes: Vec<Value> = lines.filter(|line| line["type"] == "sysctl").collect();
    let [change] = changes.as_slice() else { panic!("one change: {changes:?}\n{errors}") };
    assert_eq!(
        (&change["key"], &change["new"]),
        (&"net.ipv4.tcp_fin_timeout".into(), &"41".into()),
        "{change}"
    );
    assert!(change["old"].is_string() && change["process"].is_null(), "{change}");
}
