//! What watching costs where nothing happens.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

const SERVICE: &str = "127.0.0.1:8080";
/// Pauses grow until they are as long as they get.
const CALM: Duration = Duration::from_secs(20);
const WATCHED_S: u64 = 60;

/// How often all threads of a process have gone to sleep by themselves: as often they were woken.
fn sleeps(process: Pid) -> u64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_thread = |thread: fs::DirEntry| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap();
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    threads.map(|thread| of_thread(thread.unwrap())).sum()
}

#[test]
fn where_nothing_happens_it_wakes_up_less_than_three_times_a_second() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new(SERVICE, 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    for (when, happens) in [("from the start", false), ("after failures", true)] {
        if happens {
            tally::run(&["--dest", SERVICE, "--attempts", "100"]).unwrap();
        }
        sleep(CALM);
        let before = sleeps(watching.pid());
        sleep(Duration::from_secs(WATCHED_S));
        let woken = sleeps(watching.pid()) - before;
        println!("{when}: woken {woken} times in {WATCHED_S} s");
        assert!((WATCHED_S..3 * WATCHED_S).contains(&woken), "{when}: {woken} times in {WATCHED_S} s");
    }
    let session = watching.end().unwrap();
    assert_eq!(session.end()["delivered"], 100, "{}", session.end());
}
