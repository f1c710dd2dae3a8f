//! What takes minutes, and what must not take longer than it may. `cargo xtask test` runs this file in a guest whose clock
//! counts instructions, and jumps while it sleeps: there minutes take seconds, and a busy host makes nothing late.
//!
//! Each test enters a network namespace of its own.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use portwatch_tests::netns::Netns;
use portwatch_tests::portwatch::{Session, Watching};
use serde_json::Value;

mod idleness;
mod promptness;
mod recording;
mod soak;

const SERVICE: &str = "127.0.0.1:8080";

fn of<'a>(session: &'a Session, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    session.lines.iter().filter(move |line| line["type"] == kind)
}

#[test]
fn at_a_steady_rate_a_warning_comes_ten_seconds_before_the_first_failure() {
    let _netns = Netns::with_ports(40000, 40239).unwrap();
    let watching = Watching::start(&["trace", "--json", "--warn"]).unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    let mut held = Vec::new();
    // Four a second: full after a minute.
    let since = Instant::now();
    loop {
        match TcpStream::connect(SERVICE) {
            Ok(client) => held.push((client, listener.accept().unwrap().0)),
            Err(error) => break assert_eq!(error.raw_os_error(), Some(Errno::EADDRNOTAVAIL as i32)),
        }
        let due = Duration::from_millis(250) * u32::try_from(held.len()).unwrap();
        sleep(due.saturating_sub(since.elapsed()));
    }
    let session = watching.end().unwrap();
    let (warnings, failed): (Vec<&Value>, &Value) =
        (of(&session, "warning").collect(), session.failures().next().unwrap());
    let [warning] = warnings.as_slice() else { panic!("one warning: {warnings:?}") };
    let at = |line: &Value| line["monotonic_ns"].as_u64().unwrap();
    assert!(at(warning) + 10_000_000_000 <= at(failed), "{warning}\n{failed}");
    // It is about what failed then, and its time is about right.
    assert_eq!(warning["destination"], failed["destination"]);
    let expected_s = (at(failed) - at(warning)) as f64 / 1e9;
    let told_s = warning["full_in_s"].as_f64().unwrap();
    assert!((told_s - expected_s).abs() < expected_s / 4.0, "{told_s} s were told, it took {expected_s} s");
}

#[test]
fn ten_minutes_at_half_of_what_the_range_carries_give_no_warning() {
    // 20 connections a second, where each keeps its port for a minute.
    let _netns = Netns::with_ports(40000, 41199).unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    let watching = Watching::start(&["trace", "--json", "--warn"]).unwrap();
    for second in 0..600_u32 {
        // Ten a second: five in one, fifteen in the next.
        for _ in 0..5 + 10 * (second % 2) {
            // This side closes first, and has the TIME_WAIT.
            drop(TcpStream::connect(SERVICE).unwrap());
            drop(listener.accept().unwrap());
        }
        sleep(Duration::from_secs(1));
    }
    let session = watching.end().unwrap();
    for kind in ["warning", "recovered", "verdict", "failure", "lost"] {
        assert_eq!(of(&session, kind).next(), None, "{}", session.stderr);
    }
    let snapshots = of(&session, "snapshot").count();
    assert!((250..=310).contains(&snapshots), "{snapshots} looks in ten minutes, one in two seconds");
    // On loopback a TIME_WAIT older than a second may be taken over (tcp_tw_reuse is 2), so fewer than half are taken.
    let used: Vec<u64> = of(&session, "ports")
        .filter(|row| row["destination"]["port"] == 8080)
        .map(|row| row["used"].as_u64().unwrap())
        .skip(35)
        .collect();
    assert!(used.len() > 200 && used.iter().all(|used| (300..=660).contains(used)), "{used:?}");
}

/// What `census_cost` prints for so many sockets: milliseconds of the bare loop and of the whole.
fn census_cost(sockets: &str) -> [f64; 2] {
    let output = Command::new(std::env::var("CENSUS_COST_BIN").unwrap()).arg(sockets).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    print!("{text}");
    ["bare loop", "census"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words[2].parse::<u32>().unwrap() >= sockets.parse().unwrap(), "{text}");
        words[0].parse().unwrap()
    })
}

#[test]
fn reading_the_socket_tables_costs_little_more_than_receiving_them() {
    // In instructions, which are what time is made of here. `cargo xtask test` holds the time on the host itself to 1.3.
    let [bare, whole] = census_cost("20000");
    assert!(whole <= bare * 2.5, "{whole} ms, where a bare loop takes {bare} ms");
}
