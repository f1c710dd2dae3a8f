//! What is known of one shortage, or of one source and destination where one is near.
//!
//! In: what others found out. Out: [`Facts`], and what follows from them without opinion. What nobody knows is `None`,
//! and a rule that needs it is silent. Must not know: where facts come from, which rules there are.

pub(super) mod example;
mod found;
pub(super) mod reuse;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Cause;
use super::figures::{counted, permille};
use crate::event::{
    BootNs, Holding, NetnsId, Occupancy, PortRange, Protocol, Settings, SocketState, Tgid, TimeWait,
};

/// [`TimeWait::LENGTH_S`], among counts of ports.
pub(super) const TIME_WAIT_S: u32 = TimeWait::LENGTH_S as u32;
/// [`TimeWait::COUNTED_S`]: those in TIME_WAIT are known to be older, or not.
pub(super) const COUNTED: Duration = Duration::from_secs(TimeWait::COUNTED_S as u64);
/// From this share of the usable ports on, a shortage is near: when connections come steadily and each keeps its port
/// for a minute, a quarter more of them is one.
const NEAR_PERMILLE: u16 = 800;

/// One source and destination, or one group of failures alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Why calls failed. None where none did.
    pub cause: Option<Cause>,
    /// The transport.
    pub protocol: Protocol,
    /// Address, and port where the socket had or wanted one; else 0.
    pub source: Option<SocketAddr>,
    /// Where it goes.
    pub destination: Option<SocketAddr>,
    /// `ip_local_port_range` of the namespace.
    pub range: Option<PortRange>,
    /// `ip_local_reserved_ports` of the namespace, inside of the range and outside.
    pub reserved: Option<Vec<PortRange>>,
    /// Ports of the range, none of them reserved, that TCP sockets are bound to or listen on.
    pub bound_by_others: Option<u32>,
    /// Who has these; empty where that is not known.
    pub binders: Vec<Holding>,
    /// Ports that services of TCP or UDP wait on in the namespace, inside of the range and outside, each once.
    pub listeners: Option<Vec<u16>>,
    /// `IP_LOCAL_PORT_RANGE` of the socket, 0 for an end that it leaves open.
    pub own_range: Option<PortRange>,
    /// Who holds the ports for this source and destination, at the time of the failure if there was one.
    pub row: Option<Occupancy>,
    /// When the row was looked at.
    pub at: Option<BootNs>,
    /// For how long at least the oldest open connection of the row has been open.
    pub open_for: Option<Duration>,
    /// Connections of the row that this side has ended, at a rate of so many in a minute. Where none is free these are as many as come back.
    pub ends_per_minute: Option<u32>,
    /// Calls that failed in a minute, as far as they were shown. Who fails may try again, so that these are not wanted in
    /// addition.
    pub failures_per_minute: Option<u32>,
    /// The namespace.
    pub netns: Option<NetnsId>,
    /// A process in the namespace, which was there when somebody looked.
    pub inside: Option<Tgid>,
    /// Whether the namespace is the one that portwatch runs in.
    pub namespace_is_own: bool,
    /// Whether the kernel shows sockets that are bound and neither connected nor listening.
    pub bound_visible: Option<bool>,
    /// Settings of the namespace.
    pub settings: Settings,
    /// Whether the namespace is the host's own.
    pub namespace_is_hosts: Option<bool>,
    /// `ip_local_port_range` of the host's own namespace.
    pub hosts_range: Option<PortRange>,
}

impl Facts {
    /// Nothing is known but the transport.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self {
            cause: None,
            protocol,
            source: None,
            destination: None,
            range: None,
            reserved: None,
            bound_by_others: None,
            binders: Vec::new(),
            listeners: None,
            own_range: None,
            row: None,
            at: None,
            open_for: None,
            ends_per_minute: None,
            failures_per_minute: None,
            netns: None,
            inside: None,
            namespace_is_own: false,
            bound_visible: None,
            settings: Settings::default(),
            namespace_is_hosts: None,
            hosts_range: None,
        }
    }

    /// Whether a connect() found no port, or soon may.
    pub(super) fn is_short(&self) -> bool {
        match self.cause {
            Some(cause) => cause == Cause::RangeExhausted,
            None => self.protocol != Protocol::Udp && self.is_nearly_full(),
        }
    }

    /// Whether a UDP socket found no port, or soon may.
    pub(super) fn lacks_udp_ports(&self) -> bool {
        match self.cause {
            Some(Cause::UdpRangeExhausted) => true,
            Some(Cause::BindRangeExhausted) => self.protocol == Protocol::Udp,
            Some(_) => false,
            None => self.protocol == Protocol::Udp && self.is_nearly_full(),
        }
    }

    /// Whether a bind() found no port, or a connect() or a UDP socket did or soon may.
    pub(super) fn lacks_ports(&self) -> bool {
        self.cause == Some(Cause::BindRangeExhausted) || self.lacks_udp_ports() || self.is_short()
    }

    /// Whether ports were short and are not any more.
    pub(super) fn shortage_is_over(&self) -> bool {
        self.cause.is_some() && self.lacks_ports() && !self.is_nearly_full()
    }

    fn is_nearly_full(&self) -> bool {
        self.row.as_ref().is_some_and(|row| permille(self.blocked(row), row.usable) >= NEAR_PERMILLE)
    }

    /// Ports of the row that nobody can have, TIME_WAIT that may be taken over not among them.
    fn blocked(&self, row: &Occupancy) -> u32 {
        reuse::blocked(row, &self.settings)
    }

    /// Whether TIME_WAIT in its whole length holds more ports than all else, so that rates tell what more ports bring.
    pub(super) fn is_mostly_time_wait(&self) -> bool {
        let waiting = |row| Self::in_states(row, &[SocketState::TimeWait]);
        self.waits_in_full() && self.short_row().is_some_and(|row| waiting(row) > row.used / 2)
    }

    /// The row, if its ports can explain the shortage: not where the socket chose among few of them.
    pub(super) fn short_row(&self) -> Option<&Occupancy> {
        self.row.as_ref().filter(|_| self.is_short() && self.narrowed().is_none())
    }

    /// Ports of the row in one of these states.
    pub(super) fn in_states(row: &Occupancy, states: &[SocketState]) -> u32 {
        row.by_state.iter().filter(|(state, _)| states.contains(state)).map(|(_, count)| count).sum()
    }

    /// What the socket itself leaves of the range, where that is less.
    pub(super) fn narrowed(&self) -> Option<PortRange> {
        let range = self.range?;
        Some(range.narrowed_by(self.own_range?)).filter(|left| *left != range)
    }

    /// Ports of `range` that are reserved.
    pub(super) fn reserved_within(&self, range: PortRange) -> Option<u32> {
        let reserved = self.reserved.as_ref()?;
        // They never overlap one another.
        Some(reserved.iter().map(|part| part.overlap(range).width()).sum())
    }

    /// Listeners' ports that the kernel could choose if they were in the range, as they are not reserved; in order.
    pub(super) fn unreserved_listeners(&self) -> Option<Vec<u16>> {
        let reserved = self.reserved.as_ref()?;
        let taken = |port: u16| reserved.iter().any(|part| part.contains(port));
        let mut ports: Vec<u16> =
            self.listeners.as_ref()?.iter().copied().filter(|port| !taken(*port)).collect();
        ports.sort_unstable();
        Some(ports)
    }

    /// Whether somebody waits on this port. Of UDP that is not known inside of the range.
    pub(super) fn is_listened_on(&self, port: u16) -> Option<bool> {
        self.listeners.as_ref().map(|listeners| listeners.contains(&port))
    }

    /// The setting that lets addresses of this family be bound that are not there.
    pub(super) fn nonlocal_bind_key(&self, address: IpAddr) -> &'static str {
        if address.is_ipv6() { "net.ipv6.ip_nonlocal_bind" } else { "net.ipv4.ip_nonlocal_bind" }
    }

    /// Whether it does.
    pub(super) fn lets_bind_to_anything(&self, address: IpAddr) -> Option<bool> {
        if address.is_ipv6() { self.settings.ipv6_nonlocal_bind } else { self.settings.ip_nonlocal_bind }
    }

    /// Unreserved listeners inside of the range.
    pub(super) fn listeners_inside(&self) -> Option<u32> {
        let range = self.range?;
        let ports = self.unreserved_listeners()?;
        u32::try_from(ports.iter().filter(|port| range.contains(**port)).count()).ok()
    }

    /// Ports of the range with a socket that is bound and does not listen.
    pub(super) fn bound_only(&self) -> Option<u32> {
        Some(self.bound_by_others?.saturating_sub(self.listeners_inside()?))
    }

    /// Ports that the kernel may choose for the socket, whoever has them.
    pub(super) fn offered(&self) -> Option<u32> {
        let range = self.narrowed().or(self.range)?;
        Some(range.width() - self.reserved_within(range)?)
    }

    /// The same in words, as far as known.
    pub(super) fn choice(&self) -> Option<String> {
        let range = self.narrowed().or(self.range)?;
        Some(match self.reserved_within(range) {
            None => format!("ports of {range}"),
            Some(0) => format!("{} of {range}", counted(range.width(), "port")),
            Some(reserved) => {
                format!("{} of {range} that are not reserved", counted(range.width() - reserved, "port"))
            }
        })
    }

    /// Who has all ports for itself.
    pub(super) fn whose(&self) -> &'static str {
        match (self.cause, self.protocol) {
            (Some(Cause::BindRangeExhausted | Cause::UdpRangeExhausted), _) | (_, Protocol::Udp) => {
                "each local address"
            }
            _ => "each source and destination",
        }
    }

    /// Ports that one source and destination have for themselves.
    pub(super) fn usable(&self) -> Option<u32> {
        // How many are bound is counted over the whole range.
        match (&self.row, self.narrowed()) {
            (Some(row), None) => Some(row.usable),
            (None, None) => Some(self.offered()?.saturating_sub(self.bound_by_others.unwrap_or(0))),
            (_, Some(_)) => self.offered(),
        }
    }

    /// Whether the kernel takes the connection for one of loopback: by either address (`tcp_twsk_unique`,
    /// net/ipv4/tcp_ipv4.c).
    pub(super) fn is_loopback(&self) -> Option<bool> {
        let source = self.source.is_some_and(|source| source.ip().is_loopback());
        Some(source || self.destination?.ip().is_loopback())
    }

    /// Youngest TIME_WAIT that may be taken over where that is allowed.
    pub(super) fn reuse_delay(&self) -> Duration {
        reuse::delay(&self.settings)
    }

    /// Whether this side lets a port in TIME_WAIT be taken over early. The other side must use timestamps too.
    pub(super) fn reuses_time_wait(&self) -> Option<bool> {
        reuse::is_allowed(&self.settings, self.is_loopback())
    }

    /// Ports in TIME_WAIT that nobody was let take over although settings allow it and their time had come: the other
    /// side used no timestamps, or the sockets were bound before they connected. None where that is not so for most.
    pub(super) fn refused_time_wait(&self) -> Option<u32> {
        let row =
            self.short_row().filter(|_| self.cause.is_some() && self.reuses_time_wait() == Some(true))?;
        let waiting = Self::in_states(row, &[SocketState::TimeWait]);
        let old = waiting.saturating_sub(row.time_wait?.last_10_s);
        (self.reuse_delay() < COUNTED && old > waiting / 2).then_some(old)
    }

    /// Whether a port in TIME_WAIT is not to be had before that is over.
    pub(super) fn waits_in_full(&self) -> bool {
        self.reuses_time_wait() == Some(false) || self.refused_time_wait().is_some()
    }

    /// Connections a minute that the usable ports can carry, where each keeps its port for the whole TIME_WAIT.
    pub(super) fn carries_per_minute(&self) -> Option<u32> {
        self.usable().filter(|_| self.waits_in_full()).map(|usable| usable * 60 / TIME_WAIT_S)
    }

    /// The host's range, if the namespace is another one and has a narrower range.
    pub(super) fn wider_on_host(&self) -> Option<PortRange> {
        let host = self.hosts_range.filter(|_| self.namespace_is_hosts == Some(false))?;
        (host.width() > self.range?.width()).then_some(host)
    }

    /// From where to where, as far as known.
    pub(super) fn path(&self) -> String {
        match (self.source, self.destination) {
            (Some(source), Some(destination)) => format!("from {} to {destination}", source.ip()),
            (Some(source), None) => format!("from {}", source.ip()),
            (None, Some(destination)) => format!("to {destination}"),
            (None, None) => "for this source and destination".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
