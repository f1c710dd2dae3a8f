//! Filters decide in the kernel, so the totals are those of what passed.

use std::fs;

use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

#[test]
fn each_filter_lets_its_own_pass_and_counts_nothing_else() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _v4 = Full::new("127.0.0.1:8080", 4).unwrap();
    let _v6 = Full::new("[::1]:8443", 4).unwrap();
    let provoke = || {
        tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
        tally::run(&["--dest", "[::1]:8443", "--attempts", "4", "--threads", "other"]).unwrap();
    };
    let cases: &[(&[&str], u64)] = &[
        (&[], 7),
        (&["--comm", "loadgen"], 3),
        (&["--comm", "other"], 4),
        (&["--comm", "othe"], 0),
        (&["--dest", ":8080"], 3),
        (&["--dest", "127.0.0.0/8"], 3),
        (&["--dest", "127.0.0.1:8443"], 0),
        (&["--dest", "[::1]:8443"], 4),
        (&["--dest", "::/0"], 7),
        (&["--dest", "0.0.0.0/0"], 3),
        (&["--errno", "EADDRNOTAVAIL"], 7),
        (&["--errno", "EACCES"], 0),
        (&["--comm", "other", "--dest", ":8080"], 0),
    ];
    for (filter, expected) in cases {
        let args = [&["trace", "--json"], *filter].concat();
        let watching = Watching::start(&args).unwrap();
        provoke();
        let session = watching.end().unwrap();
        assert_eq!(session.end()["failures"], *expected, "{filter:?}: {}", session.stdout);
        assert_eq!(session.failures().count() as u64, *expected, "{filter:?}");
    }
}

#[test]
fn a_namespace_is_selected_by_a_process_a_file_or_its_number() {
    let netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let pid = std::process::id();
    let tid = nix::unistd::gettid();
    // Other threads of this process are elsewhere.
    let (file, number) = (format!("/proc/{pid}/task/{tid}/ns/net"), netns.id.to_string());
    let cases = [
        (&file[..], 3),
        ("/proc/thread-self/ns/net", 3),
        (&number, 3),
        ("all", 3),
        ("1", 0),
        ("/proc/1/ns/net", 0),
    ];
    for (n, (wanted, expected)) in (30..).zip(cases) {
        let watching = Watching::start(&["trace", "--json", "--netns", wanted]).unwrap();
        tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
        set("ipv4/tcp_fin_timeout", &n.to_string()).unwrap();
        let session = watching.end().unwrap();
        assert_eq!(session.end()["failures"], expected, "{wanted}: {}", session.stdout);
        let changes = session.lines.iter().filter(|line| line["type"] == "sysctl").count();
        assert_eq!(changes, usize::from(expected > 0), "{wanted}: {}", session.stdout);
    }
}

#[test]
fn a_control_group_is_selected_with_those_below_it_by_its_folder_or_name() {
    const ROOT: &str = "/sys/fs/cgroup";
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let groups = ["watched", "watched/within", "another"].map(|name| format!("{ROOT}/{name}"));
    groups.iter().for_each(|group| fs::create_dir_all(group).unwrap());
    let provoke_in = |group: &str, attempts: &str| {
        fs::write(format!("{group}/cgroup.procs"), std::process::id().to_string()).unwrap();
        tally::run(&["--dest", "127.0.0.1:8080", "--attempts", attempts]).unwrap();
        // Nobody listens: the answer comes from the network, and is told of who asked.
        tally::run(&["--dest", "127.0.0.1:9", "--attempts", attempts]).unwrap();
        fs::write(format!("{ROOT}/cgroup.procs"), std::process::id().to_string()).unwrap();
    };
    let all: &[&str] = &["--errno", "all"];
    let cases: [(&str, &[&str], u64); 8] = [
        (&groups[0], &[], 1 + 2),
        (&groups[0], all, 2 * (1 + 2)),
        ("watched", all, 2 * (1 + 2)),
        ("/watched/within", all, 2 * 2),
        ("0::/watched/within", &[], 2),
        ("another", all, 2 * 3),
        ("/sys/fs/cgroup/watched/../another", &[], 3),
        (ROOT, all, 2 * (1 + 2 + 3 + 4)),
    ];
    for mode in ["functions", "tracepoints"] {
        for (wanted, errno, expected) in cases {
            let args = [&["trace", "--json", "--mode", mode, "--cgroup", wanted], errno].concat();
            let watching = Watching::start(&args).unwrap();
            provoke_in(&groups[0], "1");
            provoke_in(&groups[1], "2");
            provoke_in(&groups[2], "3");
            provoke_in(ROOT, "4");
            let session = watching.end().unwrap();
            assert_eq!(session.end()["failures"], expected, "{args:?}: {}", session.stdout);
        }
    }
    groups.iter().rev().for_each(|group| fs::remove_dir(group).unwrap());
}

#[test]
fn a_pid_selects_one_process() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let this = std::process::id().to_string();
    let watching = Watching::start(&["trace", "--json", "--pid", &this]).unwrap();
    tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
    assert!(std::net::TcpStream::connect("127.0.0.1:8080").is_err());
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 1, "{}", session.stdout);
    assert_eq!(session.failures().next().unwrap()["process"]["pid"], std::process::id());
}
