//! A kernel that is locked down for integrity. There is no way back, and tests run in the order of their names: only a
//! lockdown for more stands behind this.

use std::fs;

use portwatch_tests::portwatch::command;

const LEVEL: &str = "/sys/kernel/security/lockdown";

/// What `doctor` says of a lockdown, which forbids nothing that `trace` needs.
pub(crate) fn assert_no_obstacle(expected: &str) {
    let doctor = command(&["doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&doctor.stdout);
    let line = said.lines().find(|line| line.contains(" lockdown "));
    assert_eq!(
        line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).as_deref(),
        Some(expected),
        "{said}"
    );
    assert_eq!(doctor.status.code(), Some(0), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("This host can be traced: run `portwatch trace`."), "{said}");
    let trace = command(&["trace", "--duration", "1s"]).output().unwrap();
    assert_eq!(trace.status.code(), Some(0), "{}", String::from_utf8_lossy(&trace.stderr));
}

#[test]
fn an_operator_is_told_that_it_is_no_obstacle() {
    let Ok(level) = fs::read_to_string(LEVEL) else {
        println!("skipped: this kernel has no lockdown");
        return;
    };
    assert!(level.contains("[none]"), "this runs before what locks down for more: {level}");
    fs::write(LEVEL, "integrity").unwrap();
    assert_no_obstacle("note lockdown integrity; no obstacle");
}
