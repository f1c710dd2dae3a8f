//! How much memory a session keeps.

use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

/// Resident, all kinds: 4 MiB are pages of the executable, and newer kernels count the ring, mapped twice: 2 MiB.
const LIMIT_KIB: u64 = 9 * 1024;
/// The same after a storm: what has waited in the queue, at most 6 MiB, leaves holes in the heap, and so do the last looks at
/// who holds the ports, which another thread takes in a heap of its own: 2 MiB.
pub(crate) const STORM_LIMIT_KIB: u64 = LIMIT_KIB + 8 * 1024;

/// What is resident, and the lines that say of what kind.
pub(crate) fn resident(pid: Pid) -> (u64, String) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kinds: Vec<&str> =
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("Rss")).collect();
    let total = kinds.iter().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (total.trim().trim_end_matches(" kB").parse().unwrap(), kinds.join(", "))
}

#[test]
fn a_session_keeps_at_most_9_mib_and_after_a_storm_what_has_waited() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let ready = resident(watching.pid());
    println!("when it was ready: {}", ready.1);
    assert!(ready.0 <= LIMIT_KIB, "when it was ready: {}", ready.1);

    tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "20000"]).unwrap();
    let after = resident(watching.pid());
    println!("after 20,000 failures: {}", after.1);
    assert!(after.0 <= STORM_LIMIT_KIB, "after 20,000 failures: {}", after.1);
    watching.end().unwrap();
}
