//! What a person sees.

use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::Watching;
use portwatch_tests::tally;

#[test]
fn a_line_a_failure_and_a_summary() {
    let netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace"]).unwrap();
    let tally = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
    let session = watching.end().unwrap();
    let lines: Vec<&str> = session.stdout.lines().collect();
    assert!(lines[0].starts_with("TIME ("), "{}", session.stdout);
    let of_process = |line: &&&str| line.split_whitespace().nth(1) == Some(&tally.pid.to_string());
    assert_eq!(lines.iter().filter(of_process).count(), 3, "{}", session.stdout);
    for line in lines.iter().filter(of_process) {
        for word in ["loadgen", "EADDRNOTAVAIL", "127.0.0.1:8080", "40000-40003", "range_exhausted"] {
            assert!(line.contains(word), "{word} in {line}");
        }
        assert!(line.contains(&netns.id.to_string()), "{line}");
    }
    let summary = format!("3  loadgen (pid {})", tally.pid);
    assert!(session.stdout.contains("3 failures in "), "{}", session.stdout);
    assert!(session.stdout.contains(&summary), "{}", session.stdout);
}

#[test]
fn nothing_to_report_is_said_too() {
    let session = Watching::start(&["trace", "--duration", "100ms"]).unwrap().wait().unwrap();
    assert!(session.stdout.starts_with("no failures in 0."), "{}", session.stdout);
}
