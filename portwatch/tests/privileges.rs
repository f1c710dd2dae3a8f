//! What commands of the user have that portwatch starts, on this very host, where it can be traced at all.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portwatch_tests::portwatch::ready_or_skipped;

/// Lines of /proc/PID/status that tell what a process may do.
const RIGHTS: [&str; 7] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:"];

fn rights(status: &str) -> Vec<&str> {
    status.lines().filter(|line| RIGHTS.iter().any(|name| line.starts_with(name))).collect()
}

fn wait_for(path: &Path) -> String {
    let since = Instant::now();
    loop {
        // The last line of status stands for the whole.
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains("nonvoluntary_ctxt_switches") {
            return text;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{} was not written", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn commands_that_are_started_have_what_the_user_has() {
    let folder = tempfile::tempdir().unwrap();
    let [capture, meanwhile, at_failure] =
        ["capture", "meanwhile", "at-failure"].map(|name| folder.path().join(name));
    let tells = |path: &Path| format!("cat /proc/self/status > {}", path.display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_portwatch"))
        .args([
            "record",
            "--quiet",
            "-o",
            capture.to_str().unwrap(),
            "--on-failure-exec",
            &tells(&at_failure),
        ])
        .args(["--", "sh", "-c", &format!("{}; exec sleep 1000", tells(&meanwhile))])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if ready_or_skipped(&mut child).unwrap().is_none() {
        return;
    }
    let _ = UdpSocket::bind("192.0.2.7:53").unwrap_err();
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    for (what, path) in [("-- COMMAND", &meanwhile), ("--on-failure-exec", &at_failure)] {
        assert_eq!(rights(&wait_for(path)), rights(&own), "{what}");
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
}
