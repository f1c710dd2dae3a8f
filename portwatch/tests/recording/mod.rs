//! A recording made up: five minutes in which a host runs out of ports twice, and somebody helps.

use std::sync::Arc;
use std::time::Duration;

use portwatch::diagnose::{Observer, Opinion, Warn};
use portwatch::event::{
    BootNs, Call, CgroupId, Counts, End, Errno, Failure, Fault, Filter, Holder, Holding, Item, LossReason,
    Lost, Namespace, NetnsId, Occupancy, PortRange, Process, Protocol, Row, Scope, SearchRow, SearchTimes,
    Searches, SettingChange, Settings, Snapshot, SocketState, Stage, Start, State, Summary, Suppressed, Text,
    Tgid, Tid, TimeWait,
};

const NETNS: NetnsId = NetnsId(4_026_531_840);
/// When the range was widened.
const HELP_S: u64 = 236;
/// How often what is counted is recorded.
const COUNTED_S: u64 = 10;

fn at(second: u64, ms: u64) -> BootNs {
    BootNs((second * 1000 + ms) * 1_000_000)
}

fn process(tgid: u32, comm: &str, exe: &str, cmdline: &[&str]) -> Process {
    let text = |text: &str| Text(text.as_bytes().to_vec());
    let details =
        State::Alive { exe: Some(text(exe)), cmdline: Some(cmdline.iter().map(|word| text(word)).collect()) };
    Process {
        tgid: Tgid(tgid),
        start: BootNs(u64::from(tgid) * 1_000_000),
        tid: Some(Tid(tgid)),
        comm: text(comm),
        uid: 1000,
        gid: 1000,
        cgroup: CgroupId(5321),
        details: details.into(),
    }
}

fn java() -> Process {
    process(
        812,
        "java",
        "/usr/lib/jvm/java-21/bin/java",
        &["java", "-Xmx8g", "-jar", "/srv/orders/orders.jar"],
    )
}

fn curl(number: u32) -> Process {
    process(20_000 + number, "curl", "/usr/bin/curl", &["curl", "-s", "https://10.0.0.2/health"])
}

fn worker() -> Process {
    process(977, "<b>worker</b>", "/srv/app/worker", &["worker", "--name", "\"><script>alert(1)</script>"])
}

fn fault(destination: ([u8; 4], u16)) -> Fault {
    Fault {
        call: Call::Connect,
        protocol: Protocol::Tcp,
        errno: Errno::EADDRNOTAVAIL,
        stage: Stage::PortSearch,
        had_port: false,
        address: destination.into(),
        v4_mapped: false,
        kernel_socket: false,
    }
}

const ORDERS: ([u8; 4], u16) = ([10, 0, 0, 2], 443);
const DATABASE: ([u8; 4], u16) = ([10, 0, 0, 3], 5432);
const CACHE: ([u8; 4], u16) = ([10, 0, 7, 19], 6379);

/// Who fails in this second, how often, and of what.
fn failing(second: u64) -> Vec<(Process, Fault, u64)> {
    let wave = |from: u64, to: u64, most: u64| {
        if !(from..to).contains(&second) {
            return 0;
        }
        let (into, long) = (second - from, to - from);
        most * (into.min(12) + 1) / 13 * (100 + (second * 37) % 40) / 140 * u64::from(into < long)
    };
    let udp = Fault {
        call: Call::Sendto,
        protocol: Protocol::Udp,
        errno: Errno(11),
        stage: Stage::Autobind,
        ..fault(([10, 0, 0, 53], 53))
    };
    let bind =
        Fault { call: Call::Bind, errno: Errno::EADDRINUSE, stage: Stage::Bind, ..fault(([10, 0, 0, 1], 0)) };
    let mut all = vec![
        (java(), fault(ORDERS), wave(64, 118, 950)),
        (java(), fault(ORDERS), wave(171, HELP_S, 1400)),
        (worker(), fault(ORDERS), wave(180, HELP_S, 90)),
        (java(), fault(DATABASE), wave(196, HELP_S, 210)),
        (worker(), fault(CACHE), wave(200, 231, 40)),
        (process(61, "resolver", "/usr/sbin/resolver", &["resolver"]), udp, wave(90, 97, 12)),
        (
            process(1444, "probe", "/opt/probe", &["/opt/probe", "--source=10.0.0.1"]),
            bind,
            wave(176, 190, 25),
        ),
    ];
    if (64..118).contains(&second) && second.is_multiple_of(2) {
        all.push((curl(u32::try_from(second).unwrap_or(0)), fault(ORDERS), 3));
    }
    all.retain(|(_, _, count)| *count > 0);
    all
}

fn holding(holder: Holder, count: u32, time_wait: u32) -> Holding {
    Holding { holder, count, time_wait }
}

fn row(destination: ([u8; 4], u16), usable: u32, open: u32, waiting: u32) -> Occupancy {
    let mut holders = vec![
        holding(Holder::Process(java()), open / 10 * 8 + waiting / 10 * 9, waiting / 10 * 9),
        holding(Holder::Process(worker()), open - open / 10 * 8, 0),
        holding(Holder::TimeWait, waiting - waiting / 10 * 9, waiting - waiting / 10 * 9),
    ];
    holders.retain(|holding| holding.count > 0);
    Occupancy {
        netns: NETNS,
        protocol: Protocol::Tcp,
        source: Some([10, 0, 0, 1].into()),
        destination: Some(destination.into()),
        device: 0,
        used: open + waiting,
        usable,
        by_state: [(SocketState::TimeWait, waiting), (SocketState::Established, open)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect(),
        holders,
        time_wait: (waiting > 0).then_some(TimeWait { last_10_s: waiting / 6, over_in_s: 60 }),
        open_since: None,
    }
}

fn look(second: u64) -> Snapshot {
    let range = PortRange { low: if second < HELP_S { 32768 } else { 15000 }, high: 60999 };
    let usable = range.width();
    let second32 = u32::try_from(second).unwrap_or(0);
    let first = (second32 * 450).min(28_232);
    let falling = 28_232_u32.saturating_sub(second32.saturating_sub(118) * 420).max(9_000);
    let again = (9_000 + second32.saturating_sub(140) * 640).min(usable);
    let orders = if second < 118 {
        first
    } else if second < 150 {
        falling
    } else {
        again
    };
    let database = (4_000 + second32 * 40 + second32.saturating_sub(150) * 400).min(if second < HELP_S {
        28_232
    } else {
        30_500
    });
    let cache = 2_500 + (second32 * 97) % 900 + second32.saturating_sub(180) * 380 / 2;
    let namespace = Namespace {
        id: NETNS,
        range,
        reserved: 0,
        bound: 2,
        reserved_ports: Vec::new(),
        listeners: vec![22, 443, 9100],
        settings: Settings {
            tcp_tw_reuse: Some(2),
            tcp_timestamps: Some(true),
            ip_unprivileged_port_start: Some(1024),
            ip_nonlocal_bind: Some(false),
            ..Settings::default()
        },
        is_own: true,
        is_hosts: Some(true),
    };
    let mut rows = vec![
        row(ORDERS, usable, orders / 6, orders - orders / 6),
        row(DATABASE, usable, database, 0),
        row(CACHE, usable, cache / 2, cache - cache / 2),
        row(([10, 0, 9, 9], 8125), usable, 812, 0),
    ];
    rows.sort_by_key(|row| std::cmp::Reverse(row.used));
    Snapshot {
        at: at(second, 700),
        boot_offset_ns: OFFSET,
        scope: Scope { all_namespaces: true, ..Scope::default() },
        namespaces: vec![namespace],
        hosts_range: Some(range),
        rows,
        sockets: 41_000,
        repeated: 0,
        bound_visible: Some(true),
        limits: Vec::new(),
    }
}

/// 2026-11-14T09:13:20Z.
const OFFSET: i64 = 1_794_647_600_000_000_000;

fn failure(process: Process, fault: Fault, at: BootNs) -> Item {
    Item::Failure(Failure {
        at,
        fault,
        process,
        netns: NETNS,
        source: ([10, 0, 0, 1], 0).into(),
        port_range: PortRange { low: 32768, high: 60999 },
        own_range: None,
        search: Some(Duration::from_micros(940)),
    })
}

/// The rows of a summary, one a process and fault.
fn add(rows: &mut Vec<Row>, process: &Process, fault: Fault, count: u64, at: BootNs) {
    match rows.iter_mut().find(|row| row.process.tgid == process.tgid && row.fault == fault) {
        Some(row) => (row.count, row.last) = (row.count + count, at),
        None => {
            let process = Process { tid: None, details: Arc::default(), ..process.clone() };
            rows.push(Row { process, netns: NETNS, fault, count, first: at, last: at });
        }
    }
}

/// All items of it, each with what is to be said of it.
pub(crate) fn recording() -> Vec<(Item, Vec<Opinion>)> {
    let mut items = vec![Item::Start(Start {
        version: "0.1.0".to_owned(),
        host: Text(b"web-1.example.com".to_vec()),
        kernel: "6.12.57+deb13-amd64".to_owned(),
        hooks: ["__inet_hash_connect", "tcp_v4_connect", "tcp_v6_connect", "__inet_bind", "inet_autobind"]
            .map(|name| (name.to_owned(), "fexit".to_owned()))
            .to_vec(),
        limits: vec!["errors of IPv6 binds are not seen: this kernel was built without IPv6".to_owned()],
        at: at(0, 0),
        boot_offset_ns: OFFSET,
        filter: Filter::default(),
        warn_permille: Some(800),
        part: None,
        first_part: None,
    })];
    let (mut rows, mut delivered, mut suppressed, mut lost) = (Vec::new(), 0, 0, 0);
    let mut counted: Vec<Row> = Vec::new();
    for second in 0..300 {
        let mut unseen = 0;
        for (process, fault, count) in failing(second) {
            let detailed = count.min(5);
            items.extend((0..detailed).map(|index| failure(process.clone(), fault, at(second, 100 + index))));
            delivered += detailed;
            unseen += count - detailed;
            add(&mut rows, &process, fault, count, at(second, 900));
            add(&mut counted, &process, fault, count, at(second, 900));
        }
        let gone = if second == 210 { unseen.min(137) } else { 0 };
        let (from, to) = (at(second, 0), at(second + 1, 0));
        if gone > 0 {
            items.push(Item::Lost(Lost { reason: LossReason::RingFull, count: gone, from, to }));
        }
        items.push(Item::Suppressed(Suppressed { count: unseen - gone, from, to }));
        (suppressed, lost) = (suppressed + unseen - gone, lost + gone);
        if (second + 1).is_multiple_of(COUNTED_S) {
            let (from, rows) = (at(second + 1 - COUNTED_S, 0), std::mem::take(&mut counted));
            items.push(Item::Counts(Counts { from, to, rows, other: 0 }));
        }
        if second == HELP_S {
            let by = process(31_337, "sysctl", "/usr/sbin/sysctl", &["sysctl", "-w"]);
            items.push(Item::Sysctl(SettingChange {
                at: at(second, 20),
                key: Text(b"net.ipv4.ip_local_port_range".to_vec()),
                netns: NETNS,
                old: Some("32768 60999".to_owned()),
                new: "15000 60999".to_owned(),
                by: Some(by),
            }));
        }
        if second.is_multiple_of(4) {
            items.push(Item::Ports(look(second)));
        }
    }
    let times = |count, slow, total_ms, longest_us| SearchTimes {
        count,
        slow,
        total: Duration::from_millis(total_ms),
        longest: Duration::from_micros(longest_us),
    };
    let search = |destination: ([u8; 4], u16), times| SearchRow {
        netns: NETNS,
        source: [10, 0, 0, 1].into(),
        destination: destination.into(),
        times,
    };
    items.push(Item::Searches(Searches {
        rows: vec![
            search(ORDERS, times(412_000, 96_300, 91_200, 2140)),
            search(DATABASE, times(88_000, 9_100, 7_800, 1630)),
            search(CACHE, times(41_000, 3, 90, 130)),
        ],
        other: SearchTimes::default(),
        unmeasured: 2,
    }));
    let failures = delivered + suppressed + lost;
    items.push(Item::Summary(Summary { rows, other: 0 }));
    items.push(Item::End(End {
        failures,
        delivered,
        suppressed,
        lost: vec![(LossReason::RingFull, lost)],
        watched: Duration::from_secs(300),
        ..End::default()
    }));
    let mut observer = Observer::new(Warn::AsRecorded);
    let seen = |item: Item| {
        let opinions = observer.see(&item);
        (item, opinions)
    };
    items.into_iter().map(seen).collect()
}
