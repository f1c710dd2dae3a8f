//! Hosts to try rules on: one in good health, and what may befall it.
//!
//! In: nothing. Out: facts as they would be found. The document of the rules shows what these come to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Cause, Facts, HostSettings};
use crate::event::{
    BootNs, CgroupId, Details, Holder, Holding, NetnsId, Occupancy, PortRange, Process, Protocol,
    SocketState, Text, Tgid,
};

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
        connects_per_s: Some(15),
        settings: HostSettings {
            tcp_tw_reuse: Some(2),
            tcp_tw_reuse_delay_ms: None,
            tcp_timestamps: Some(true),
            ipv6_disabled: Some(false),
        },
        namespace_is_hosts: Some(true),
        hosts_range: Some(DEFAULT_RANGE),
        ..Facts::new(Protocol::Tcp)
    }
}

/// As above, but a connect() found no port, with these sockets there.
pub(in super::super) fn exhausted(by_state: &[(SocketState, u32)]) -> Facts {
    Facts { cause: Some(Cause::RangeExhausted), row: Some(row(by_state)), connects_per_s: None, ..healthy() }
}

/// The same with a range of its own.
pub(in super::super) fn exhausted_range(low: u16, high: u16) -> Facts {
    Facts { range: Some(PortRange { low, high }), row: None, ..exhausted(&[]) }
}

/// A row of the default range; one process has open what processes have open.
pub(in super::super) fn row(by_state: &[(SocketState, u32)]) -> Occupancy {
    let sum = |wanted: fn(SocketState) -> bool| {
        by_state.iter().filter(|(state, _)| wanted(*state)).map(|(_, count)| count).sum::<u32>()
    };
    let waiting = sum(|state| state == SocketState::TimeWait);
    let open = sum(|state| state != SocketState::TimeWait);
    let mut holders = vec![holding("java", 812, open), Holding { holder: Holder::TimeWait, count: waiting }];
    holders.retain(|holding| holding.count > 0);
    holders.sort_by_key(|holding| std::cmp::Reverse(holding.count));
    Occupancy {
        netns: NetnsId(4_026_531_840),
        protocol: Protocol::Tcp,
        source: Some(CLIENT.into()),
        destination: Some(SERVER),
        device: 0,
        used: waiting + open,
        usable: 28_232,
        by_state: by_state.to_vec(),
        holders,
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
        details: Details::NotRead,
    };
    Holding { holder: Holder::Process(process), count }
}
