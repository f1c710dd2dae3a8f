//! Lines to the letter, and strings that were chosen to do harm.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::{Json, Sink as _};
use crate::event::{
    BootNs, Call, CgroupId, Destination, End, Failure, Fault, Holder, Holding, Item, LossReason, Lost,
    Namespace, NetnsId, NoRoom, Occupancy, PortRange, Process, Protocol, Row, Scope, SearchTimes, Searches,
    SettingChange, Settings, Snapshot, SocketState, Stage, State, Summary, Text, Tgid, Tid, TimeWait,
};

fn process(comm: &[u8], details: State) -> Process {
    Process {
        tgid: Tgid(7),
        start: BootNs(5),
        tid: Some(Tid(8)),
        comm: Text(comm.to_vec()),
        uid: 1,
        gid: 2,
        cgroup: CgroupId(3),
        details: details.into(),
    }
}

fn fault() -> Fault {
    Fault { had_port: true, ..Fault::no_port("[2001:db8::1]:443".parse::<SocketAddr>().unwrap()) }
}

fn failure(process: Process) -> Item {
    Item::Failure(Failure {
        at: BootNs(9),
        fault: fault(),
        process,
        netns: NetnsId(4),
        source: "[2001:db8::2]:41000".parse().unwrap(),
        port_range: PortRange { low: 32768, high: 60999 },
        own_range: None,
        search: None,
    })
}

fn line(item: &Item) -> String {
    let mut output = Vec::new();
    Json::new(&mut output).item(item, &[]).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn a_failure_has_its_fields_in_their_order() {
    let details = State::Alive {
        exe: Some(Text(b"/bin/x".to_vec())),
        cmdline: Some(vec![Text(b"x".to_vec()), Text(b"--y".to_vec())]),
    };
    let expected = concat!(
        r#"{"type":"failure","time":"1970-01-01T00:00:00.000000009Z","monotonic_ns":9,"call":"connect","#,
        r#""protocol":"tcp","errno":"EADDRNOTAVAIL","errno_code":99,"cause":"tuple_in_use","stage":"port_search","#,
        r#""had_port":true,"process":{"pid":7,"tid":8,"comm":"x","start_ns":5,"uid":1,"gid":2,"cgroup":3,"#,
        r#""exe":"/bin/x","cmdline":["x","--y"]},"netns":4,"family":"ipv6","#,
        r#""source":{"address":"2001:db8::2","port":41000},"destination":{"address":"2001:db8::1","port":443},"#,
        r#""port_range":{"low":32768,"high":60999}}"#,
        "\n"
    );
    assert_eq!(line(&failure(process(b"x", details))), expected);
    assert!(line(&failure(process(b"x", State::Exited))).contains(r#""cgroup":3,"exited":true}"#));
}

#[test]
fn a_setting_that_is_changed_has_what_is_known() {
    let change = |key: &[u8], old: Option<&str>, by| {
        Item::Sysctl(SettingChange {
            at: BootNs(9),
            key: Text(key.to_vec()),
            netns: NetnsId(4),
            old: old.map(str::to_owned),
            new: "1 2".to_owned(),
            by,
        })
    };
    let head = r#"{"type":"sysctl","time":"1970-01-01T00:00:00.000000009Z","monotonic_ns":9,"#;
    let cases = [
        (
            change(b"net.x", Some("0 1"), Some(process(b"y", State::Exited))),
            r#""key":"net.x","netns":4,"old":"0 1","new":"1 2","process":{"pid":7,"tid":8,"comm":"y","start_ns":5,"uid":1,"gid":2,"cgroup":3,"exited":true}}"#,
        ),
        (change(b"net.x", None, None), r#""key":"net.x","netns":4,"new":"1 2"}"#),
        (
            change(b"a\xff\x1b", Some(""), None),
            r#""key":"a�\u001b","key_hex":"61ff1b","netns":4,"old":"","new":"1 2"}"#,
        ),
    ];
    for (item, rest) in cases {
        assert_eq!(line(&item), format!("{head}{rest}\n"));
    }
    assert!(line(&Item::End(End { sysctls_lost: 2, ..End::default() })).contains(r#""sysctls_lost":2"#));
    assert!(!line(&Item::End(End::default())).contains("sysctls"));
}

#[test]
fn no_string_reaches_a_terminal_as_a_control_and_all_come_back() {
    for name in ["\u{1b}[2J", "a\nb", "\u{9b}31m", "\u{7f}", "a\u{202e}b", "\u{e0041}", "größe \"東京\" \\"]
    {
        let line = line(&failure(process(name.as_bytes(), State::NotRead)));
        assert!(line.trim_end().chars().all(crate::term::shows), "{line:?}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["process"]["comm"], name);
        assert_eq!(value["process"]["comm_hex"], Value::Null);
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_there_as_bytes_too() {
    let details =
        State::Alive { exe: None, cmdline: Some(vec![Text(b"ok".to_vec()), Text(b"\xff".to_vec())]) };
    let value: Value = serde_json::from_str(&line(&failure(process(b"a\xffb", details)))).unwrap();
    assert_eq!(value["process"]["comm"], "a\u{fffd}b");
    assert_eq!(value["process"]["comm_hex"], "61ff62");
    assert_eq!(value["process"]["cmdline_hex"], serde_json::json!(["6f6b", "ff"]));
}

#[test]
fn losses_summary_and_end_say_what_they_count() {
    let lost = Lost { reason: LossReason::QueueFull, count: 3, from: BootNs(1), to: BootNs(2) };
    let expected = r#"{"type":"lost","time":"1970-01-01T00:00:00.000000002Z","reason":"queue_full","count":3,"from_ns":1,"to_ns":2}"#;
    assert_eq!(line(&Item::Lost(lost)).trim_end(), expected);

    let row = Row {
        process: Process { tid: None, ..process(b"x", State::NotRead) },
        netns: NetnsId(4),
        fault: fault(),
        count: 5,
        first: BootNs(1),
        last: BootNs(2),
    };
    let value: Value =
        serde_json::from_str(&line(&Item::Summary(Summary { rows: vec![row], other: 1 }))).unwrap();
    assert_eq!((&value["rows"][0]["count"], &value["other"]), (&5.into(), &1.into()));
    assert_eq!(value["rows"][0]["process"]["tid"], Value::Null);

    let end = End {
        failures: 9,
        delivered: 6,
        lost: vec![(LossReason::QueueFull, 3)],
        watched: Duration::from_nanos(7),
        ..End::default()
    };
    let expected =
        r#"{"type":"end","failures":9,"delivered":6,"suppressed":0,"lost":{"queue_full":3},"watched_ns":7}"#;
    assert_eq!(line(&Item::End(end)).trim_end(), expected);

    let no_room = NoRoom { callers: 2, details: 0, repeats: 1, owners: 4 };
    let end = End { no_room, owners: Some(9), ..End::default() };
    let value: Value = serde_json::from_str(&line(&Item::End(end))).unwrap();
    assert_eq!(value["no_room"], serde_json::json!({ "callers": 2, "repeats": 1, "owners": 4 }));
    assert_eq!(value["owners"], 9);
}

#[test]
fn searches_are_rows_and_what_is_in_none() {
    let other = SearchTimes { count: 3, total: Duration::from_nanos(17), ..SearchTimes::default() };
    let expected = concat!(
        r#"{"type":"searches","rows":[],"other":{"count":3,"slow":0,"average_ns":5,"longest_ns":0,"total_ns":17},"#,
        r#""unmeasured":1}"#
    );
    let searches = Searches { rows: Vec::new(), other, unmeasured: 1 };
    assert_eq!(line(&Item::Searches(searches)).trim_end(), expected);
}

#[test]
fn a_bind_says_which_address_it_wanted_and_has_no_destination() {
    let Item::Failure(failure) = failure(process(b"x", State::NotRead)) else { panic!("no failure") };
    let address = "192.0.2.1:0".parse().unwrap();
    let fault = Fault { call: Call::Bind, stage: Stage::Bind, address, had_port: false, ..fault() };
    let row = Row {
        process: process(b"x", State::NotRead),
        netns: NetnsId(4),
        fault,
        count: 1,
        first: BootNs(1),
        last: BootNs(1),
    };
    let own_range = Some(PortRange { low: 40000, high: 40001 });
    let search = Some(Duration::from_nanos(42));
    let lines = [
        line(&Item::Failure(Failure { fault, source: address, own_range, search, ..failure })),
        line(&Item::Summary(Summary { rows: vec![row], other: 0 })),
    ];
    let [line, summary]: [Value; 2] = lines.map(|line| serde_json::from_str(&line).unwrap());
    for value in [&line, &summary["rows"][0]] {
        assert_eq!((&value["call"], &value["cause"]), (&"bind".into(), &"address_not_local".into()));
        assert_eq!(value["source"], serde_json::json!({ "address": "192.0.2.1", "port": 0 }));
        assert_eq!(value["destination"], serde_json::json!({ "address": "0.0.0.0", "port": 0 }));
    }
    assert_eq!(line["socket_port_range"], serde_json::json!({ "low": 40000, "high": 40001 }));
    assert_eq!(line["search_ns"], 42);
}

#[test]
fn a_snapshot_is_a_line_and_one_for_each_row() {
    let netns = NetnsId(4);
    let holding = |holder, count, time_wait| Holding { holder, count, time_wait };
    let row = Occupancy {
        netns,
        protocol: Protocol::Tcp,
        source: Some([10, 0, 0, 1].into()),
        destination: Some(([10, 0, 0, 2], 443).into()),
        device: 3,
        used: 3,
        usable: 6,
        by_state: vec![(SocketState::TimeWait, 2), (SocketState::FinWait2, 1)],
        holders: vec![
            holding(Holder::TimeWait, 1, 1),
            holding(Holder::Process(process(b"y", State::Exited)), 1, 1),
            holding(Holder::Processes { comm: Some(Text(b"z\xff".to_vec())), number: 3, exited: true }, 3, 2),
            holding(Holder::NotFound, 1, 0),
        ],
        time_wait: Some(TimeWait { last_10_s: 1, over_in_s: 42 }),
        open_since: None,
    };
    let any = Occupancy {
        source: None,
        destination: None,
        device: 0,
        used: 1,
        usable: 7,
        by_state: vec![(SocketState::Bound, 1)],
        holders: vec![holding(Holder::Process(process(b"x", State::Exited)), 1, 0)],
        time_wait: None,
        open_since: Some(BootNs(7)),
        ..row.clone()
    };
    let range = PortRange { low: 40000, high: 40009 };
    let snapshot = Snapshot {
        at: BootNs(9),
        boot_offset_ns: 1,
        namespaces: vec![Namespace {
            id: netns,
            range,
            reserved: 3,
            bound: 1,
            reserved_ports: vec![PortRange { low: 40000, high: 40002 }],
            listeners: vec![22],
            settings: Settings { tcp_tw_reuse: Some(2), ..Settings::default() },
            is_own: true,
            is_hosts: Some(true),
        }],
        scope: Scope {
            towards: Some(Destination { network: None, port: Some(443) }),
            bind: Some([10, 0, 0, 1].into()),
            rows_left_out: 4,
            all_namespaces: true,
        },
        hosts_range: Some(range),
        rows: vec![row, any],
        sockets: 5,
        repeated: 0,
        bound_visible: None,
        limits: vec!["a".to_owned()],
    };
    let expected = [
        concat!(
            r#"{"type":"snapshot","schema":1,"portwatch":""#,
            env!("CARGO_PKG_VERSION"),
            r#"","time":"1970-01-01T00:00:00.000000010Z","monotonic_ns":9,"boot_offset_ns":1,"#,
            r#""towards":{"network":null,"port":443},"bind":"10.0.0.1","#,
            r#""all_namespaces":true,"namespaces":[{"netns":4,"port_range":{"low":40000,"high":40009},"reserved":3,"bound":1,"#,
            r#""reserved_ports":[{"low":40000,"high":40002}],"listeners":[22],"settings":{"tcp_tw_reuse":2},"#,
            r#""own":true,"hosts_own":true}],"hosts_port_range":{"low":40000,"high":40009},"#,
            r#""rows":2,"rows_left_out":4,"sockets":5,"repeated":0,"limits":["a"]}"#,
        ),
        concat!(
            r#"{"type":"ports","time":"1970-01-01T00:00:00.000000010Z","monotonic_ns":9,"netns":4,"protocol":"tcp","#,
            r#""source":"10.0.0.1","destination":{"address":"10.0.0.2","port":443},"device":3,"used":3,"usable":6,"#,
            r#""port_range":{"low":40000,"high":40009},"reserved":3,"bound_by_others":1,"#,
            r#""by_state":{"time_wait":2,"fin_wait2":1},"time_wait":{"last_10_s":1,"over_in_s":42},"#,
            r#""holders":[{"unknown":"time_wait","count":1},{"process":{"pid":7,"tid":8,"comm":"y","start_ns":5,"uid":1,"#,
            r#""gid":2,"cgroup":3,"exited":true},"count":1,"time_wait":1},"#,
            r#"{"processes":{"comm":"z�","comm_hex":"7aff","number":3,"exited":true},"count":3,"time_wait":2},"#,
            r#"{"unknown":"not_found","count":1}]}"#,
        ),
        concat!(
            r#"{"type":"ports","time":"1970-01-01T00:00:00.000000010Z","monotonic_ns":9,"netns":4,"protocol":"tcp","#,
            r#""used":1,"usable":7,"port_range":{"low":40000,"high":40009},"reserved":3,"bound_by_others":0,"#,
            r#""by_state":{"bound":1},"open_since_ns":7,"holders":[{"process":{"pid":7,"tid":8,"comm":"x","start_ns":5,"uid":1,"#,
            r#""gid":2,"cgroup":3,"exited":true},"count":1}]}"#,
        ),
    ];
    let lines = line(&Item::Ports(snapshot));
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}
