//! What the process of the unit may do, and how much it may take: what the kernel says of it, not what the unit asks for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use caps::Capability;
use portwatch_tests::portwatch::command;

use crate::host::{Shortage, property, start};

/// What the kernel says of a thread, by name.
fn status(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path.join("status")).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

fn capabilities(mask: &str) -> Vec<String> {
    let mask = u64::from_str_radix(mask, 16).unwrap();
    let names = caps::all().into_iter().filter(|capability: &Capability| mask & capability.bitmask() != 0);
    names.map(|capability| capability.to_string()).collect()
}

#[test]
fn its_threads_have_no_right_that_doctor_does_not_name() {
    start();
    let process = Path::new("/proc").join(property("MainPID"));
    let doctor = String::from_utf8(command(&["doctor"]).output().unwrap().stdout).unwrap();
    let mut threads = 0;
    for thread in fs::read_dir(process.join("task")).unwrap() {
        let status = status(&thread.unwrap().path());
        threads += 1;
        for ids in ["Uid", "Gid"] {
            assert!(status[ids].split_whitespace().all(|id| id != "0"), "{ids}: {}", status[ids]);
        }
        assert_eq!([status["NoNewPrivs"].as_str(), status["Seccomp"].as_str()], ["1", "2"], "{status:?}");
        for set in ["CapPrm", "CapEff"] {
            for name in capabilities(&status[set]) {
                assert!(doctor.contains(&name), "{set} of {}: {name}\n{doctor}", status["Name"]);
                assert_ne!(
                    (name.as_str(), &status["Name"]),
                    ("CAP_PERFMON", &status["Name"]),
                    "was given up"
                );
            }
        }
        assert_eq!([&status["CapInh"], &status["CapAmb"]], ["0000000000000000"; 2], "{status:?}");
        let bounds = capabilities(&status["CapBnd"]);
        assert_eq!(bounds.len(), 5, "{bounds:?}");
    }
    assert!(threads > 2, "{threads} threads");
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
    let options = |place: &str| {
        let mut lines = mounts.lines().filter_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[4] == place).then(|| words[5].split(',').next().unwrap().to_owned())
        });
        lines.next_back()
    };
    for (place, expected) in [("/", "ro"), ("/var/lib/private/portwatch", "rw"), ("/proc/sys", "ro")] {
        assert_eq!(options(place).as_deref(), Some(expected), "{place}: {mounts}");
    }
}

#[test]
fn its_memory_processor_time_and_tasks_are_bounded_and_a_storm_stays_below() {
    start();
    let group = Path::new("/sys/fs/cgroup").join(property("ControlGroup").trim_start_matches('/'));
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap().trim().to_owned();
    let limits = [
        ("memory.high", "201326592"),
        ("memory.max", "268435456"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "32"),
    ];
    for (name, expected) in limits {
        assert_eq!(read(name), expected, "{name}");
    }
    // Only where the kernel counts swap.
    if group.join("memory.swap.max").exists() {
        assert_eq!(read("memory.swap.max"), "0");
    }
    Shortage::new().fails("storm.service", 1000);
    let events = read("memory.events");
    for event in ["high", "max", "oom_kill"] {
        assert!(events.lines().any(|line| line == format!("{event} 0")), "{events}");
    }
    let peak = if group.join("memory.peak").exists() { read("memory.peak") } else { "unknown".to_owned() };
    println!("memory {}, at most {peak}; tasks {}", read("memory.current"), read("pids.current"));
}
