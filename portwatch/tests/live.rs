//! The whole of it on this very host, where it can be traced at all: by tracepoints if by nothing better.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::contract;
use portwatch_tests::netns::{Full, Netns, or_skipped, set};
use portwatch_tests::portwatch::ready_or_skipped;
use serde_json::Value;

/// A session that is ready, in a namespace of its own; none, with the reason printed, where there can be none.
fn watching(args: &[&str]) -> Option<Child> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portwatch"))
        .args([&["trace", "--json"], args].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ready_or_skipped(&mut child).unwrap()?;
    Some(child)
}

fn end(mut child: Child) -> Vec<Value> {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    contract::checked(&text).unwrap()
}

/// Failures of this process: the host has others.
fn own(lines: &[Value]) -> Vec<&Value> {
    let own = |line: &&Value| line["type"] == "failure" && line["process"]["pid"] == std::process::id();
    lines.iter().filter(own).collect()
}

#[test]
fn a_shortage_on_this_host_is_named() {
    let Some(netns) = or_skipped(Netns::with_ports(40000, 40003)) else { return };
    let full = Full::new("127.0.0.1:8080", 4).unwrap();
    let Some(child) = watching(&[]) else { return };
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap());
    assert_eq!(errno(TcpStream::connect(full.destination).unwrap_err()), Errno::EADDRNOTAVAIL);
    assert_eq!(errno(UdpSocket::bind("192.0.2.7:53").unwrap_err()), Errno::EADDRNOTAVAIL);
    let lines = end(child);
    let seen: Vec<_> = own(&lines)
        .iter()
        .map(|line| {
            assert_eq!(line["netns"], netns.id, "{line}");
            (
                line["call"].as_str().unwrap(),
                line["protocol"].as_str().unwrap(),
                line["cause"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [("connect", "tcp", "range_exhausted"), ("bind", "udp", "address_not_local")];
    assert_eq!(seen, expected, "{lines:?}");
}

#[test]
fn who_holds_the_ports_and_why_is_told_with_the_first_failure() {
    let Some(netns) = or_skipped(Netns::with_ports(40000, 40003)) else { return };
    let full = Full::new("127.0.0.1:8099", 4).unwrap();
    let Some(mut child) = watching(&["--count", "1", "--dest", "127.0.0.1:8099"]) else { return };
    assert!(TcpStream::connect(full.destination).is_err());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let lines = contract::checked(&text).unwrap();
    let of = |kind: &str| {
        lines.iter().find(|line| line["type"] == kind).unwrap_or_else(|| panic!("{kind}: {text}"))
    };
    let row = of("ports");
    assert_eq!((&row["netns"], &row["used"], &row["usable"]), (&netns.id.into(), &4.into(), &4.into()));
    assert_eq!(row["holders"][0]["process"]["pid"], std::process::id());
    let verdict = of("verdict");
    assert_eq!((&verdict["cause"], &verdict["netns"]), (&"range_exhausted".into(), &netns.id.into()));
    let rules: Vec<_> =
        verdict["diagnoses"].as_array().unwrap().iter().map(|each| each["rule"].clone()).collect();
    // Where the host's own namespace can be looked into, its range is the one to compare with.
    let is_hosts_seen = std::fs::File::open("/proc/1/ns/net").is_ok();
    let narrow = if is_hosts_seen { "narrow-namespace" } else { "small-range" };
    assert_eq!(rules, ["live-connections", narrow], "{verdict}");
}

#[test]
fn an_answer_of_the_network_is_told_of_who_called() {
    let Some(_netns) = or_skipped(Netns::new()) else { return };
    let Some(child) = watching(&["--errno", "ECONNREFUSED"]) else { return };
    let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
    assert!(TcpStream::connect(nobody).is_err());
    let lines = end(child);
    let seen = own(&lines);
    assert_eq!(seen.len(), 1, "{lines:?}");
    assert_eq!((&seen[0]["errno"], &seen[0]["stage"]), (&"ECONNREFUSED".into(), &"network".into()));
}

#[test]
fn a_setting_that_is_changed_is_told_within_a_second_also_when_nothing_fails() {
    let Some(netns) = or_skipped(Netns::with_ports(40000, 40003)) else { return };
    let Some(mut child) = watching(&["--duration", "20s"]) else { return };
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = vec![stdout.next().unwrap()];
    let mut next_change = |lines: &mut Vec<String>| {
        let since = Instant::now();
        loop {
            lines.push(stdout.next().unwrap_or_else(|| panic!("no change was told: {lines:?}")));
            let line: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
            if line["type"] == "sysctl" && line["netns"] == netns.id {
                assert!(since.elapsed() < Duration::from_secs(1), "{:?}: {line}", since.elapsed());
                return line;
            }
        }
    };
    // A value that is refused, and one that is there already.
    assert!(set("ipv4/ip_local_port_range", "5 4").is_err());
    set("ipv4/ip_local_port_range", "40000 40003").unwrap();
    let changes = [
        ("ipv4/ip_local_port_range", "40000 40999", "40000 40003"),
        ("ipv4/ip_local_reserved_ports", "40005,40010-40012", ""),
        ("ipv4/tcp_fin_timeout", "17", "60"),
        ("ipv6/conf/lo/disable_ipv6", "1", "0"),
    ];
    for (key, new, old) in changes {
        set(key, new).unwrap();
        let change = next_change(&mut lines);
        assert_eq!(change["key"], format!("net.{}", key.replace('/', ".")), "{change}");
        assert_eq!((&change["old"], &change["new"]), (&old.into(), &new.into()), "{change}");
        // By tracepoints nobody knows who it was.
        let start: Value = serde_json::from_str(&lines[0]).unwrap();
        let is_known = start["hooks"]["proc_sys_write"] == "fexit";
        assert_eq!(change["process"]["pid"] == std::process::id(), is_known, "{change}");
        let limits = start["limits"].to_string();
        assert_ne!(limits.contains("who changes settings"), is_known, "{limits}");
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    lines.extend(stdout);
    assert!(child.wait().unwrap().success());
    contract::checked(&lines.join("\n")).unwrap();
}
