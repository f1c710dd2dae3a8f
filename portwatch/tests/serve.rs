//! Metrics of the whole of it on this very host, where it can be traced at all.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns, or_skipped};
use portwatch_tests::portwatch::ready_or_skipped;
use portwatch_tests::scrape::{self, sum};

/// In a namespace of the test's own.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 7678);

/// A session that is ready, and what it said; none, with the reason printed, where there can be none.
fn watching(args: &[&str]) -> Option<(Child, String)> {
    let mut child = command(args).spawn().unwrap();
    let (said, _) = ready_or_skipped(&mut child).unwrap()?;
    Some((child, said))
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until that sum is so much, and returns what is told then.
fn told_when(series: &str, expected: f64) -> String {
    scrape::told_when(SocketAddr::from(ADDRESS), series, expected).unwrap()
}

fn end(mut child: Child, signal: Signal) -> String {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    printed
}

#[test]
fn failures_of_this_host_are_told_exactly_and_nothing_is_printed() {
    let Some(netns) = or_skipped(Netns::with_ports(40000, 40003)) else { return };
    let full = Full::new("127.0.0.1:8081", 4).unwrap();
    let Some((child, said)) = watching(&["serve", "--dest", "127.0.0.1:8081"]) else { return };
    assert!(said.contains("metrics at http://127.0.0.1:7678/metrics; watching by "), "{said}");
    let failed = (0..700).filter(|_| TcpStream::connect(full.destination).is_err()).count();
    assert_eq!(failed, 700);
    let series = r#"portwatch_failures_total{cause="range_exhausted",errno="EADDRNOTAVAIL",destination="127.0.0.1:8081""#;
    let told = told_when(series, 700.0);
    assert_eq!(sum(&told, "portwatch_failures_by_cause_total{cause=\"range_exhausted\"}"), 700.0, "{told}");
    let place =
        format!(r#"{{netns="{}",protocol="tcp",source="127.0.0.1",destination="127.0.0.1:8081"}}"#, netns.id);
    let told = told_when(&format!("portwatch_ports_used{place}"), 4.0);
    assert_eq!(sum(&told, &format!("portwatch_ports_usable{place}")), 4.0, "{told}");
    assert_eq!(sum(&told, &format!("portwatch_ports_exhausted_in_seconds{place}")), 0.0, "{told}");
    assert!(
        sum(&told, "process_resident_memory_bytes") > 1e6 && sum(&told, "process_open_fds") > 3.0,
        "{told}"
    );
    assert_eq!(end(child, Signal::SIGTERM), "");
}

#[test]
fn what_trace_prints_is_told_as_metrics_too_while_clients_hang() {
    let Some(_netns) = or_skipped(Netns::with_ports(40000, 40003)) else { return };
    let full = Full::new("127.0.0.1:8082", 4).unwrap();
    let args = ["trace", "--json", "--dest", "127.0.0.1:8082", "--metrics", "7678"];
    let Some((child, _)) = watching(&args) else { return };
    let hang = || {
        let mut stream = TcpStream::connect(SocketAddr::from(ADDRESS)).unwrap();
        stream.write_all(b"GET /metrics HT").unwrap();
        stream
    };
    let hanging = [hang(), hang()];
    assert!((0..5).all(|_| TcpStream::connect(full.destination).is_err()));
    let told = told_when("portwatch_failures_by_cause_total{cause=\"range_exhausted\"}", 5.0);
    assert_eq!(sum(&told, "portwatch_delivered_total"), 5.0, "{told}");
    drop(hanging);
    let printed = end(child, Signal::SIGINT);
    let lines = portwatch_tests::contract::checked(&printed).unwrap();
    assert_eq!(lines.iter().filter(|line| line["type"] == "failure").count(), 5, "{printed}");
}

#[test]
fn an_address_that_is_taken_is_said_before_anything_is_attached() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for args in [["serve", "--listen", &address], ["trace", "--metrics", &address]] {
        let output = command(&args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let expected = format!(
            "portwatch: tell metrics: listen on {address}: Address already in use (os error 98)\nhint: "
        );
        assert!(said.starts_with(&expected) && said.trim_end().lines().count() == 2, "{said}");
    }
}
