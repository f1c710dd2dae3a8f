//! What portwatch says of a host that can be traced, and of a user who may not.

use std::os::unix::process::CommandExt as _;
use std::process::Output;

use portwatch_tests::portwatch::command;

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn root_is_told_that_every_hook_attaches() {
    let output = command(&["doctor"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for function in ["__inet_hash_connect", "tcp_v4_connect", "tcp_v6_connect"] {
        let line = said.lines().find(|line| line.contains(&format!("hook {function}"))).unwrap_or_default();
        assert!(line.starts_with("ok") && line.contains("loaded and attached"), "{said}");
    }
    assert!(said.contains("This host can be traced"), "{said}");
}

#[test]
fn a_user_without_privileges_is_told_which() {
    for args in [&["doctor"], &["trace"]] {
        let output = command(args).uid(65534).gid(65534).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(69), "{args:?}: {said}");
        assert!(said.contains("CAP_BPF") && said.contains("CAP_PERFMON"), "{args:?}: {said}");
        assert!(said.contains("hint: run as root"), "{args:?}: {said}");
        assert!(!said.contains("insns"), "no verifier log: {said}");
    }
}
