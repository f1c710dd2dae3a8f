//! The executable as a user meets it first; needs no kernel of its own and no privileges.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::{Command, Output, Stdio};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn garbage_on_the_command_line_is_a_usage_error_that_names_it() {
    let cases: &[(&[&str], &str)] = &[
        (&["--no-such-option"], "--no-such-option"),
        (&["no-such-command"], "no-such-command"),
        (&["trace", "--pid", "0"], "0"),
        (&["trace", "--pid", "four"], "four"),
        (&["trace", "--comm", "a-name-that-is-too-long"], "15 bytes"),
        (&["trace", "--dest", "localhost:80"], "localhost"),
        (&["trace", "--dest", "10.0.0.0/99"], "10.0.0.0/99"),
        (&["trace", "--dest", "10.0.0.1:99999"], "99999"),
        (&["trace", "--errno", "ENOSUCH"], "ENOSUCH"),
        (&["trace", "--duration", "soon"], "soon"),
        (&["trace", "--duration", "0s"], "longer"),
        (&["trace", "--count", "0"], "0"),
        (&["trace", "--count"], "--count"),
        (&["trace", "extra"], "extra"),
        (&["record"], "--output"),
        (&["record", "-o", "f", "--keep", "500"], "of what?"),
        (&["record", "-o", "f", "--keep", "0M"], "more than nothing"),
        (&["record", "-o", "f", "--keep", "1h", "--force"], "--force"),
        (&["record", "-o", "f", "--print", "--quiet"], "--quiet"),
        (&["record", "-o", "f", "sh"], "sh"),
        (&["--json", "record", "-o", "f"], "portwatch record --json"),
        (&["replay"], "FILE"),
        (&["report", "f", "--format", "pdf"], "pdf"),
        (&["report", "f", "--from", "yesterday"], "yesterday"),
        (&["ports", "--netns", "blue"], "/run/netns/blue"),
        (&["ports", "--netns", "0"], "0"),
        (&["ports", "--dest", "localhost:80"], "localhost"),
        (&["ports", "--watch", "never"], "never"),
        (&["ports", "--top", "0"], "0"),
        (&["ports", "--top", "3", "--json"], "--json"),
        (&["ports", "--duration", "1s"], "--watch"),
        (&["ports", "extra"], "extra"),
        (&["--json", "doctor"], "not of doctor"),
        (&["--json", "trace"], "portwatch trace --json"),
        (&["--pid", "3", "ports"], "not of ports"),
        (&["doctor", "--json"], "--json"),
        (&["serve", "--listen", "localhost:7678"], "localhost:7678"),
        (&["serve", "--json"], "--json"),
        (&["serve", "--search-time"], "of no use to serve"),
        (&["serve", "--warn", "80%"], "of no use to serve"),
        (&["trace", "--metrics", "70000"], "70000"),
        (&["--color", "pink"], "pink"),
    ];
    for (args, named) in cases {
        let (code, stdout, stderr) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stdout.is_empty(), "{args:?}: {stdout}");
        assert!(stderr.contains(named), "{args:?}: {stderr}");
    }
}

#[test]
fn options_of_every_command_may_stand_before_it_or_behind() {
    for args in [&["--color", "never", "ports"][..], &["ports", "--color", "never"], &["-v", "ports"]] {
        let (code, stdout, stderr) = run(args);
        assert_eq!(code, Some(0), "{args:?}: {stderr}");
        assert!(!stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn help_names_what_works_and_nothing_else() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        commands,
        ["trace", "record", "replay", "report", "ports", "serve", "doctor", "help"],
        "{help}"
    );
    for args in [
        &["trace", "--help"][..],
        &["record", "--help"],
        &["replay", "--help"],
        &["report", "--help"],
        &["ports", "--help"],
        &["serve", "--help"],
        &["doctor", "--help"],
        &["--version"],
    ] {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(!stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn an_output_that_refuses_is_an_error_and_one_that_is_closed_is_not() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&["doctor"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("standard output") && stderr.contains("No space left"), "{stderr}");

    let mut child = command(&["doctor"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn doctor_finds_something_to_say_about_any_host() {
    let (code, stdout, stderr) = run(&["doctor"]);
    assert!(matches!(code, Some(0 | 69)), "{code:?} {stderr}");
    for check in ["kernel", "type information (BTF)", "lockdown", "privileges"] {
        assert!(stdout.contains(check), "{check}: {stdout}");
    }
    assert_eq!(stdout.contains("This host can be traced"), code == Some(0), "{stdout}");
    assert!(stdout.contains("hint: ") || code == Some(0), "{stdout}");
}

#[test]
fn a_host_that_refuses_is_told_why_in_two_lines() {
    let (code, stdout, stderr) = run(&["trace", "--mode", "functions", "--duration", "1s"]);
    if code == Some(0) {
        println!("skipped: this host can be traced in the best way, so it has no refusal to show");
        return;
    }
    assert_eq!(code, Some(69), "{stderr}");
    assert_eq!(stdout, "");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "a finding and a hint, no verifier log: {stderr}");
    assert!(lines[0].starts_with("portwatch: cannot trace here: "), "{stderr}");
    assert!(lines[1].starts_with("hint: "), "{stderr}");
}
