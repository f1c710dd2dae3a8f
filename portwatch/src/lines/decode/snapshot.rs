//! Who holds the local ports: the first line of a snapshot, and each of its rows.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::bounded::{Bounded, Pairs, Weigh, heap};
use super::failure::{Endpoint, Range};
use super::session::{MOST_LIMITS, There};
use super::strings::{Hex, Of, exact};
use super::who::{Who, heap_of};
use crate::event::{
    BootNs, Destination, Holder, Holding, Namespace, NetnsId, Occupancy, PortRange, Protocol, Scope,
    Settings, Snapshot, SocketState, Text, TimeWait,
};
use crate::lines::words::Word as _;

/// As many as there are ports.
const MOST_PORTS: usize = 65_536;

/// More namespaces than a host has.
const MOST_NAMESPACES: usize = 65_536;

/// Twice as many as are named each.
const MOST_HOLDERS: usize = 4096;

/// More states than there are.
const MOST_STATES: usize = 64;

/// Those of `snapshot`.
#[derive(Deserialize)]
pub(super) struct Head {
    monotonic_ns: u64,
    pub(super) boot_offset_ns: i64,
    bound_visible: Option<bool>,
    towards: Option<There>,
    bind: Option<IpAddr>,
    #[serde(default)]
    all_namespaces: bool,
    namespaces: Bounded<NamespaceFields, MOST_NAMESPACES>,
    hosts_port_range: Option<Range>,
    /// Lines that follow.
    pub(super) rows: u64,
    #[serde(default)]
    rows_left_out: u32,
    sockets: u64,
    #[serde(default)]
    repeated: u32,
    #[serde(default)]
    limits: Bounded<String, MOST_LIMITS>,
}

impl From<Head> for Snapshot {
    fn from(head: Head) -> Self {
        Self {
            at: BootNs(head.monotonic_ns),
            boot_offset_ns: head.boot_offset_ns,
            scope: Scope {
                towards: head.towards.map(Destination::from),
                bind: head.bind,
                rows_left_out: head.rows_left_out,
                all_namespaces: head.all_namespaces,
            },
            namespaces: head.namespaces.into(),
            hosts_range: head.hosts_port_range.map(PortRange::from),
            rows: Vec::new(),
            sockets: head.sockets,
            repeated: head.repeated,
            bound_visible: head.bound_visible,
            limits: head.limits.0,
        }
    }
}

#[derive(Deserialize)]
struct NamespaceFields {
    netns: u32,
    port_range: Range,
    reserved: u32,
    bound: u32,
    #[serde(default)]
    reserved_ports: Bounded<Range, MOST_PORTS>,
    #[serde(default)]
    listeners: Bounded<u16, MOST_PORTS>,
    #[serde(default)]
    settings: SettingsFields,
    own: bool,
    hosts_own: Option<bool>,
}

impl Weigh for Range {
    fn heap(&self) -> usize {
        0
    }
}

impl Weigh for NamespaceFields {
    const MOST_BYTES: usize = 8 << 20;

    fn heap(&self) -> usize {
        let NamespaceFields { reserved_ports, listeners, .. } = self;
        heap(reserved_ports.0.capacity() * size_of::<Range>())
            + heap(listeners.0.capacity() * size_of::<u16>())
    }
}

impl From<NamespaceFields> for Namespace {
    fn from(fields: NamespaceFields) -> Self {
        Self {
            id: NetnsId(fields.netns),
            range: fields.port_range.into(),
            reserved: fields.reserved,
            bound: fields.bound,
            reserved_ports: fields.reserved_ports.into(),
            listeners: fields.listeners.0,
            settings: fields.settings.into(),
            is_own: fields.own,
            is_hosts: fields.hosts_own,
        }
    }
}

#[derive(Deserialize, Default)]
struct SettingsFields {
    tcp_tw_reuse: Option<u8>,
    tcp_tw_reuse_delay_ms: Option<u32>,
    tcp_timestamps: Option<bool>,
    ip_unprivileged_port_start: Option<u16>,
    ip_nonlocal_bind: Option<bool>,
    ipv6_nonlocal_bind: Option<bool>,
    ipv6_disabled: Option<bool>,
}

impl From<SettingsFields> for Settings {
    fn from(fields: SettingsFields) -> Self {
        Self {
            tcp_tw_reuse: fields.tcp_tw_reuse,
            tcp_tw_reuse_delay_ms: fields.tcp_tw_reuse_delay_ms,
            tcp_timestamps: fields.tcp_timestamps,
            ip_unprivileged_port_start: fields.ip_unprivileged_port_start,
            ip_nonlocal_bind: fields.ip_nonlocal_bind,
            ipv6_nonlocal_bind: fields.ipv6_nonlocal_bind,
            ipv6_disabled: fields.ipv6_disabled,
        }
    }
}

/// Those of `ports`.
#[derive(Deserialize)]
pub(super) struct Ports {
    pub(super) monotonic_ns: u64,
    netns: u32,
    protocol: Of<Protocol>,
    source: Option<IpAddr>,
    destination: Option<Endpoint>,
    #[serde(default)]
    device: u32,
    used: u32,
    usable: u32,
    by_state: Pairs<Of<State>, u32, MOST_STATES>,
    time_wait: Option<TimeWaitFields>,
    open_since_ns: Option<u64>,
    holders: Bounded<HoldingFields, MOST_HOLDERS>,
}

#[derive(Deserialize)]
struct TimeWaitFields {
    last_10_s: u32,
    over_in_s: u8,
}

#[derive(Deserialize)]
struct HoldingFields {
    process: Option<Who>,
    processes: Option<ProcessesFields>,
    unknown: Option<Of<Nobody>>,
    count: u32,
    time_wait: Option<u32>,
}

#[derive(Deserialize)]
struct ProcessesFields {
    comm: Option<Of<Text>>,
    comm_hex: Option<Of<Hex>>,
    number: u32,
    #[serde(default)]
    exited: bool,
}

/// The state of sockets; none where this version does not know it. They are in `used` all the same.
struct State(Option<SocketState>);

impl super::strings::FromText for State {
    const NAME: &'static str = "state";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(SocketState::of(text)))
    }
}

/// Why nobody is named.
struct Nobody(Holder);

impl super::strings::FromText for Nobody {
    const NAME: &'static str = "reason why a holder is unknown";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "time_wait" => Some(Self(Holder::TimeWait)),
            "closed" => Some(Self(Holder::Closed)),
            "not_found" => Some(Self(Holder::NotFound)),
            _ => None,
        }
    }
}

impl Weigh for HoldingFields {
    const MOST_BYTES: usize = 8 << 20;

    fn heap(&self) -> usize {
        self.process.as_ref().map_or(0, |Who(process)| heap_of(process))
    }
}

impl HoldingFields {
    fn holding(self) -> Option<Holding> {
        let holder = match (self.process, self.processes, self.unknown) {
            (Some(Who(process)), None, None) => Holder::Process(process),
            (None, Some(ProcessesFields { comm, comm_hex, number, exited }), None) => {
                Holder::Processes { comm: comm.map(|comm| exact(comm, comm_hex)), number, exited }
            }
            (None, None, Some(Of(Nobody(holder)))) => holder,
            _ => return None,
        };
        let implied = if holder == Holder::TimeWait { self.count } else { 0 };
        Some(Holding { holder, count: self.count, time_wait: self.time_wait.unwrap_or(implied) })
    }
}

impl Ports {
    pub(super) fn row(self) -> Result<Occupancy, String> {
        let holders = self.holders.0.into_iter().map(HoldingFields::holding).collect::<Option<_>>();
        Ok(Occupancy {
            netns: NetnsId(self.netns),
            protocol: self.protocol.0,
            source: self.source,
            destination: self.destination.map(SocketAddr::from),
            device: self.device,
            used: self.used,
            usable: self.usable,
            by_state: self
                .by_state
                .0
                .into_iter()
                .filter_map(|(Of(State(state)), count)| Some((state?, count)))
                .collect(),
            holders: holders.ok_or("a holder is one of `process`, `processes` and `unknown`")?,
            time_wait: self
                .time_wait
                .map(|TimeWaitFields { last_10_s, over_in_s }| TimeWait { last_10_s, over_in_s }),
            open_since: self.open_since_ns.map(BootNs),
        })
    }
}

/// Memory that belongs to a row, itself included.
pub(super) fn bytes_of(row: &Occupancy) -> usize {
    let of_holder = |holding: &Holding| match &holding.holder {
        Holder::Process(process) => heap_of(process),
        Holder::Processes { comm, .. } => comm.as_ref().map_or(0, |comm| heap(comm.0.capacity())),
        Holder::TimeWait | Holder::Closed | Holder::NotFound => 0,
    };
    size_of::<Occupancy>()
        + heap(size_of_val(&*row.by_state))
        + heap(row.holders.capacity() * size_of::<Holding>())
        + row.holders.iter().map(of_holder).sum::<usize>()
}
