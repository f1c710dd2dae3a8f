//! A kernel that is locked down for confidentiality. There is no way back, and tests run in the order of their names:
//! what needs a kernel that is not stands before this.

use caps::Capability;
use nix::errno::Errno;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Watching, command};
use portwatch_tests::tally;
use socket2::{Domain, Socket, Type};

use crate::privileges::assert_enough;

/// Locks down; false where the kernel cannot be.
fn locked_down() -> bool {
    let path = "/sys/kernel/security/lockdown";
    if std::fs::metadata(path).is_err() {
        println!("skipped: this kernel has no lockdown");
        return false;
    }
    let level = std::fs::read_to_string(path).unwrap();
    if !level.contains("[confidentiality]") {
        std::fs::write(path, "confidentiality").unwrap();
    }
    true
}

#[test]
fn root_sees_what_it_saw() {
    if !locked_down() {
        return;
    }
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("127.0.0.1:8080", 10).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "5"]).unwrap();
    let refused = Socket::new(Domain::IPV4, Type::STREAM, None)
        .unwrap()
        .bind(&"192.0.2.7:80".parse::<std::net::SocketAddr>().unwrap().into());
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(Errno::EADDRNOTAVAIL as i32));
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 6, "{}", session.stdout);
    let causes: Vec<_> = session.failures().map(|failure| failure["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, [&["range_exhausted"; 5][..], &["address_not_local"]].concat());
    for failure in session.failures().take(5) {
        assert_eq!(failure["process"]["pid"], tally.pid, "{failure}");
        assert_eq!(failure["netns"], netns.id, "{failure}");
    }
}

#[test]
fn two_capabilities_are_enough() {
    if locked_down() {
        assert_enough(&[Capability::CAP_BPF, Capability::CAP_PERFMON]);
    }
}

#[test]
fn tracepoints_are_refused_with_a_reason() {
    if !locked_down() {
        return;
    }
    let output = command(&["trace", "--mode", "tracepoints"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("locked down for confidentiality"), "{said}");
}
