//! What was found in the kernel's socket tables: who holds the local ports.

use std::net::{IpAddr, SocketAddr};

use super::{BootNs, Destination, NetnsId, PortRange, Process, Protocol, Text};

/// Where a socket stands (include/net/tcp_states.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketState {
    /// Connected; of UDP too.
    Established,
    /// The destination has not answered yet.
    SynSent,
    /// A peer's connection is being set up.
    SynRecv,
    /// This side has closed.
    FinWait1,
    /// This side has closed, and the other knows.
    FinWait2,
    /// Closed by both; the port waits for late packets.
    TimeWait,
    /// The other side has closed, this one has not.
    CloseWait,
    /// Both have closed; the last answer is missing.
    LastAck,
    /// Both have closed at once.
    Closing,
    /// Waits for connections.
    Listen,
    /// Has a port and no peer: bound and neither connected nor listening. Of UDP: not connected.
    Bound,
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A process that has the socket open. Or had: of a socket that nobody has open any more, who connected it, or was
    /// last seen with it open.
    Process(Process),
    /// Several such processes, where they are too many to be named each.
    Processes {
        /// The name that they have in common; none where they have several.
        comm: Option<Text>,
        /// How many there are.
        number: u32,
        /// Whether all have ended.
        exited: bool,
    },
    /// Nobody known: the connection is over, and the kernel remembers no owner in TIME_WAIT.
    TimeWait,
    /// Nobody known: its process has closed the socket, and the kernel finishes it; or the socket is the kernel's own.
    Closed,
    /// Somebody: no process that could be looked into has the socket open.
    NotFound,
}

/// A holder and how much it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Who.
    pub holder: Holder,
    /// Ports. Processes that share a socket's port each count it.
    pub count: u32,
    /// Of these the ones in TIME_WAIT.
    pub time_wait: u32,
}

/// The ports that are taken for new connections from one address to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    /// Where.
    pub netns: NetnsId,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// From which address. None for ports that are taken whatever the source and the destination. Alone, without a
    /// destination, where a bind() to this address asks for any port.
    pub source: Option<IpAddr>,
    /// To where. None as for the source, and for a bind().
    pub destination: Option<SocketAddr>,
    /// Index of the interface that the sockets are bound to; 0 where they are not.
    pub device: u32,
    /// Ports among the usable ones that cannot be had.
    pub used: u32,
    /// Ports that could be had if none of these sockets were there.
    pub usable: u32,
    /// The used ones by the state of their socket, the most first.
    pub by_state: Vec<(SocketState, u32)>,
    /// The used ones by who has them, the most first.
    pub holders: Vec<Holding>,
    /// What the sockets in TIME_WAIT tell of time; none where there are none.
    pub time_wait: Option<TimeWait>,
    /// Since when at least the oldest of those in ESTABLISHED has been open: its connect() was seen, or an earlier snapshot
    /// has seen it. None where that is not known.
    pub open_since: Option<BootNs>,
}

/// Sockets in TIME_WAIT, by when they began to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWait {
    /// How many ports of such sockets there are whose wait began in the ten seconds before the snapshot: connections that
    /// ended, and at least so many where ports in TIME_WAIT are taken over, as each counts once.
    pub last_10_s: u32,
    /// Seconds until the last of them is gone, rounded up.
    pub over_in_s: u8,
}

impl TimeWait {
    /// How long a closed connection keeps its port: `TCP_TIMEWAIT_LEN`, include/net/tcp.h (5.10 to 7.3). No setting
    /// changes it.
    pub const LENGTH_S: u8 = 60;
    /// The same in nanoseconds.
    pub const LENGTH_NS: u64 = Self::LENGTH_S as u64 * 1_000_000_000;
    /// Seconds that [`Self::last_10_s`] counts.
    pub const COUNTED_S: u8 = 10;
}

/// What a namespace offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Which.
    pub id: NetnsId,
    /// `ip_local_port_range`, for IPv6 too.
    pub range: PortRange,
    /// Ports of the range that `ip_local_reserved_ports` takes out of it.
    pub reserved: u32,
    /// Other ports of the range that TCP sockets are bound to or listen on: no connect() gets them, whatever its
    /// source and destination.
    pub bound: u32,
    /// `ip_local_reserved_ports`, inside of the range and outside.
    pub reserved_ports: Vec<PortRange>,
    /// Ports that services wait on, in order: where TCP listens, and those outside of the range that sockets without a
    /// peer have.
    pub listeners: Vec<u16>,
    /// Settings that decide what helps.
    pub settings: Settings,
    /// Whether portwatch runs in it.
    pub is_own: bool,
    /// Whether this is the host's own. None where that could not be seen.
    pub is_hosts: Option<bool>,
}

#[cfg(test)]
impl Namespace {
    /// For tests: portwatch's own, with this range and nothing else.
    pub(crate) fn own(id: NetnsId, range: PortRange) -> Self {
        Self {
            id,
            range,
            reserved: 0,
            bound: 0,
            reserved_ports: Vec::new(),
            listeners: Vec::new(),
            settings: Settings::default(),
            is_own: true,
            is_hosts: None,
        }
    }
}

/// Settings of a namespace that decide what helps where ports are short. None where the kernel has no such setting, or
/// does not let it be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// `net.ipv4.tcp_tw_reuse`: 0, 1 everywhere, 2 on loopback only.
    pub tcp_tw_reuse: Option<u8>,
    /// `net.ipv4.tcp_tw_reuse_delay`, since Linux 6.14.
    pub tcp_tw_reuse_delay_ms: Option<u32>,
    /// Whether `net.ipv4.tcp_timestamps` is on.
    pub tcp_timestamps: Option<bool>,
    /// `net.ipv4.ip_unprivileged_port_start`: a range that begins below is refused.
    pub ip_unprivileged_port_start: Option<u16>,
    /// Whether `net.ipv4.ip_nonlocal_bind` lets addresses be bound that the namespace does not have.
    pub ip_nonlocal_bind: Option<bool>,
    /// The same of IPv6: `net.ipv6.ip_nonlocal_bind`.
    pub ipv6_nonlocal_bind: Option<bool>,
    /// Whether IPv6 is off on every interface (`net.ipv6.conf.*.disable_ipv6`, or there is no IPv6). None where it is
    /// off on some.
    pub ipv6_disabled: Option<bool>,
}

/// What a snapshot has rows of; of anything else nothing follows from there being none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Connections to there only; all if none.
    pub towards: Option<Destination>,
    /// The address of a bind() that there is a row for.
    pub bind: Option<IpAddr>,
    /// Rows that are not here, each less full than those that are.
    pub rows_left_out: u32,
    /// Whether it is of all network namespaces that could be found: one that is not among them has gone.
    pub all_namespaces: bool,
}

/// Who holds the local ports at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was begun.
    pub at: BootNs,
    /// Wall-clock time minus boot-clock time, nanoseconds.
    pub boot_offset_ns: i64,
    /// What was looked for there.
    pub scope: Scope,
    /// Where was looked.
    pub namespaces: Vec<Namespace>,
    /// `ip_local_port_range` of the host's own namespace, where that could be read.
    pub hosts_range: Option<PortRange>,
    /// The highest pressure first.
    pub rows: Vec<Occupancy>,
    /// Sockets that were read.
    pub sockets: u64,
    /// Reads that were begun again, because the kernel said that its tables changed meanwhile.
    pub repeated: u32,
    /// Whether this kernel shows sockets that are bound and neither connected nor listening. None where it does not
    /// tell.
    pub bound_visible: Option<bool>,
    /// What could not be seen, in sentences.
    pub limits: Vec<String>,
}
