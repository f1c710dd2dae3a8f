//! A snapshot as a person sees it.

use std::sync::Arc;

use super::{CLEAR, Fit, shown};
use crate::event::{
    BootNs, CgroupId, Holder, Holding, Namespace, NetnsId, Occupancy, PortRange, Process, Protocol, Scope,
    Snapshot, SocketState, Text, Tgid,
};
use crate::term::{Paint, Size};

fn process(tgid: u32, comm: &[u8], count: u32) -> Holding {
    let process = Process {
        tgid: Tgid(tgid),
        start: BootNs(1),
        tid: None,
        comm: Text(comm.to_vec()),
        uid: 0,
        gid: 0,
        cgroup: CgroupId(1),
        details: Arc::default(),
    };
    Holding { holder: Holder::Process(process), count, time_wait: 0 }
}

fn row(used: u32, by_state: &[(SocketState, u32)], holders: Vec<Holding>) -> Occupancy {
    Occupancy {
        netns: NetnsId(4_026_531_840),
        protocol: Protocol::Tcp,
        source: Some([127, 0, 0, 1].into()),
        destination: Some(([127, 0, 0, 1], 8080).into()),
        device: 0,
        used,
        usable: 98,
        by_state: by_state.to_vec(),
        holders,
        time_wait: None,
        open_since: None,
    }
}

/// A full row, one with many holders and a device, one of what is bound.
fn snapshot() -> Snapshot {
    let nobody = |holder, count| Holding { holder, count, time_wait: 0 };
    let (established, time_wait) = (SocketState::Established, SocketState::TimeWait);
    let holders = vec![nobody(Holder::TimeWait, 90), process(132, b"cu\x1b[31mrl", 8)];
    let full = row(98, &[(time_wait, 90), (established, 8)], holders);
    let many = (1..6).map(|pid| process(pid, b"a", 9)).chain([nobody(Holder::NotFound, 4)]).collect();
    let half = Occupancy { device: 3, ..row(49, &[(established, 49)], many) };
    let bound = Occupancy {
        source: None,
        destination: None,
        usable: 100,
        ..row(2, &[(SocketState::Listen, 2)], vec![nobody(Holder::Closed, 2)])
    };
    Snapshot {
        at: BootNs(0),
        boot_offset_ns: 0,
        namespaces: vec![Namespace {
            bound: 2,
            ..Namespace::own(NetnsId(4_026_531_840), PortRange { low: 40000, high: 40099 })
        }],
        scope: Scope::default(),
        hosts_range: None,
        rows: vec![full, half, bound],
        sockets: 149,
        repeated: 0,
        bound_visible: Some(true),
        limits: Vec::new(),
    }
}

#[test]
fn the_fullest_row_stands_first_and_says_who_holds_what() {
    let text = shown(&snapshot(), &[], &Fit::default(), "now", Paint::Plain);
    let expected = "\
network namespace 4026531840: local port range 40000-40099, 0 of them reserved, 2 bound
FULL   USED  USABLE  SOURCE     DESTINATION                   STATES                       HELD BY
100%     98      98  127.0.0.1  127.0.0.1:8080                TIME_WAIT 90, ESTABLISHED 8  nobody (TIME_WAIT) 90, cu\\u{1b}[31mrl (pid 132) 8
 50%     49      98  127.0.0.1  127.0.0.1:8080 (interface 3)  ESTABLISHED 49               a (pid 1) 9, a (pid 2) 9, a (pid 3) 9, 3 more
  2%      2     100  any        any                           LISTEN 2                     nobody (closed) 2

any: ports that TCP sockets listen on or are bound to. No connect() gets one of them, wherever it goes; the usable ports of the other rows are without them
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn rows_of_several_namespaces_say_where_they_are() {
    let other = Namespace { id: NetnsId(4_026_531_999), ..snapshot().namespaces[0].clone() };
    let udp = Occupancy {
        netns: other.id,
        protocol: Protocol::Udp,
        source: None,
        destination: None,
        ..row(1, &[(SocketState::Bound, 1)], Vec::new())
    };
    let namespaces = vec![snapshot().namespaces[0].clone(), other];
    let several = Snapshot { namespaces, rows: vec![row(49, &[], Vec::new()), udp], ..snapshot() };
    let expected = "\
FULL   USED  USABLE  SOURCE     DESTINATION     PORT RANGE   NETNS       STATES      HELD BY
 50%     49      98  127.0.0.1  127.0.0.1:8080  40000-40099  4026531840
  1%      1      98  any        udp any         40000-40099  4026531999  bound 1

udp any: ports that a UDP socket without one does not get, wherever it sends
";
    let text = shown(&several, &[], &Fit::default(), "now", Paint::Plain);
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn rows_that_have_no_room_are_counted() {
    let low = || Some(Size { columns: 40, lines: 8 });
    let cases: [(&str, Fit, usize); 4] = [
        ("everything, where there is no terminal", Fit::default(), 3),
        ("as many as were asked for", Fit { top: Some(1), ..Fit::default() }, 1),
        ("at least some on the lowest terminal", Fit { size: Some(low), ..Fit::default() }, 3),
        (
            "as many as were asked for on any terminal",
            Fit { top: Some(2), size: Some(low), watching: true },
            2,
        ),
    ];
    for (what, fit, rows) in cases {
        let text = shown(&snapshot(), &[], &fit, "now", Paint::Plain);
        assert_eq!(text.lines().filter(|line| line.contains("% ")).count(), rows, "{what}:\n{text}");
        let left_out = text.lines().find(|line| line.starts_with("… and "));
        assert_eq!(left_out.is_some(), rows < 3, "{what}:\n{text}");
    }
    let text = shown(&snapshot(), &[], &Fit { top: Some(1), ..Fit::default() }, "now", Paint::Plain);
    assert!(text.contains("\n… and 2 more rows less full; --top N shows N rows, --json all\n"), "{text}");
}

#[test]
fn watching_redraws_a_screen_within_its_width_and_lists_elsewhere() {
    let narrow = || Some(Size { columns: 30, lines: 50 });
    let text =
        shown(&snapshot(), &[], &Fit { top: None, size: Some(narrow), watching: true }, "now", Paint::Plain);
    let screen = text.strip_prefix(CLEAR).unwrap();
    assert!(screen.starts_with("now, 149 sockets\nnetwork namespace 402"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 30), "{screen}");
    let fit = Fit { watching: true, ..Fit::default() };
    let list = shown(&snapshot(), &[], &fit, "now", Paint::Plain);
    assert!(list.starts_with("now, 149 sockets\nnetwork namespace 402") && list.ends_with("\n\n"), "{list}");
    let coloured = shown(&snapshot(), &[], &Fit::default(), "now", Paint::Coloured);
    assert_eq!(coloured.matches("\x1b[1;31m100%").count(), 1, "{coloured}");
    assert!(!coloured.contains("\x1b[31m"), "names of processes paint nothing: {coloured}");
}

#[test]
fn what_could_not_be_seen_is_said_and_emptiness_too() {
    let empty = Snapshot { rows: Vec::new(), ..snapshot() };
    let text = shown(&empty, &[], &Fit::default(), "now", Paint::Plain);
    assert_eq!(text, "no port of 40000-40099 is in use in namespace 4026531840; 0 are reserved\n");
    let said = |snapshot: Snapshot| shown(&snapshot, &[], &Fit::default(), "now", Paint::Plain);
    assert!(
        said(Snapshot { bound_visible: Some(false), ..snapshot() })
            .contains("can exhaust a range that looks empty")
    );
    assert!(said(Snapshot { bound_visible: None, ..snapshot() }).contains("it is not known whether"));
    assert!(said(Snapshot { repeated: 1, ..snapshot() }).contains("note: 1 read begun again"));
    assert!(said(Snapshot { limits: vec!["x".to_owned()], ..snapshot() }).contains("\nnote: x\n"));
}
