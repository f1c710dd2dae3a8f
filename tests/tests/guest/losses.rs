//! Detail may be lost; counts may not.

use nix::sys::signal::{Signal, kill};
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

#[test]
fn a_reader_that_stands_still_loses_detail_and_says_exactly_how_much() {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new("127.0.0.1:8080", 1).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    kill(watching.pid(), Signal::SIGSTOP).unwrap();
    // The ring holds fewer than 8,192 records.
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "12000"]).unwrap();
    kill(watching.pid(), Signal::SIGCONT).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 12_000);
    assert_eq!(session.end()["failures"], 12_000, "{}", session.end());
    assert_eq!(session.counted(|row| row["process"]["pid"] == tally.pid), 12_000);
    let lost = session.end()["lost"]["ring_full"].as_u64().unwrap();
    assert!(lost > 1000, "{}", session.end());
    assert_eq!(session.end()["delivered"], 12_000 - lost, "{}", session.end());
}
