//! Who failed: threads, short lives, hostile names.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::{churn, tally};
use serde_json::Value;

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
        let made = thread.failed["EADDRNOTAVAIL"];
        assert_eq!(of_thread.len() as u64, made, "{}: {}", thread.comm, session.stdout);
        for failure in of_thread {
            let process = &failure["process"];
            assert_eq!(process["comm"], *thread.comm, "{failure}");
            assert_eq!(process["pid"], tally.pid, "{failure}");
            assert_eq!(
                (&process["uid"], &process["gid"]),
                (&tally.ids.0.into(), &tally.ids.1.into()),
                "{failure}"
            );
            assert_eq!(process["cgroup"], inode("/sys/fs/cgroup"), "{failure}");
            assert_eq!(failure["netns"], tally.netns, "{failure}");
        }
    }
    // Each is told, in a line and in the counts, also where threads make each other's hooks be skipped.
    let of_process = |row: &Value| row["process"]["pid"] == tally.pid && row["process"]["comm"] == "loadgen";
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 12);
    assert_eq!((session.counted(of_process), session.failures().count()), (12, 12), "{}", session.stdout);
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

/// The inode number of a file.
fn inode(path: &str) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn of_processes_that_are_gone_within_a_millisecond_all_is_told_that_they_were() {
    const COUNT: u32 = 400;
    let groups = ["a", "b", "c"].map(|name| format!("/sys/fs/cgroup/strangers-{name}"));
    groups.iter().for_each(|group| fs::create_dir_all(group).unwrap());
    let namespaces = [(); 2].map(|()| {
        let netns = Netns::with_ports(40000, 40001).unwrap();
        set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
        (netns.id, File::open("/proc/thread-self/ns/net").unwrap())
    });
    let files = namespaces
        .each_ref()
        .map(|(_, file)| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let (count, groups_list, files) = (COUNT.to_string(), groups.join(","), files.join(","));
    let args = ["strangers", &count, "--cgroups", &groups_list, "--namespaces", &files];
    let churned = churn::run(&args).unwrap();
    let session = watching.end().unwrap();
    let ids = groups.each_ref().map(|group| inode(group));
    groups.iter().for_each(|group| fs::remove_dir(group).unwrap());

    assert_eq!(session.end()["failures"], COUNT, "{}", session.end());
    let mut shown: Vec<_> = session.failures().collect();
    shown.sort_by_key(|failure| failure["process"]["uid"].as_u64());
    assert_eq!(shown.len(), COUNT as usize, "{}", session.end());
    let mut brief_and_right = 0;
    for (n, failure) in (0..COUNT).zip(shown) {
        let at = n as usize;
        let lingered_ns = churned.lingered_ns[at];
        let values: [(&str, Value); 7] = [
            ("/destination/address", churn::destination(n).ip().to_string().into()),
            ("/netns", namespaces[at % 2].0.into()),
            ("/process/pid", churned.pids[at].into()),
            ("/process/comm", churn::name(n).into()),
            ("/process/uid", churn::user(n).into()),
            ("/process/gid", (churn::user(n) + 1).into()),
            ("/process/cgroup", ids[at % 3].into()),
        ];
        for (name, value) in values {
            let what = format!("{name} of {n}, which was gone within {lingered_ns} ns");
            assert_eq!(failure.pointer(name), Some(&value), "{what}: {failure}");
        }
        brief_and_right += u32::from(lingered_ns < 1_000_000);
    }
    let mut lingered_ns = churned.lingered_ns;
    lingered_ns.sort_unstable();
    let median_ns = lingered_ns[lingered_ns.len() / 2];
    println!("{brief_and_right} of {COUNT} gone within 1 ms, half of all within {median_ns} ns");
    // Where this machine is busy, guests stand still for longer than that.
    assert!(brief_and_right >= COUNT / 4, "too few were gone within 1 ms: {lingered_ns:?}");
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
