//! As many control groups, network namespaces, sockets and processes as a large host has, all at once.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Pid;
use portwatch_tests::churn::{self, Churn, name, user};
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Session, Watching};
use serde_json::{Value, json};

use crate::memory::STORM_LIMIT_KIB;
use crate::names::{ROOT, group, remove};

const SERVICE: &str = "127.0.0.1:8080";
/// Those that processes are in: each by the path that some runtime gives it, so there are twice as many folders.
const GROUPS: u32 = 10_000;
const NAMESPACES: u32 = 1_000;
/// Connections that take every port of a namespace's range. Each is two sockets, of which one waits to be accepted; with
/// the listeners that makes 101,000.
const CONNECTIONS: u16 = 50;
/// Two in each control group and twenty in each namespace, each for as long as its call takes. That many an hour would be
/// easier.
const PROCESSES: u32 = 20_000;
/// What a control group's names take: some 300 bytes where they are found, some 400 where they are asked for (`enrich`).
const GROUP_BYTES: u64 = 700;
/// Nothing is remembered of a namespace or a socket, and of processes no more than in a storm. With as many control groups
/// as are remembered (16,384) it would be 28 MiB.
const LIMIT_KIB: u64 = STORM_LIMIT_KIB + GROUPS as u64 * GROUP_BYTES / 1024;
/// Where namespaces have names (ip-netns(8)).
const NAMED: &str = "/run/netns";

/// A namespace that has a name, and no port left to the service.
struct Crowded {
    id: u64,
    file: String,
    _full: Full,
}

impl Crowded {
    fn new(n: u32) -> Self {
        let netns = Netns::with_ports(40_000, 39_999 + CONNECTIONS).unwrap();
        let file = format!("{NAMED}/scale-{n}");
        fs::write(&file, "").unwrap();
        let none = None::<&str>;
        mount(Some("/proc/thread-self/ns/net"), file.as_str(), none, MsFlags::MS_BIND, none).unwrap();
        Self { id: netns.id, file, _full: Full::new(SERVICE, CONNECTIONS.into()).unwrap() }
    }
}

impl Drop for Crowded {
    fn drop(&mut self) {
        // A name that stays is in nobody's way.
        let _ = umount2(self.file.as_str(), MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.file);
    }
}

/// The most that was ever resident.
fn peak_kib(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_thousand_groups_a_thousand_namespaces_100_000_sockets_and_20_000_processes_are_told_apart() {
    setrlimit(Resource::RLIMIT_NOFILE, 65_536, 65_536).unwrap();
    let groups: Vec<_> = (0..GROUPS).map(group).collect();
    let folders: Vec<String> = groups.iter().map(|(path, _)| format!("{ROOT}/{path}")).collect();
    folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    fs::create_dir_all(NAMED).unwrap();
    let namespaces: Vec<_> = (0..NAMESPACES).map(Crowded::new).collect();
    let files: Vec<String> = namespaces.iter().map(|namespace| namespace.file.clone()).collect();
    let lists = tempfile::tempdir().unwrap();
    let listed = |name: &str, paths: &[String]| {
        let file = lists.path().join(name);
        fs::write(&file, paths.join("\n")).unwrap();
        format!("@{}", file.display())
    };
    let (in_groups, in_namespaces) = (listed("groups", &folders), listed("namespaces", &files));

    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let (count, both) = (PROCESSES.to_string(), ["--cgroups", &in_groups, "--namespaces", &in_namespaces]);
    let churned = churn::run(&[&["strangers", &count, "--dest", SERVICE], &both[..]].concat()).unwrap();
    let peak = peak_kib(watching.pid());
    println!("at most {peak} KiB were resident, and may be {LIMIT_KIB}");
    let session = watching.end().unwrap();
    println!("{}", session.end());

    assert_eq!(session.end()["failures"], PROCESSES, "{}", session.end());
    let ids: Vec<u64> = namespaces.iter().map(|namespace| namespace.id).collect();
    assert_each_is_right(&session, &churned, &groups, &ids);
    assert_holders_are_right(&session, &ids);
    assert!(peak <= LIMIT_KIB, "{peak} KiB were resident, more than {LIMIT_KIB}");
    drop(namespaces);
    folders.iter().for_each(|folder| remove(Path::new(folder)));
}

/// Of failures and of rows. Names may be missing as often as portwatch says that a look-up had no answer; what is there is
/// right.
fn assert_each_is_right(
    session: &Session,
    churned: &Churn,
    groups: &[(String, [Value; 3])],
    namespaces: &[u64],
) {
    let is_right = |line: &Value| {
        let process = &line["process"];
        let uid = u32::try_from(process["uid"].as_u64().unwrap()).unwrap();
        let n = (uid - user(0)) / 2;
        let at = n as usize;
        let who = json!([process["comm"], process["pid"], uid, process["gid"]]);
        assert_eq!(who, json!([name(n), churned.pids[at], user(n), user(n) + 1]), "{line}");
        assert_eq!(line["netns"], namespaces[at % namespaces.len()], "{line}");
        assert_eq!(line["cause"], "range_exhausted", "{line}");
        let (path, expected) = &groups[at % groups.len()];
        let names = ["unit", "container", "pod"].map(|name| process[name].clone());
        let is_named = names.iter().any(|name| !name.is_null());
        assert!(!is_named || names == *expected, "{path}: {line}");
        is_named
    };
    let unnamed = |lines: &mut dyn Iterator<Item = &Value>| lines.filter(|line| !is_right(line)).count();
    let (failures, rows) = (unnamed(&mut session.failures()), unnamed(&mut session.rows()));
    let unanswered = session.end()["lookups_unanswered"].as_u64().unwrap_or(0);
    let gone = session.failures().filter(|failure| failure["process"]["exited"] == true).count();
    println!(
        "{} rows; {gone} processes were gone; without names: {failures} failures, {rows} rows",
        session.rows().count()
    );
    assert!(failures as u64 <= unanswered && rows as u64 <= unanswered, "{failures}, {rows} of {unanswered}");
}

/// Who holds the ports was looked at in some of them, and it is this process everywhere.
fn assert_holders_are_right(session: &Session, namespaces: &[u64]) {
    let known: HashSet<u64> = namespaces.iter().copied().collect();
    let full = session.lines.iter().filter(|line| line["type"] == "ports");
    let mut looked = 0;
    for row in full.filter(|row| known.contains(&row["netns"].as_u64().unwrap())) {
        assert_eq!(json!([row["used"], row["usable"]]), json!([CONNECTIONS, CONNECTIONS]), "{row}");
        let holders = row["holders"].as_array().unwrap();
        let told = holders.iter().map(|holder| json!([holder["process"]["pid"], holder["count"]]));
        assert_eq!(told.collect::<Vec<_>>(), [json!([std::process::id(), CONNECTIONS])], "{row}");
        looked += 1;
    }
    println!("{looked} of {NAMESPACES} namespaces were looked into");
    assert!(looked > 0, "no namespace was looked into");
}
