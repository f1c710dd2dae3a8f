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
fn root_is_told_what_the_options_add() {
    let output = command(&["doctor"]).output().unwrap();
    let said = text(&output);
    let cases = [
        ("hook __inet_stream_connect", "fexit: loaded and attached"),
        ("hook inet_dgram_connect", "fexit: loaded and attached"),
        ("hook security_socket_connect", "fexit: loaded and attached"),
        ("hook inet_sock_set_state", "tp_btf: loaded and attached"),
        ("--errno all", "what the network answers"),
        ("hook __inet_hash_connect", "fentry: loaded and attached"),
        ("--search-time", "measures searches"),
    ];
    for (what, finding) in cases {
        let line = said.lines().find(|line| line.contains(what) && line.contains(finding));
        assert!(line.is_some_and(|line| line.starts_with("ok")), "{what}: {said}");
    }
    // What it needs came with Linux 5.12.
    let line = said.lines().find(|line| line.contains("--holders")).unwrap_or_default();
    let good = line.starts_with("ok") && line.contains("remembers who connects");
    assert!(good || line.starts_with("note") && line.contains("no cookies of sockets"), "{said}");
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
        let offered = ["hook tcp_v4_connect", "hook security_socket_connect", "hook inet_sock_set_state"];
        let is_offered =
            |what: &&str| said.lines().any(|line| line.starts_with("not tried") && line.contains(*what));
        assert!(*args != ["doctor"] || offered.iter().all(is_offered), "{said}");
    }
}
