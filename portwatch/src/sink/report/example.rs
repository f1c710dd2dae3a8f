//! Pieces of recordings, for tests.

use crate::diagnose::{Advice, Cause, Diagnosis, Evidence, How, Path, Standing, Verdict};
use crate::event::{
    BootNs, CgroupId, Counts, End, Failure, Fault, Filter, Holder, Holding, Item, Namespace, NetnsId,
    Occupancy, PortRange, Process, Protocol, Row, Scope, Settings, Snapshot, SocketState, Start, State,
    Summary, Text, Tgid, Tid,
};

pub(super) const NETNS: NetnsId = NetnsId(4_026_531_840);
const RANGE: PortRange = PortRange { low: 32768, high: 60999 };
/// 2023-11-14T22:13:20Z.
pub(super) const OFFSET: i64 = 1_700_000_000_000_000_000;

pub(super) fn second(second: u64) -> BootNs {
    BootNs(second * 1_000_000_000)
}

pub(super) fn start(host: &[u8]) -> Start {
    Start {
        version: "0.1.0".to_owned(),
        host: Text(host.to_vec()),
        kernel: "6.12.1".to_owned(),
        hooks: vec![("__inet_hash_connect".to_owned(), "fexit".to_owned())],
        limits: Vec::new(),
        at: second(0),
        boot_offset_ns: OFFSET,
        filter: Filter::default(),
        warn_permille: None,
        part: None,
        first_part: None,
    }
}

pub(super) fn process(tgid: u32, comm: &[u8]) -> Process {
    Process {
        tgid: Tgid(tgid),
        start: BootNs(tgid.into()),
        tid: Some(Tid(tgid)),
        comm: Text(comm.to_vec()),
        uid: 1000,
        gid: 1000,
        cgroup: CgroupId(77),
        details: State::Alive { exe: Some(Text(b"/usr/bin/java".to_vec())), cmdline: None }.into(),
    }
}

pub(super) fn fault(port: u16) -> Fault {
    Fault::no_port(([10, 0, 0, 2], port))
}

pub(super) fn failure(at: BootNs, process: Process, port: u16) -> Item {
    Item::Failure(Failure {
        at,
        fault: fault(port),
        process,
        netns: NETNS,
        source: ([10, 0, 0, 1], 0).into(),
        port_range: RANGE,
        own_range: None,
        search: None,
    })
}

pub(super) fn row(process: Process, port: u16, count: u64, first: BootNs, last: BootNs) -> Row {
    let process = Process { tid: None, details: std::sync::Arc::default(), ..process };
    Row { process, netns: NETNS, fault: fault(port), count, first, last }
}

pub(super) fn counts(from: BootNs, to: BootNs, rows: Vec<Row>) -> Item {
    Item::Counts(Counts { from, to, rows, other: 0 })
}

/// Summary and end of a session with these rows, of which so many were delivered.
pub(super) fn ending(rows: Vec<Row>, delivered: u64) -> [Item; 2] {
    let failures = rows.iter().map(|row| row.count).sum();
    let end = End {
        failures,
        delivered,
        suppressed: failures - delivered,
        watched: std::time::Duration::from_secs(60),
        ..End::default()
    };
    [Item::Summary(Summary { rows, other: 0 }), Item::End(end)]
}

pub(super) fn occupancy(port: u16, used: u32) -> Occupancy {
    let waiting = used / 2;
    let java =
        Holding { holder: Holder::Process(process(812, b"java")), count: used - waiting, time_wait: 0 };
    let nobody = Holding { holder: Holder::TimeWait, count: waiting, time_wait: waiting };
    Occupancy {
        netns: NETNS,
        protocol: Protocol::Tcp,
        source: Some([10, 0, 0, 1].into()),
        destination: Some(([10, 0, 0, 2], port).into()),
        device: 0,
        used,
        usable: 28_232,
        by_state: vec![(SocketState::Established, used - waiting), (SocketState::TimeWait, waiting)],
        holders: vec![java, nobody],
        time_wait: None,
        open_since: None,
    }
}

pub(super) fn snapshot(at: u64, rows: Vec<Occupancy>) -> Snapshot {
    let namespace = Namespace {
        listeners: vec![22],
        settings: Settings { tcp_tw_reuse: Some(2), tcp_timestamps: Some(true), ..Settings::default() },
        is_hosts: Some(true),
        ..Namespace::own(NETNS, RANGE)
    };
    Snapshot {
        at: second(at),
        boot_offset_ns: OFFSET,
        scope: Scope::default(),
        namespaces: vec![namespace],
        hosts_range: Some(RANGE),
        rows,
        sockets: 0,
        repeated: 0,
        bound_visible: Some(true),
        limits: Vec::new(),
    }
}

pub(super) fn verdict(port: u16, cause: Option<Cause>) -> Verdict {
    let helps = Standing::Helps {
        how: How::Command("sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"".to_owned()),
        gain: "36,280 more ports".to_owned(),
        cost: Some("services that listen there may collide".to_owned()),
    };
    let advice = vec![
        Advice { what: "widen the range", standing: helps },
        Advice {
            what: "take over TIME_WAIT",
            standing: Standing::NotHere { why: "it is on already".to_owned() },
        },
        Advice {
            what: "set tcp_tw_recycle",
            standing: Standing::Harms { why: "it is gone since 4.12".to_owned() },
        },
    ];
    let evidence = Evidence {
        weight_permille: 900,
        sentence: "java (pid 812) has 14,116 of the ports open".to_owned(),
        fragment: "open connections".to_owned(),
    };
    Verdict {
        at: second(5),
        path: Path::of(&occupancy(port, 28_232)),
        cause,
        process: Some(Tgid(812)),
        diagnoses: vec![Diagnosis { rule: "live-connections", evidence, advice }],
        is_news: false,
    }
}
