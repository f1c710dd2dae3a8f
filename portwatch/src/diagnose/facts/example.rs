//! Hosts to try rules on: one in good health, and what may befall it.
//!
//! In: nothing. Out: facts as they would be found. The document of the rules shows what these come to.

use std::sync::Arc;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Cause, Facts};
use crate::event::{
    BootNs, CgroupId, Holder, Holding, NetnsId, Occupancy, PortRange, Process, Protocol, Settings,
    SocketState, Text, Tgid, TimeWait,
};
#[cfg(test)]
use crate::event::{Failure, Fault, Namespace, Scope, Snapshot};

/// The namespace of both.
const NETNS: NetnsId = NetnsId(4_026_531_840);
/// Where the client is.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Where it goes.
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 443);
/// What every namespace begins with.
pub(in super::super) const DEFAULT_RANGE: PortRange = PortRange { low: 32768, high: 60999 };

/// Some connections and no shortage, every fact known.
pub(in super::super) fn healthy() -> Facts {
    Facts {
        source: Some(SocketAddr::new(CLIENT.into(), 0)),
        destination: Some(SERVER),
        range: Some(DEFAULT_RANGE),
        reserved: Some(Vec::new()),
        bound_by_others: Some(0),
        listeners: Some(vec![22, 5432, 9100]),
        row: Some(row(&[(SocketState::Established, 40), (SocketState::TimeWait, 900)])),
        ends_per_minute: Some(900),
        netns: Some(NETNS),
        namespace_is_own: true,
        bound_visible: Some(true),
        settings: Settings {
            tcp_tw_reuse: Some(2),
            tcp_tw_reuse_delay_ms: None,
            tcp_timestamps: Some(true),
            ip_unprivileged_port_start: Some(1024),
            ip_nonlocal_bind: Some(false),
            ipv6_nonlocal_bind: Some(false),
            ipv6_disabled: Some(false),
        },
        namespace_is_hosts: Some(true),
        hosts_range: Some(DEFAULT_RANGE),
        ..Facts::new(Protocol::Tcp)
    }
}

/// As above, but a connect() found no port, with these sockets there.
pub(in super::super) fn exhausted(by_state: &[(SocketState, u32)]) -> Facts {
    Facts { cause: Some(Cause::RangeExhausted), row: Some(row(by_state)), ends_per_minute: None, ..healthy() }
}

/// The same with a range of its own.
pub(in super::super) fn exhausted_range(low: u16, high: u16) -> Facts {
    Facts { range: Some(PortRange { low, high }), row: None, ..exhausted(&[]) }
}

/// The same, and two kinds of sockets have its ports: most of them, and the rest, are in these states.
pub(in super::super) fn shared_range(low: u16, high: u16, states: [SocketState; 2]) -> Facts {
    let usable = PortRange { low, high }.width();
    let few = usable / 10;
    let row = Occupancy { usable, ..row(&[(states[0], usable - few), (states[1], few)]) };
    Facts { row: Some(row), ..exhausted_range(low, high) }
}

/// A row of the default range; one process has open what processes have open.
pub(in super::super) fn row(by_state: &[(SocketState, u32)]) -> Occupancy {
    let sum = |wanted: fn(SocketState) -> bool| {
        by_state.iter().filter(|(state, _)| wanted(*state)).map(|(_, count)| count).sum::<u32>()
    };
    let waiting = sum(|state| state == SocketState::TimeWait);
    let open = sum(|state| state != SocketState::TimeWait);
    let nobodys = Holding { holder: Holder::TimeWait, count: waiting, time_wait: waiting };
    let mut holders = vec![holding("java", 812, open), nobodys];
    holders.retain(|holding| holding.count > 0);
    holders.sort_by_key(|holding| std::cmp::Reverse(holding.count));
    Occupancy {
        netns: NETNS,
        protocol: Protocol::Tcp,
        source: Some(CLIENT.into()),
        destination: Some(SERVER),
        device: 0,
        used: waiting + open,
        usable: 28_232,
        by_state: by_state.to_vec(),
        holders,
        time_wait: (waiting > 0).then_some(TimeWait { last_10_s: waiting / 6, over_in_s: 60 }),
        open_since: None,
    }
}

/// A look at the default range with these rows.
#[cfg(test)]
pub(in super::super) fn snapshot(at: BootNs, rows: Vec<Occupancy>) -> Snapshot {
    let namespace = Namespace {
        listeners: vec![22, 5432, 9100],
        settings: healthy().settings,
        is_hosts: Some(true),
        ..Namespace::own(NETNS, DEFAULT_RANGE)
    };
    Snapshot {
        at,
        boot_offset_ns: 0,
        scope: Scope::default(),
        namespaces: vec![namespace],
        hosts_range: Some(DEFAULT_RANGE),
        rows,
        sockets: 0,
        repeated: 0,
        bound_visible: Some(true),
        limits: Vec::new(),
    }
}

/// A connect() that found no port, of the row's source and destination, after one second.
#[cfg(test)]
pub(in super::super) fn failure() -> Failure {
    let Holder::Process(process) = holding("java", 812, 1).holder else { unreachable!("it is a process") };
    Failure {
        at: BootNs(1_000_000_000),
        fault: Fault::no_port(SERVER),
        process,
        netns: NETNS,
        source: SocketAddr::new(CLIENT.into(), 0),
        port_range: DEFAULT_RANGE,
        own_range: None,
        search: None,
    }
}

/// What a process of this name has.
pub(in super::super) fn holding(name: &str, pid: u32, count: u32) -> Holding {
    let process = Process {
        tgid: Tgid(pid),
        start: BootNs(1),
        tid: None,
        comm: Text(name.as_bytes().to_vec()),
        uid: 0,
        gid: 0,
        cgroup: CgroupId(1),
        details: Arc::default(),
    };
    Holding { holder: Holder::Process(process), count, time_wait: 0 }
}
