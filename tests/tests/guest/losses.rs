//! Detail may be lost; counts may not.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::contract;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::command;
use portwatch_tests::tally;

/// A child whose stdout nobody reads for now, attached and watching.
fn unread() -> (std::process::Child, Pid) {
    let mut child = command(&["trace", "--json", "--detail", "4000000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut byte = [0];
    let stderr = child.stderr.as_mut().unwrap();
    while !said.ends_with('\n') && stderr.read(&mut byte).unwrap() == 1 {
        said.push(char::from(byte[0]));
    }
    assert!(said.starts_with("portwatch: ready"), "{said}");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    (child, pid)
}

#[test]
fn an_output_that_nobody_reads_loses_detail_behind_the_queue_and_says_how_much() {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new("127.0.0.1:8080", 1).unwrap();
    let (mut child, pid) = unread();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "45000"]).unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 45_000);
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (tell, told) = mpsc::channel();
    let reader = std::thread::spawn(move || stderr.lines().try_for_each(|line| tell.send(line.unwrap())));
    let warning = told.recv_timeout(Duration::from_secs(1)).unwrap();
    assert!(warning.contains("the output is not read"), "{warning}");
    kill(pid, Signal::SIGINT).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    reader.join().unwrap().unwrap();
    let lines = contract::checked(&text).unwrap();
    let end = lines.last().unwrap();
    assert_eq!(end["failures"], 45_000, "{end}");
    assert!(end["lost"]["queue_full"].as_u64().unwrap() > 1000, "{end}");
    // It takes up to 512 at once, or none of them.
    assert!(end["delivered"].as_u64().unwrap() > 32 * 1024 - 512, "the queue holds as much: {end}");
}

#[test]
fn a_second_signal_ends_what_hangs_in_its_output() {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new("127.0.0.1:8080", 1).unwrap();
    let (mut child, pid) = unread();
    tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "2000"]).unwrap();
    kill(pid, Signal::SIGTERM).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "it ended although nobody read its output");
    kill(pid, Signal::SIGTERM).unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("second signal"), "{said}");
}
