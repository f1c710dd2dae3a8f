//! Who failed: threads, short lives, hostile names.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

#[test]
fn each_thread_has_its_own_name_and_the_process_its_own_row() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("127.0.0.1:8080", 10).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let args = ["--dest", "127.0.0.1:8080", "--attempts", "4", "--threads", "pool-1,pool-2,http-nio-8080-e"];
    let tally = tally::run(&args).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(tally.threads.len(), 3);
    for thread in &tally.threads {
        let of_thread: Vec<_> =
            session.failures().filter(|failure| failure["process"]["tid"] == thread.tid).collect();
        assert!(!of_thread.is_empty(), "{}: {}", thread.comm, session.stdout);
        for failure in of_thread {
            assert_eq!(failure["process"]["comm"], *thread.comm, "{failure}");
            assert_eq!(failure["process"]["pid"], tally.pid, "{failure}");
        }
    }
    // On a preemptible kernel threads can make each other's hooks be skipped: then a cause is unknown, and a failure
    // whose two hooks were both skipped is missing.
    let of_process =
        |row: &serde_json::Value| row["process"]["pid"] == tally.pid && row["process"]["comm"] == "loadgen";
    let skipped = session.end()["skipped_runs"].as_u64().unwrap();
    let counted = session.counted(of_process);
    assert!(counted <= 12 && counted + skipped / 2 >= 12, "{}", session.stdout);
    assert!(session.rows().all(of_process), "{}", session.stdout);
}

#[test]
fn a_process_that_is_gone_at_once_still_has_its_name_and_user() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let tallies: Vec<_> = (0..10_u8)
        .map(|n| {
            let name = format!("6f6e63652d{:02x}", b'a' + n);
            tally::run(&["--dest", "127.0.0.1:8080", "--comm-hex", &name]).unwrap()
        })
        .collect();
    let session = watching.end().unwrap();
    for (n, tally) in (0..10_u8).zip(&tallies) {
        let failure = session.failures().find(|failure| failure["process"]["pid"] == tally.pid).unwrap();
        assert_eq!(failure["process"]["comm"], format!("once-{}", char::from(b'a' + n)), "{failure}");
        assert!(failure["process"]["start_ns"].as_u64().unwrap() > 0, "{failure}");
        let exited = failure["process"]["exited"] == true;
        let exe = failure["process"]["exe"].as_str().is_some_and(|exe| exe.ends_with("loadgen"));
        assert!(exited ^ exe, "either gone or named: {failure}");
    }
    assert_eq!(session.rows().count(), 10, "{}", session.stdout);
}

#[test]
fn a_living_process_has_its_executable_and_arguments() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    // This very process: it does not go away.
    let refused = std::net::TcpStream::connect("127.0.0.1:8080").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(99));
    let session = watching.end().unwrap();
    let failure = session.failures().next().unwrap();
    assert_eq!(failure["process"]["pid"], std::process::id(), "{failure}");
    let exe = std::env::current_exe().unwrap();
    assert_eq!(failure["process"]["exe"], exe.to_str().unwrap(), "{failure}");
    let arguments: Vec<String> = std::env::args().collect();
    assert_eq!(failure["process"]["cmdline"], serde_json::json!(arguments), "{failure}");
}

#[test]
fn a_process_in_a_pid_namespace_has_the_hosts_pid() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let loadgen = std::env::var("LOADGEN_BIN").unwrap();
    // The second process there, which the namespace calls 2.
    let script = format!("{loadgen} --dest 127.0.0.1:8080; true");
    let arguments = ["unshare", "-p", "-f", "sh", "-c", &script];
    let output = Command::new("/bin/busybox").args(arguments).output().unwrap();
    let tally: tally::Tally = serde_json::from_slice(&output.stdout).unwrap();
    let session = watching.end().unwrap();
    assert_eq!((tally.pid, session.end()["failures"].as_u64()), (2, Some(1)), "{}", session.stdout);
    let process = &session.failures().next().unwrap()["process"];
    assert_eq!((&process["comm"], &process["pid"]), (&"loadgen".into(), &process["tid"]), "{process}");
    assert!(process["pid"].as_u64().unwrap() > u64::from(std::process::id()), "{process}");
}

#[test]
fn another_users_process_has_its_ids() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let loadgen = std::env::var_os("LOADGEN_BIN").unwrap();
    let status =
        Command::new(loadgen).args(["--dest", "127.0.0.1:8080"]).uid(1234).gid(567).status().unwrap();
    assert!(status.success());
    let session = watching.end().unwrap();
    let failure = session.failures().next().unwrap();
    assert_eq!(
        (&failure["process"]["uid"], &failure["process"]["gid"]),
        (&1234.into(), &567.into()),
        "{failure}"
    );
}

#[test]
fn a_name_made_to_deceive_is_exact_in_the_data() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    // ESC [2J, a line break, a byte that is not UTF-8.
    tally::run(&["--dest", "127.0.0.1:8080", "--comm-hex", "1b5b324a0aff"]).unwrap();
    let session = watching.end().unwrap();
    let failure = session.failures().next().unwrap();
    assert_eq!(failure["process"]["comm"], "\u{1b}[2J\n\u{fffd}", "{failure}");
    assert_eq!(failure["process"]["comm_hex"], "1b5b324a0aff", "{failure}");
}
