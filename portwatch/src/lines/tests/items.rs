//! Items of every kind by a generator that always yields the same: hostile strings, extreme numbers, all that may be there
//! or not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::event::{
    BootNs, Call, Cgroup, CgroupId, Container, Counts, Destination, Details, End, Errno, Errnos, Failure,
    Fault, Filter, Holder, Holding, Item, Lost, Missing, MissingWhy, Namespace, NetnsId, NoRoom, Occupancy,
    Pod, PodName, PortRange, Process, Protocol, RecentSearch, RecentSearches, Row, Scope, SearchRow,
    SearchTimes, Searches, SettingChange, Settings, Snapshot, Start, State, Summary, Suppressed, Text, Tgid,
    Tid, TimeWait,
};
use crate::lines::words::Word;

/// Chosen to do harm.
pub(super) const HOSTILE: &[&[u8]] = &[
    b"",
    b"nginx: worker process",
    b"\0",
    b"a\"b\\c/d",
    b"\x1b[2J\x07\x08\x0c\n\r\t\x7f",
    "größe 東京 \u{1f600}".as_bytes(),
    "\u{9b}31m a\u{202e}b\u{200b}\u{2028}\u{e0041}\u{feff}\u{fffd}".as_bytes(),
    b"\xff\xfe",
    b"a\xe6\x9d",
    b"\xed\xa0\x80",
    b"\\u0041\\",
    b"{\"type\":\"end\"}\n",
];

/// xorshift64*.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() >> 33).unwrap() % end
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.coin().then(|| value(self))
    }

    fn some<T>(&mut self, most: usize, value: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| value(self)).collect()
    }

    /// As [`Self::some`], each name once.
    fn named<K: PartialEq, V>(&mut self, most: usize, value: impl Fn(&mut Self) -> (K, V)) -> Vec<(K, V)> {
        let mut named: Vec<(K, V)> = Vec::new();
        for (name, value) in self.some(most, value) {
            if named.iter().all(|(other, _)| *other != name) {
                named.push((name, value));
            }
        }
        named
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn u64(&mut self) -> u64 {
        let shift = self.below(64);
        let any = self.roll() >> shift;
        self.one_of(&[0, 1, any, any, any, u64::MAX])
    }

    fn i64(&mut self) -> i64 {
        let any = self.roll().cast_signed();
        self.one_of(&[0, 1, -1, 1_795_346_749_176_982_780, any, i64::MIN, i64::MAX])
    }

    fn u32(&mut self) -> u32 {
        u32::try_from(self.u64() >> 32).unwrap()
    }

    fn u16(&mut self) -> u16 {
        u16::try_from(self.u64() >> 48).unwrap()
    }

    fn word<T: Word>(&mut self) -> T {
        self.one_of(T::ALL)
    }

    fn text(&mut self) -> Text {
        match self.below(8) {
            0 => Text(self.some(20, |dice| dice.roll().to_le_bytes()[0])),
            1 => Text(b"x".repeat(self.below(300))),
            _ => Text(self.one_of(HOSTILE).to_vec()),
        }
    }

    fn string(&mut self) -> String {
        String::from_utf8_lossy(&self.text().0).into_owned()
    }

    fn time(&mut self) -> BootNs {
        BootNs(self.u64())
    }

    fn duration(&mut self) -> Duration {
        Duration::from_nanos(self.u64())
    }

    fn netns(&mut self) -> NetnsId {
        NetnsId(self.u32())
    }

    fn address(&mut self) -> IpAddr {
        let v4 = Ipv4Addr::from(self.u32());
        let v6 = Ipv6Addr::from((u128::from(self.u64()) << 64) | u128::from(self.u64()));
        self.one_of(&[
            v4.into(),
            v4.into(),
            v6.into(),
            v4.to_ipv6_mapped().into(),
            Ipv6Addr::LOCALHOST.into(),
        ])
    }

    fn endpoint(&mut self) -> SocketAddr {
        SocketAddr::new(self.address(), self.u16())
    }

    fn range(&mut self) -> PortRange {
        PortRange { low: self.u16(), high: self.u16() }
    }

    pub(super) fn process(&mut self) -> Process {
        let state = match self.below(4) {
            0 => State::NotRead,
            1 => State::Exited,
            _ => State::Alive {
                exe: self.maybe(Self::text),
                cmdline: self.maybe(|dice| dice.some(5, Self::text)),
            },
        };
        let details = Details {
            state,
            user: self.maybe(Self::text),
            unit: self.maybe(Self::text),
            container: self.maybe(|dice| Container {
                id: dice.text(),
                runtime: dice.maybe(Self::word),
                name: dice.maybe(Self::text),
            }),
            pod: self.maybe(|dice| Pod {
                uid: dice.text(),
                name: dice.maybe(|dice| PodName { namespace: dice.text(), name: dice.text() }),
            }),
        };
        Process {
            tgid: Tgid(self.u32()),
            start: self.time(),
            tid: self.maybe(|dice| Tid(dice.u32())),
            comm: self.text(),
            uid: self.u32(),
            gid: self.u32(),
            cgroup: CgroupId(self.u64()),
            details: Arc::new(details),
        }
    }

    fn fault(&mut self) -> Fault {
        Fault {
            call: self.word(),
            protocol: self.word(),
            errno: Errno(self.one_of(&[98, 99, 11, 111, 0, 41, 191, 192, 512, u16::MAX])),
            stage: self.word(),
            had_port: self.coin(),
            address: self.endpoint(),
            v4_mapped: self.coin(),
            kernel_socket: self.coin(),
        }
    }

    fn failure(&mut self) -> Failure {
        let fault = self.fault();
        Failure {
            at: self.time(),
            // That a bind wants an address is said once.
            source: if fault.call == Call::Bind { fault.address } else { self.endpoint() },
            fault,
            process: self.process(),
            netns: self.netns(),
            port_range: self.range(),
            own_range: self.maybe(Self::range),
            search: self.maybe(Self::duration),
        }
    }

    pub(super) fn row(&mut self) -> Row {
        Row {
            process: self.process(),
            netns: self.netns(),
            fault: self.fault(),
            count: self.u64(),
            first: self.time(),
            last: self.time(),
        }
    }

    fn destination(&mut self) -> Destination {
        let network = |dice: &mut Self| {
            let address = dice.address();
            let length = dice.below(if address.is_ipv4() { 33 } else { 129 });
            IpNet::new(address, u8::try_from(length).unwrap()).unwrap()
        };
        Destination { network: self.maybe(network), port: self.maybe(Self::u16) }
    }

    pub(super) fn start(&mut self) -> Start {
        let errnos = match self.below(3) {
            0 => Errnos::Shortage,
            1 => Errnos::All,
            _ => Errnos::These(self.some(4, |dice| dice.fault().errno)),
        };
        Start {
            version: self.string(),
            host: self.text(),
            kernel: self.string(),
            hooks: self.named(3, |dice| (dice.string(), dice.string())),
            limits: self.some(3, Self::string),
            at: self.time(),
            boot_offset_ns: self.i64(),
            filter: Filter {
                tgid: self.maybe(|dice| Tgid(dice.u32())),
                comm: self.maybe(Self::text),
                destination: self.maybe(Self::destination),
                netns: self.maybe(Self::netns),
                cgroup: self.maybe(|dice| Cgroup { id: CgroupId(dice.u64()), path: dice.text() }),
                errnos,
            },
            warn_permille: self.maybe(Self::u32),
            part: self.maybe(Self::u32),
            first_part: self.maybe(Self::u32),
        }
    }

    fn missing(&mut self) -> Missing {
        use MissingWhy::{
            CutOff, Damaged, EarlierParts, Malformed, NewerSchema, NoEnd, NoStart, NotWritten, Other, Part,
            RowsOfSnapshot, TooLarge, UnknownType, Unreadable,
        };
        let all = [
            NotWritten(self.string()),
            Unreadable(self.string()),
            CutOff,
            Damaged,
            TooLarge,
            Malformed,
            UnknownType,
            RowsOfSnapshot,
            NoStart,
            NoEnd,
            EarlierParts,
            Part,
            NewerSchema(self.u64()),
            Other(format!("?{}", self.string())),
        ];
        let why = all[self.below(all.len())].clone();
        Missing { why, file: self.maybe(Self::text), lines: self.u64(), bytes: self.u64() }
    }

    fn end(&mut self) -> End {
        End {
            failures: self.u64(),
            delivered: self.u64(),
            suppressed: self.u64(),
            beyond_count: self.u64(),
            lost: self.named(3, |dice| (dice.word(), dice.u64())),
            skipped_runs: self.maybe(Self::u64),
            possibly_missed: self.maybe(Self::u64),
            owners: self.maybe(Self::u64),
            no_room: NoRoom {
                callers: self.u64(),
                details: self.u64(),
                repeats: self.u64(),
                owners: self.u64(),
            },
            sysctls_lost: self.u64(),
            lookups_unanswered: self.u64(),
            watched: self.duration(),
        }
    }

    fn search_times(&mut self) -> SearchTimes {
        SearchTimes { count: self.u64(), slow: self.u64(), total: self.duration(), longest: self.duration() }
    }

    fn namespace(&mut self) -> Namespace {
        Namespace {
            id: self.netns(),
            range: self.range(),
            reserved: self.u32(),
            bound: self.u32(),
            reserved_ports: self.some(3, Self::range),
            listeners: self.some(3, Self::u16),
            settings: Settings {
                tcp_tw_reuse: self.maybe(|dice| dice.one_of(&[0, 2, u8::MAX])),
                tcp_tw_reuse_delay_ms: self.maybe(Self::u32),
                tcp_timestamps: self.maybe(Self::coin),
                ip_unprivileged_port_start: self.maybe(Self::u16),
                ip_nonlocal_bind: self.maybe(Self::coin),
                ipv6_nonlocal_bind: self.maybe(Self::coin),
                ipv6_disabled: self.maybe(Self::coin),
            },
            is_own: self.coin(),
            is_hosts: self.maybe(Self::coin),
        }
    }

    fn holding(&mut self) -> Holding {
        let holder = match self.below(5) {
            0 => Holder::Process(self.process()),
            1 => Holder::Processes { comm: self.maybe(Self::text), number: self.u32(), exited: self.coin() },
            2 => Holder::TimeWait,
            3 => Holder::Closed,
            _ => Holder::NotFound,
        };
        Holding { holder, count: self.u32(), time_wait: self.u32() }
    }

    pub(super) fn occupancy(&mut self) -> Occupancy {
        Occupancy {
            netns: self.netns(),
            // MPTCP's ports are TCP's.
            protocol: self.one_of(&[Protocol::Tcp, Protocol::Udp]),
            source: self.maybe(Self::address),
            destination: self.maybe(Self::endpoint),
            device: self.u32(),
            used: self.u32(),
            usable: self.u32(),
            by_state: self.named(4, |dice| (dice.word(), dice.u32())),
            holders: self.some(4, Self::holding),
            time_wait: self
                .maybe(|dice| TimeWait { last_10_s: dice.u32(), over_in_s: dice.one_of(&[0, 60, 255]) }),
            open_since: self.maybe(Self::time),
        }
    }

    pub(super) fn snapshot(&mut self) -> Snapshot {
        let namespaces = self.some(3, Self::namespace);
        let mut rows = self.some(4, Self::occupancy);
        for (row, namespace) in rows.iter_mut().zip(&namespaces) {
            row.netns = namespace.id;
        }
        Snapshot {
            at: self.time(),
            boot_offset_ns: self.i64(),
            scope: Scope {
                towards: self.maybe(Self::destination),
                bind: self.maybe(Self::address),
                rows_left_out: self.u32(),
                all_namespaces: self.coin(),
            },
            namespaces,
            hosts_range: self.maybe(Self::range),
            rows,
            sockets: self.u64(),
            repeated: self.u32(),
            bound_visible: self.maybe(Self::coin),
            limits: self.some(3, Self::string),
        }
    }

    /// Of the kind `kind` modulo 12.
    pub(super) fn item(&mut self, kind: usize) -> Item {
        let (netns, source, destination) = (self.netns(), self.address(), self.endpoint());
        let (from, to, count) = (self.time(), self.time(), self.u64());
        match kind % 12 {
            0 => Item::Start(self.start()),
            1 => Item::Failure(self.failure()),
            2 => Item::Lost(Lost { reason: self.word(), count, from, to }),
            3 => Item::Suppressed(Suppressed { count, from, to }),
            4 => Item::Sysctl(SettingChange {
                at: to,
                key: self.text(),
                netns,
                old: self.maybe(Self::string),
                new: self.string(),
                by: self.maybe(Self::process),
            }),
            5 => Item::Searches(Searches {
                rows: self.some(3, |dice| SearchRow {
                    netns,
                    source,
                    destination,
                    times: dice.search_times(),
                }),
                other: self.search_times(),
                unmeasured: count,
            }),
            6 => Item::RecentSearches(RecentSearches {
                from,
                to,
                rows: self.some(3, |dice| RecentSearch {
                    netns,
                    source,
                    destination,
                    count,
                    slow: dice.u64(),
                    average: dice.duration(),
                }),
            }),
            7 => Item::Ports(self.snapshot()),
            8 => Item::Counts(Counts { from, to, rows: self.some(3, Self::row), other: count }),
            9 => Item::Missing(self.missing()),
            10 => Item::Summary(Summary { rows: self.some(3, Self::row), other: count }),
            _ => Item::End(self.end()),
        }
    }
}
