//! The unit records what happens, and who it happens to.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use portwatch_tests::portwatch::printed;
use portwatch_tests::tally;

use crate::host::{
    RECORDED, SERVICE, Shortage, failures, journal, parts, property, purge, start, systemctl, until,
};

#[test]
fn a_storm_is_recorded_to_the_last_failure_with_the_unit_of_each() {
    // All that is recorded is of this test.
    purge();
    start();
    let shortage = Shortage::new();
    let units = [("checkout.service", 300), ("search@eu.service", 200)];
    let mut made: Vec<_> = units.map(|(unit, attempts)| (unit, shortage.fails(unit, attempts))).into();
    let args = ["--dest", SERVICE, "--attempts", "50", "--rate", "50"];
    made.push(("guest.service", tally::run(&args).unwrap()));
    systemctl(&["stop", "portwatch"]);
    assert_eq!([property("ActiveState"), property("Result")], ["inactive", "success"], "{}", journal());

    let failures = failures();
    let expected: u64 = made.iter().map(|(_, tally)| tally.failed("EADDRNOTAVAIL")).sum();
    assert_eq!((failures.len() as u64, expected), (550, 550));
    for (unit, tally) in &made {
        let of_unit = failures.iter().filter(|failure| failure["process"]["unit"] == *unit);
        let of_process = failures.iter().filter(|failure| failure["process"]["pid"] == tally.pid);
        let counts = (of_unit.count() as u64, of_process.clone().count() as u64);
        let failed = tally.failed("EADDRNOTAVAIL");
        assert_eq!(counts, (failed, failed), "{unit}: {:?}", of_process.clone().next());
        for failure in of_process {
            assert_eq!(failure["cause"], "range_exhausted", "{failure}");
            assert_eq!(
                (&failure["netns"], &failure["process"]["comm"]),
                (&tally.netns.into(), &"loadgen".into())
            );
            let exe = failure["process"]["exe"].as_str().unwrap_or_default();
            assert!(exe.ends_with("/loadgen"), "{failure}");
        }
    }
    // As an operator reads it, through the link.
    let report = printed(&["report", "--format", "json", "--group-by", "unit", RECORDED]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    for (unit, tally) in &made {
        let rows = report["groups"]["rows"].as_array().unwrap();
        let is_it =
            |row: &serde_json::Value| row["unit"] == *unit && row["count"] == tally.failed("EADDRNOTAVAIL");
        assert!(rows.iter().any(is_it), "{unit}: {rows:?}");
    }
    for part in parts() {
        let metadata = fs::metadata(part).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert_ne!(metadata.uid(), 0, "its user is the unit's own");
    }
    let folder = fs::metadata(RECORDED).unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700, "nobody else may look");
}

#[test]
fn reloading_it_keeps_a_copy_of_what_is_there() {
    // Of the package procps, which the guest has not.
    let kill = std::path::Path::new("/bin/kill");
    if !kill.exists() {
        std::os::unix::fs::symlink("/bin/busybox", kill).unwrap();
    }
    start();
    let shortage = Shortage::new();
    shortage.fails("reload.service", 20);
    let copies = || {
        let entries = fs::read_dir(RECORDED).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    for (command, expected) in [(["reload", "portwatch"], 1), (["kill", "--signal=USR1"], 2)] {
        let mut args = command.to_vec();
        if expected == 2 {
            args.push("portwatch");
        }
        systemctl(&args);
        until("there is a copy", || copies().len() == expected);
    }
    assert_eq!(property("ActiveState"), "active", "{}", journal());
    let kept = printed(&["replay", "--json", copies()[0].to_str().unwrap()]).unwrap();
    assert_eq!(kept.matches("\"unit\":\"reload.service\"").count(), 20, "{kept}");
}
