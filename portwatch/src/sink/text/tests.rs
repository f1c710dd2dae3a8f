//! What a person sees, to the letter.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{GroupBy, Sink as _, Text as TextSink};
use crate::event::{
    BootNs, CgroupId, Container, Details, End, Failure, Fault, Filter, Item, LossReason, Lost, NetnsId,
    NoRoom, PortRange, Process, Row, Runtime, SearchRow, SearchTimes, Searches, SettingChange, Stage, Start,
    State, Summary, Text, Tgid, Tid,
};
use crate::term::Paint;

fn fault(address: &str, stage: Stage) -> Fault {
    Fault { stage, ..Fault::no_port(address.parse::<SocketAddr>().unwrap()) }
}

fn process(tgid: u32, comm: &[u8], details: State) -> Process {
    Process {
        tgid: Tgid(tgid),
        start: BootNs(1),
        tid: Some(Tid(tgid)),
        comm: Text(comm.to_vec()),
        uid: 0,
        gid: 0,
        cgroup: CgroupId(1),
        details: details.into(),
    }
}

fn failure(comm: &[u8], destination: &str, details: State) -> Item {
    Item::Failure(Failure {
        at: BootNs(2_123_000_000),
        fault: fault(destination, Stage::PortSearch),
        process: process(4711, comm, details),
        netns: NetnsId(4_026_531_840),
        source: "127.0.0.1:0".parse().unwrap(),
        port_range: PortRange { low: 32768, high: 60999 },
        own_range: None,
        search: None,
    })
}

fn row(tgid: u32, comm: &[u8], destination: &str, count: u64) -> Row {
    Row {
        process: process(tgid, comm, State::NotRead),
        netns: NetnsId(4_026_531_840),
        fault: fault(destination, Stage::PortSearch),
        count,
        first: BootNs(2_000_000_000),
        last: BootNs(3_000_000_000),
    }
}

fn shown(items: Vec<Item>) -> String {
    grouped(GroupBy::Process, items)
}

fn grouped(by: GroupBy, items: Vec<Item>) -> String {
    let start = Start {
        version: "0".to_owned(),
        host: Text(b"h".to_vec()),
        kernel: "6.1".to_owned(),
        hooks: Vec::new(),
        limits: Vec::new(),
        at: BootNs(0),
        boot_offset_ns: 1_700_000_000_000_000_000,
        filter: Filter::default(),
        warn_permille: None,
        part: None,
        first_part: None,
    };
    let mut output = Vec::new();
    let mut sink = TextSink::new(&mut output, Paint::Plain, TimeZone::UTC).grouped(by);
    for item in [vec![Item::Start(start)], items].concat() {
        sink.item(&item, &[]).unwrap();
    }
    String::from_utf8(output).unwrap()
}

fn end(failures: u64, delivered: u64, lost: Vec<(LossReason, u64)>) -> Item {
    let suppressed = failures - delivered - lost.iter().map(|(_, count)| count).sum::<u64>();
    Item::End(End {
        failures,
        delivered,
        suppressed,
        beyond_count: suppressed,
        lost,
        skipped_runs: Some(0),
        possibly_missed: Some(0),
        owners: None,
        no_room: NoRoom::default(),
        sysctls_lost: 0,
        lookups_unanswered: 0,
        watched: Duration::from_millis(1250),
    })
}

#[test]
fn a_failure_is_one_line_below_one_heading() {
    let read = State::Alive { exe: Some(Text(b"/usr/bin/curl".to_vec())), cmdline: None };
    let text = shown(vec![
        failure(b"curl", "127.0.0.1:8080", read),
        failure(b"curl", "[2001:db8:1:2:3:4:5:6]:443", State::Exited),
        failure(b"curl", "127.0.0.1:8080", State::NotRead),
    ]);
    let expected = "\
TIME (UTC)    PID      COMM             ERRNO          SOURCE           DESTINATION            PORT RANGE   CAUSE              NETNS       EXE
22:13:22.123  4711     curl             EADDRNOTAVAIL  127.0.0.1        127.0.0.1:8080         32768-60999  range_exhausted    4026531840  /usr/bin/curl
22:13:22.123  4711     curl             EADDRNOTAVAIL  127.0.0.1        [2001:db8:1:2:3:4:5:6]:443  32768-60999  range_exhausted    4026531840  (exited)
22:13:22.123  4711     curl             EADDRNOTAVAIL  127.0.0.1        127.0.0.1:8080              32768-60999  range_exhausted    4026531840  -
";
    assert_eq!(text, expected);
}

/// In this unit, and in a container of this number of digits.
fn details(state: State, unit: &str, digits: usize) -> Details {
    let id = Text(b"3f084b4c7b789c1a"[..digits].to_vec());
    let container = (digits > 0).then_some(Container { id, runtime: Some(Runtime::Docker), name: None });
    Details { unit: Some(Text(unit.as_bytes().to_vec())), container, ..Details::from(state) }
}

#[test]
fn a_line_ends_with_where_the_process_runs_also_when_it_has_ended() {
    let cases = [
        (details(State::Exited, "nginx.service", 0), "(exited) in nginx.service"),
        (details(State::NotRead, "docker-x.scope", 16), "- in docker 3f084b4c7b78"),
        (details(State::Exited, "a\x1b[2J.service", 0), "(exited) in a\\u{1b}[2J.service"),
    ];
    for (details, expected) in cases {
        let Item::Failure(mut failed) = failure(b"curl", "127.0.0.1:8080", State::NotRead) else { panic!() };
        failed.process.details = details.into();
        let text = shown(vec![Item::Failure(failed)]);
        assert!(text.lines().nth(1).unwrap().ends_with(&format!("  {expected}")), "{text}");
    }
}

#[test]
fn the_summary_counts_together_what_was_asked_for() {
    let mut rows = [
        row(1, b"curl", "127.0.0.1:8080", 2),
        row(2, b"wget", "127.0.0.1:8080", 3),
        row(3, b"nc", "127.0.0.1:8080", 1),
    ];
    for row in &mut rows[..2] {
        row.process.details = details(State::Exited, "shop.service", 16).into();
    }
    let cases = [
        (
            GroupBy::Process,
            "PROCESS",
            vec!["3         wget (pid 2)", "2         curl (pid 1)", "1         nc (pid 3)"],
        ),
        (
            GroupBy::Unit,
            "UNIT",
            vec!["5         shop.service (2 processes)", "1         (no unit) (1 process)"],
        ),
        (
            GroupBy::Container,
            "CONTAINER",
            vec!["5         docker 3f084b4c7b789c1a (2 processes)", "1         (no container) (1 process)"],
        ),
        (GroupBy::Pod, "POD", vec!["6         (no pod) (3 processes)"]),
        (GroupBy::Destination, "PROCESSES", vec!["6         3 processes"]),
    ];
    for (by, heading, expected) in cases {
        let summary = Item::Summary(Summary { rows: rows.to_vec(), other: 0 });
        let text = grouped(by, vec![summary, end(6, 6, Vec::new())]);
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let at = lines.iter().position(|line| line.starts_with("COUNT")).unwrap();
        assert_eq!(lines[at].split_whitespace().nth(1), Some(heading), "{text}");
        let found: Vec<&str> = lines[at + 1..at + 1 + expected.len()].to_vec();
        for (found, expected) in found.iter().zip(&expected) {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert!(words(found).starts_with(&words(expected)), "{by:?}: {found}");
        }
        assert_eq!(lines[at + 1 + expected.len()], "", "{text}");
    }
}

#[test]
fn that_proc_did_not_answer_is_said_at_the_end() {
    let text = shown(vec![Item::End(End { lookups_unanswered: 2, ..End::default() })]);
    assert!(text.contains("\nnote: 2 times /proc did not tell in time who a process is"), "{text}");
}

#[test]
fn a_name_cannot_act_on_the_terminal_or_forge_a_line() {
    let text = shown(vec![failure(b"a\x1b[2J\nb\xff", "127.0.0.1:1", State::NotRead)]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("a\\u{1b}[2J\\nb\\xff"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn processes_of_one_program_share_a_row_of_the_summary() {
    let rows = vec![
        row(1, b"curl", "127.0.0.1:8080", 2),
        row(2, b"curl", "127.0.0.1:8080", 3),
        row(3, b"wget", "127.0.0.1:8080", 1),
    ];
    let text = shown(vec![Item::Summary(Summary { rows, other: 0 }), end(6, 6, Vec::new())]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "6 failures in 1.2 s: 6 shown");
    assert!(lines[3].starts_with("       5  curl (2 processes)"), "{text}");
    assert!(lines[4].starts_with("       1  wget (pid 3)"), "{text}");
    assert!(lines[6].starts_with("range_exhausted: no port of the local range is free"), "{text}");
}

#[test]
fn what_was_lost_is_said_where_it_happened_and_at_the_end() {
    let lost = Lost { reason: LossReason::RingFull, count: 4, from: BootNs(0), to: BootNs(1_000_000_000) };
    let text = shown(vec![Item::Lost(lost), end(6, 1, vec![(LossReason::RingFull, 4)])]);
    let expected = "\
lost: 4 failures without detail (the kernel's ring was full); the summary counts them; 22:13:20.000 to 22:13:21.000
6 failures in 1.2 s: 1 shown, 1 after --count was reached, 4 lost (the kernel's ring was full)
";
    assert_eq!(text, expected);
}

#[test]
fn runs_that_the_kernel_skipped_are_told() {
    let end = End { failures: 1, delivered: 1, skipped_runs: Some(2), ..End::default() };
    for (missed, expected) in
        [(0, "other programs saw all that failed there"), (1, "at most 1 failure can be missing")]
    {
        let text = shown(vec![Item::End(End { possibly_missed: Some(missed), ..end.clone() })]);
        assert!(text.contains("\nnote: the kernel skipped 2 runs of the programs"), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let lost = Lost { reason: LossReason::SkippedRun, count: 2, from: BootNs(0), to: BootNs(1) };
    assert!(shown(vec![Item::Lost(lost)]).starts_with("lost: the kernel skipped 2 runs"));
}

#[test]
fn what_tables_had_no_room_for_is_told_by_what_it_costs() {
    let no_room = NoRoom { callers: 3, details: 1, repeats: 0, owners: 2 };
    let text = shown(vec![Item::End(End { no_room, ..End::default() })]);
    let expected = "\
no failures in 0.0 s
note: tables of the kernel side were full: 3 connects of which nobody would know who called, had the network refused them
note: tables of the kernel side were full: 1 failure told with less detail: the cause may be unknown
note: tables of the kernel side were full: 2 connects forgotten within a minute: in TIME_WAIT they are nobody's; --holders=N remembers more
";
    assert_eq!(text, expected);
}

fn change(key: &[u8], old: Option<&str>, new: &str, by: Option<&[u8]>) -> Item {
    Item::Sysctl(SettingChange {
        at: BootNs(2_123_000_000),
        key: Text(key.to_vec()),
        netns: NetnsId(4),
        old: old.map(str::to_owned),
        new: new.to_owned(),
        by: by.map(|comm| process(4711, comm, State::NotRead)),
    })
}

#[test]
fn a_setting_that_is_changed_is_a_line_of_its_own() {
    let (range, reserved) = (b"net.ipv4.ip_local_port_range", b"net.ipv4.ip_local_reserved_ports");
    let text = shown(vec![
        change(range, Some("32768 60999"), "1024 65535", Some(b"sysctl")),
        change(reserved, Some(""), "8080", None),
        change(reserved, None, &"1,".repeat(100), Some(b"a\x1b[2J\n\xff")),
        change(b"net.ipv6.conf.a\x1b[2J\n.disable_ipv6", Some("0"), "1", None),
    ]);
    let expected = format!(
        "\
22:13:22.123  setting net.ipv4.ip_local_port_range: 32768 60999 -> 1024 65535, by sysctl (pid 4711), netns 4
22:13:22.123  setting net.ipv4.ip_local_reserved_ports: (empty) -> 8080, netns 4
22:13:22.123  setting net.ipv4.ip_local_reserved_ports: ? -> {}… (140 more characters), by a\\u{{1b}}[2J\\n\\xff (pid 4711), netns 4
22:13:22.123  setting net.ipv6.conf.a\\u{{1b}}[2J\\n.disable_ipv6: 0 -> 1, netns 4
",
        "1,".repeat(30)
    );
    assert_eq!(text, expected);
}

#[test]
fn changes_that_were_not_told_are_told_at_the_end() {
    let text = shown(vec![Item::End(End { sysctls_lost: 2, ..End::default() })]);
    assert!(text.contains("\nnote: at most 2 changes of settings can be missing above"), "{text}");
}

#[test]
fn searches_beyond_the_table_and_those_not_measured_are_told() {
    let times = |count, slow| SearchTimes {
        count,
        slow,
        total: Duration::from_micros(2 * count),
        longest: Duration::from_micros(150),
    };
    let row = SearchRow {
        netns: NetnsId(4),
        source: "127.0.0.1".parse().unwrap(),
        destination: "127.0.0.1:8080".parse().unwrap(),
        times: times(7, 0),
    };
    let all = Searches { rows: vec![row], other: times(5, 1), unmeasured: 2 };
    let text = shown(vec![Item::Searches(all), Item::End(End::default())]);
    let expected = "\
no failures in 0.0 s

SEARCHES   >100 µs   AVERAGE   LONGEST  SOURCE           DESTINATION            NETNS
       7         0    2.0 µs    150 µs  127.0.0.1        127.0.0.1:8080         4
5 more, of destinations beyond the table's bound: 1 took 100 µs or longer, 2.0 µs on average, 150 µs the longest
2 more could not be measured: when they began was not seen
Searches get slow when half of the range is in use towards a destination, long before one fails.
";
    assert_eq!(text, expected);
    let none = shown(vec![Item::Searches(Searches::default()), Item::End(End::default())]);
    assert!(none.ends_with("\nno search for a port was measured\n"), "{none}");
}

#[test]
fn a_quiet_host_gets_one_line() {
    assert_eq!(
        shown(vec![Item::Summary(Summary::default()), end(0, 0, Vec::new())]),
        "no failures in 1.2 s\n"
    );
}
