//! A shortage that nobody watched: the items that recording it would have made, as many as are asked for.
//!
//! Eight processes with eight threads each fail towards ten destinations, 25,000 times a second, or over four seconds where
//! they are fewer. There is a snapshot every thirty seconds, a count every second, once a setting is changed, and once a
//! little is lost. The same each time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portwatch::event::{
    BootNs, Call, CgroupId, Counts, End, Errno, Failure, Fault, Filter, Holder, Holding, Item, LossReason,
    Lost, Namespace, NetnsId, Occupancy, PortRange, Process, Protocol, Row, Scope, SettingChange, Settings,
    Snapshot, SocketState, Stage, Start, State, Summary, Suppressed, Text, Tgid, Tid, TimeWait,
};

const PROCESSES: u32 = 8;
const THREADS: u32 = 8;
const DESTINATIONS: u8 = 10;
const SECOND_NS: u64 = 1_000_000_000;
/// The least, on average.
const BETWEEN_FAILURES_NS: u64 = 40_000;
const AT_LEAST_NS: u64 = 4 * SECOND_NS;
/// The machine has been up for a while.
const BEGAN: BootNs = BootNs(86_400 * SECOND_NS);
/// 2026-03-01 00:00:00 UTC less a day.
const BOOT_OFFSET_NS: i64 = 1_772_236_800_000_000_000;
const SNAPSHOT_EVERY_S: u64 = 30;
const NETNS: NetnsId = NetnsId(4_026_531_840);
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const RANGE: PortRange = PortRange { low: 32768, high: 60999 };
const LOST: u64 = 3;
const SUPPRESSED: u64 = 7;

/// The items, in their order.
#[derive(Debug)]
pub(crate) struct Storm {
    processes: Vec<Process>,
    left: u64,
    between_ns: u64,
    now: BootNs,
    second_began: BootNs,
    seconds: u64,
    random: u64,
    /// By process and destination.
    rows: BTreeMap<(u32, u8), Row>,
    /// The same of this second.
    counts: BTreeMap<(u32, u8), Row>,
    delivered: u64,
    /// What comes before the next failure, the next one last.
    waiting: Vec<Item>,
    stage: Stages,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stages {
    Begins,
    Lasts,
    IsOver,
}

impl Storm {
    /// With so many failures that are delivered.
    #[must_use]
    pub(crate) fn of(failures: u64) -> Self {
        Self {
            processes: (0..PROCESSES).map(process).collect(),
            left: failures,
            between_ns: (AT_LEAST_NS / failures.max(1)).max(BETWEEN_FAILURES_NS),
            now: BEGAN,
            second_began: BEGAN,
            seconds: 0,
            random: 0x9E37_79B9_7F4A_7C15,
            rows: BTreeMap::new(),
            counts: BTreeMap::new(),
            delivered: 0,
            waiting: Vec::new(),
            stage: Stages::Begins,
        }
    }

    /// Marsaglia's xorshift64.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.random() % u64::from(bound)).unwrap_or(0)
    }

    fn failure(&mut self) -> Item {
        self.left -= 1;
        self.delivered += 1;
        self.now.0 += self.between_ns / 2 + self.random() % self.between_ns;
        let (who, thread) = (self.below(PROCESSES), self.below(THREADS));
        let to = u8::try_from(self.below(DESTINATIONS.into())).unwrap_or(0);
        let mut process = self.processes[who as usize].clone();
        self.count((who, to), &process, 1);
        process.tid = Some(Tid(process.tgid.0 + thread));
        process.comm = Text(format!("worker-{thread}").into_bytes());
        Item::Failure(Failure {
            at: self.now,
            fault: fault(to),
            process,
            netns: NETNS,
            source: SocketAddr::new(CLIENT, 0),
            port_range: RANGE,
            own_range: None,
            search: None,
        })
    }

    fn count(&mut self, key: (u32, u8), process: &Process, count: u64) {
        let now = self.now;
        for rows in [&mut self.rows, &mut self.counts] {
            let row = rows.entry(key).or_insert_with(|| Row {
                process: Process { details: Arc::default(), ..process.clone() },
                netns: NETNS,
                fault: fault(key.1),
                count: 0,
                first: now,
                last: now,
            });
            row.count += count;
            row.last = now;
        }
    }

    /// What is told once a second.
    fn second(&mut self) {
        let (from, to) = (self.second_began, self.now);
        self.second_began = to;
        self.seconds += 1;
        let process = self.processes[0].clone();
        if self.seconds == 2 {
            self.count((0, 0), &process, LOST);
            self.waiting.push(Item::Lost(Lost { reason: LossReason::RingFull, count: LOST, from, to }));
        }
        if self.seconds == 3 {
            self.count((0, 1), &process, SUPPRESSED);
            self.waiting.push(Item::Suppressed(Suppressed { count: SUPPRESSED, from, to }));
            self.waiting.push(Item::Sysctl(change(to, process)));
        }
        // `first` is that of all.
        let mut counts = std::mem::take(&mut self.counts);
        counts.iter_mut().for_each(|(key, row)| row.first = self.rows[key].first);
        let rows = counts.into_values().collect();
        self.waiting.push(Item::Counts(Counts { from, to, rows, other: 0 }));
        if self.seconds % SNAPSHOT_EVERY_S == 1 {
            self.waiting.push(Item::Ports(snapshot(to, &self.processes)));
        }
        self.waiting.reverse();
    }

    fn end(&mut self) {
        self.second();
        let lost = if self.seconds >= 2 { vec![(LossReason::RingFull, LOST)] } else { Vec::new() };
        let suppressed = if self.seconds >= 3 { SUPPRESSED } else { 0 };
        let end = End {
            failures: self.delivered + suppressed + lost.iter().map(|(_, count)| count).sum::<u64>(),
            delivered: self.delivered,
            suppressed,
            lost,
            watched: Duration::from_nanos(self.now.0 - BEGAN.0),
            ..End::default()
        };
        let rows = std::mem::take(&mut self.rows).into_values().collect();
        // The last comes first.
        self.waiting.splice(..0, [Item::End(end), Item::Summary(Summary { rows, other: 0 })]);
    }
}

impl Iterator for Storm {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if let Some(item) = self.waiting.pop() {
            return Some(item);
        }
        match self.stage {
            Stages::Begins => {
                self.stage = Stages::Lasts;
                Some(Item::Start(start()))
            }
            Stages::Lasts if self.now.0 - self.second_began.0 >= SECOND_NS => {
                self.second();
                self.waiting.pop()
            }
            Stages::Lasts if self.left > 0 => Some(self.failure()),
            Stages::Lasts => {
                self.stage = Stages::IsOver;
                self.end();
                self.waiting.pop()
            }
            Stages::IsOver => None,
        }
    }
}

fn start() -> Start {
    Start {
        version: "0.1.0".to_owned(),
        host: Text(b"web-1".to_vec()),
        kernel: "6.12.107+deb13-cloud-amd64".to_owned(),
        hooks: ["__inet_hash_connect", "tcp_v4_connect", "tcp_v6_connect"]
            .map(|hook| (hook.to_owned(), "fexit".to_owned()))
            .to_vec(),
        limits: Vec::new(),
        at: BEGAN,
        boot_offset_ns: BOOT_OFFSET_NS,
        filter: Filter::default(),
        warn_permille: None,
        part: None,
        first_part: None,
    }
}

fn process(n: u32) -> Process {
    let name = ["checkout", "billing", "search", "mailer"][n as usize % 4];
    Process {
        tgid: Tgid(4000 + 100 * n),
        start: BootNs(BEGAN.0 - u64::from(n + 1) * 3600 * SECOND_NS),
        tid: None,
        comm: Text(name.into()),
        uid: 1000 + n % 4,
        gid: 1000,
        cgroup: CgroupId(7000 + u64::from(n)),
        details: State::Alive {
            exe: Some(Text(format!("/opt/shop/bin/{name}").into_bytes())),
            cmdline: Some(vec![
                Text(format!("/opt/shop/bin/{name}").into_bytes()),
                Text(b"--config".to_vec()),
                Text(format!("/etc/shop/{name}-{n}.toml").into_bytes()),
            ]),
        }
        .into(),
    }
}

fn destination(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, n], 5432))
}

fn fault(to: u8) -> Fault {
    Fault {
        call: Call::Connect,
        protocol: Protocol::Tcp,
        errno: Errno::EADDRNOTAVAIL,
        stage: Stage::PortSearch,
        had_port: false,
        address: destination(to),
        v4_mapped: false,
        kernel_socket: false,
    }
}

fn change(at: BootNs, by: Process) -> SettingChange {
    SettingChange {
        at,
        key: Text(b"net.ipv4.tcp_tw_reuse".to_vec()),
        netns: NETNS,
        old: Some("2".to_owned()),
        new: "1".to_owned(),
        by: Some(by),
    }
}

fn snapshot(at: BootNs, processes: &[Process]) -> Snapshot {
    let usable = RANGE.width();
    let each = usable / PROCESSES;
    let row = |to: u8| Occupancy {
        netns: NETNS,
        protocol: Protocol::Tcp,
        source: Some(CLIENT),
        destination: Some(destination(to)),
        device: 0,
        used: usable,
        usable,
        by_state: vec![(SocketState::Established, usable - usable / 4), (SocketState::TimeWait, usable / 4)],
        holders: processes
            .iter()
            .map(|process| Holding { holder: Holder::Process(process.clone()), count: each, time_wait: 0 })
            .chain([Holding { holder: Holder::NotFound, count: usable - each * PROCESSES, time_wait: 0 }])
            .filter(|holding| holding.count > 0)
            .collect(),
        time_wait: Some(TimeWait { last_10_s: 1000, over_in_s: 60 }),
        open_since: None,
    };
    Snapshot {
        at,
        boot_offset_ns: BOOT_OFFSET_NS,
        scope: Scope { towards: None, bind: None, rows_left_out: 0, all_namespaces: true },
        namespaces: vec![Namespace {
            id: NETNS,
            range: RANGE,
            reserved: 0,
            bound: 0,
            reserved_ports: Vec::new(),
            listeners: vec![22, 443],
            settings: Settings {
                tcp_tw_reuse: Some(2),
                tcp_timestamps: Some(true),
                ip_unprivileged_port_start: Some(1024),
                ip_nonlocal_bind: Some(false),
                ipv6_nonlocal_bind: Some(false),
                ipv6_disabled: Some(false),
                ..Settings::default()
            },
            is_own: true,
            is_hosts: Some(true),
        }],
        hosts_range: Some(RANGE),
        rows: (0..DESTINATIONS).map(row).collect(),
        sockets: u64::from(usable) * u64::from(DESTINATIONS),
        repeated: 0,
        bound_visible: Some(true),
        limits: Vec::new(),
    }
}
