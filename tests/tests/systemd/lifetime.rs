//! Ends of the process of the unit, and what comes of them.

use std::fs;
use std::path::Path;

use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};
use portwatch_tests::portwatch::printed;

use crate::host::{
    RECORDED, Shortage, count_of, failures, install, journal, parts, property, start, systemctl, times_ready,
    until,
};

/// What is in the kernel: programs, maps, links; what has a name there; functions that somebody has hooked.
#[derive(Debug, PartialEq)]
struct Loaded {
    counts: [usize; 3],
    pinned: usize,
    functions: String,
}

fn loaded() -> Loaded {
    Loaded {
        counts: [
            loaded_programs().filter(Result::is_ok).count(),
            loaded_maps().filter(Result::is_ok).count(),
            loaded_links().filter(Result::is_ok).count(),
        ],
        pinned: fs::read_dir("/sys/fs/bpf").unwrap().count(),
        functions: fs::read_to_string("/sys/kernel/tracing/enabled_functions").unwrap(),
    }
}

#[test]
fn stopped_it_leaves_nothing_in_the_kernel_nor_behind_its_folder() {
    install();
    systemctl(&["stop", "portwatch"]);
    let before = loaded();
    start();
    let running = loaded();
    let group = Path::new("/sys/fs/cgroup").join(property("ControlGroup").trim_start_matches('/'));
    assert!(running.counts[0] > before.counts[0] && group.exists(), "{before:?} {running:?}");
    assert_eq!(running.pinned, before.pinned, "nothing is pinned");
    systemctl(&["stop", "portwatch"]);
    until("the kernel has let go of all of it", || loaded() == before);
    assert!(!group.exists() && !Path::new("/run/portwatch").exists());
}

#[test]
fn killed_it_comes_back_and_goes_on_behind_what_is_there() {
    start();
    let (first, ready, before) = (property("MainPID"), times_ready(), parts().len());
    let shortage = Shortage::new();
    shortage.fails("before.service", 20);
    let recorded = || parts().iter().map(|part| fs::metadata(part).unwrap().len()).sum::<u64>();
    // A frame is written each second; what was not would be lost.
    until("it is written", || count_of("before.service", &failures()) == 20);
    systemctl(&["kill", "--signal=KILL", "portwatch"]);
    until("it was started again", || property("NRestarts") == "1" && times_ready() > ready);
    assert_ne!(property("MainPID"), first);
    let size = recorded();
    shortage.fails("after.service", 20);
    systemctl(&["restart", "portwatch"]);
    until("it is ready once more", || times_ready() > ready + 1);
    assert!(recorded() > size && parts().len() >= before + 2, "{:?}", parts());
    systemctl(&["stop", "portwatch"]);
    let failures = failures();
    for unit in ["before.service", "after.service"] {
        assert_eq!(count_of(unit, &failures), 20, "{unit}: {failures:?}");
    }
    let replayed = printed(&["replay", "--json", RECORDED]).unwrap();
    assert!(replayed.contains("\"why\":\"no_end\""), "nothing says that it was killed: {replayed}");
}

#[test]
fn where_it_may_not_trace_it_says_what_is_missing_and_is_not_started_again() {
    install();
    systemctl(&["stop", "portwatch"]);
    let folder = Path::new("/run/systemd/system/portwatch.service.d");
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("less.conf"), "[Service]\nAmbientCapabilities=\nCapabilityBoundingSet=\n").unwrap();
    systemctl(&["daemon-reload"]);
    systemctl(&["start", "portwatch"]);
    until("it has given up", || property("ActiveState") == "failed");
    let told = [property("ExecMainStatus"), property("NRestarts"), property("SubState")];
    fs::remove_dir_all(folder).unwrap();
    systemctl(&["daemon-reload"]);
    assert_eq!(told, ["69", "0", "failed"], "{}", journal());
    let said = journal();
    assert!(said.contains("CAP_BPF") && said.contains("hint: "), "{said}");
}
