//! What an operator must not wait for.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

const SERVICE: &str = "127.0.0.1:8080";
/// Far more than any of this may take.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn both_signals_end_it_soon() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new(SERVICE, 4).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let watching = Watching::start(&["trace", "--json"]).unwrap();
        tally::run(&["--dest", SERVICE, "--attempts", "100"]).unwrap();
        let session = watching.end_by(signal).unwrap();
        println!("{signal}: told within {:?}, ended within {:?}", session.told, session.ended);
        assert!(session.told < Duration::from_millis(200), "{signal}: {:?}", session.told);
        // The rest is the kernel's: detaching waits for grace periods, one hook after the other (docs/kernels.md).
        assert!(session.ended < Duration::from_secs(5), "{signal}: {:?}", session.ended);
    }
}

#[test]
fn a_line_is_there_within_a_second_of_its_failure() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new(SERVICE, 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let since = Instant::now();
    assert!(TcpStream::connect(SERVICE).is_err());
    let line = watching.wait_for("\"type\":\"failure\"", LIMIT).unwrap();
    let shown = since.elapsed();
    println!("shown after {shown:?}");
    assert!(shown < Duration::from_secs(1), "{shown:?} until {line}");
    watching.end().unwrap();
}

#[test]
fn a_loss_is_told_within_a_second_also_when_nothing_more_happens() {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    let _full = Full::new(SERVICE, 1).unwrap();
    let watching = Watching::start(&["trace", "--json", "--detail", "1000000000"]).unwrap();
    kill(watching.pid(), Signal::SIGSTOP).unwrap();
    // The ring holds 8,192 records.
    tally::run(&["--dest", SERVICE, "--attempts", "20000"]).unwrap();
    let awake = Instant::now();
    kill(watching.pid(), Signal::SIGCONT).unwrap();
    let told = watching.wait_for("\"reason\":\"ring_full\"", LIMIT).unwrap();
    let within = awake.elapsed();
    println!("told within {within:?}");
    // It is looked for once a second, and the other records are written before.
    assert!(within < Duration::from_millis(1200), "{within:?} until {told}");
    watching.end().unwrap();
}
