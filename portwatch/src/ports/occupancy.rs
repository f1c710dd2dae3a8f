//! From sockets to rows: what is taken of what could be had.
//!
//! In: the sockets of one namespace and its settings. Out: rows. Pure. Must not know: how sockets are read, how rows
//! are shown.
//!
//! The rules are those of `__inet_hash_connect` (net/ipv4/inet_hashtables.c). It passes over a port that is reserved;
//! over one that a socket was bound to, whatever that one's address; and over one whose 4-tuple exists. So the second
//! kind leaves nothing for anybody and is subtracted from the usable ports of every destination.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::RandomState;

use super::dump::Socket;
use super::holders;
use super::settings::{PortSet, Settings};
use crate::event::{BootNs, Holder, Holding, Namespace, NetnsId, Occupancy, Protocol, SocketState, TimeWait};

/// A socket that has a port of the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Which.
    pub port: u16,
    /// Of the socket.
    pub state: SocketState,
    /// Of the socket; 0 in TIME_WAIT and after it was closed.
    pub inode: u32,
    /// Of the socket, also in TIME_WAIT.
    pub cookie: u64,
    /// In TIME_WAIT: seconds until it is gone, rounded up; else 0.
    pub left_s: u8,
}

/// What a TCP connection must not share with another one, besides its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Path {
    source: IpAddr,
    destination: SocketAddr,
    device: u32,
}

impl Hash for Path {
    /// As three numbers, not as a dozen parts of enumerations: each socket's path is looked up.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(bits(self.source));
        hasher.write_u128(bits(self.destination.ip()));
        hasher.write_u64(u64::from(self.destination.port()) << 32 | u64::from(self.device));
    }
}

/// IPv4 as IPv4-mapped.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => 0xffff << 32 | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The sockets of one namespace that have a port which the kernel may choose.
#[derive(Debug)]
pub(super) struct Table {
    id: NetnsId,
    settings: Settings,
    connected: Vec<(Path, Vec<Held>)>,
    /// Where each path stands in `connected`.
    places: HashMap<Path, usize, RandomState>,
    /// Of the last socket: neighbours in the kernel's table often share their path, and to compare two is cheaper than to
    /// look one up.
    last_place: usize,
    /// TCP sockets that listen or are bound only, and their ports.
    bound: Vec<Held>,
    bound_ports: PortSet,
    udp: Vec<Held>,
    /// Ports that services wait on, inside of the range and outside.
    listeners: PortSet,
}

/// What is known of a socket besides what the kernel's tables say.
pub struct Told<O, S> {
    /// Who owns it.
    pub owner: O,
    /// For one that is established: when it was connected, or first seen open; none where that is not known.
    pub open_since: S,
}

/// Bits of a place among the sockets of a row.
const PLACE: u64 = (1 << 40) - 1;

/// What one owner has of a row.
#[derive(Default)]
struct Share {
    count: u32,
    time_wait: u32,
    last_port: u16,
}

impl Table {
    /// Empty.
    pub(super) fn new(id: NetnsId, settings: Settings) -> Self {
        Self {
            id,
            settings,
            connected: Vec::new(),
            places: HashMap::default(),
            last_place: 0,
            bound: Vec::new(),
            bound_ports: PortSet::new(),
            udp: Vec::new(),
            listeners: PortSet::new(),
        }
    }

    /// Takes in a socket, if it has one of the ports in question.
    pub(super) fn add(&mut self, socket: &Socket) {
        let port = socket.source.port();
        if self.is_service(socket) {
            self.listeners.insert(port);
        }
        if !self.settings.offers(port) {
            return;
        }
        let Socket { state, inode, cookie, left_s, .. } = *socket;
        let held = Held { port, state, inode, cookie, left_s };
        match (socket.protocol, socket.state) {
            (Protocol::Udp, _) => self.udp.push(held),
            (_, SocketState::Listen | SocketState::Bound) => {
                self.bound_ports.insert(port);
                self.bound.push(held);
            }
            _ => {
                let path = Path {
                    source: socket.source.ip(),
                    destination: socket.destination,
                    device: socket.device,
                };
                self.connected_by(path).push(held);
            }
        }
    }

    /// The connections that share a path.
    fn connected_by(&mut self, path: Path) -> &mut Vec<Held> {
        if self.connected.get(self.last_place).is_none_or(|(last, _)| *last != path) {
            let new = self.connected.len();
            self.last_place = *self.places.entry(path).or_insert(new);
            if self.last_place == new {
                self.connected.push((path, Vec::new()));
            }
        }
        &mut self.connected[self.last_place].1
    }

    /// Whether somebody waits for peers there, or may: who has no peer and has asked for its port, which can be told only
    /// outside of the range.
    fn is_service(&self, socket: &Socket) -> bool {
        let is_asked_for = !self.settings.range.contains(socket.source.port());
        socket.state == SocketState::Listen || (socket.state == SocketState::Bound && is_asked_for)
    }

    /// Every socket that was taken in.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.connected.iter().flat_map(|(_, held)| held).chain(&self.bound).chain(&self.udp)
    }

    /// What the namespace offers.
    pub(super) fn namespace(&self) -> Namespace {
        Namespace {
            id: self.id,
            range: self.settings.range,
            reserved: self.settings.reserved_in_range(),
            bound: self.bound_ports.len(),
            reserved_ports: self.settings.reserved.ranges(),
            listeners: self.listeners.ports().collect(),
            settings: self.settings.others,
            is_own: false,
            is_hosts: None,
        }
    }

    /// A row for each path with a port that is taken for it, one for the ports that are bound, one for UDP.
    pub(super) fn rows<O: Copy + Ord>(
        &self,
        told: &Told<impl Fn(&Held) -> O, impl Fn(&Held) -> Option<BootNs>>,
        holder: &mut impl FnMut(O) -> Holder,
    ) -> Vec<Occupancy> {
        let offered = self.settings.offered();
        let usable = offered - self.bound_ports.len();
        let mut rows = Vec::new();
        for (path, held) in &self.connected {
            // Nobody is refused such a port because of this connection: it is refused anyway.
            let held = held.iter().filter(|held| !self.bound_ports.contains(held.port));
            let mut row = self.row(Protocol::Tcp, held, usable, told, holder);
            row.source = Some(path.source);
            row.destination = Some(path.destination);
            row.device = path.device;
            rows.push(row);
        }
        rows.push(self.row(Protocol::Tcp, &self.bound, offered, told, holder));
        rows.push(self.row(Protocol::Udp, &self.udp, offered, told, holder));
        rows.retain(|row| row.used > 0);
        rows
    }

    /// What a bind() to `address` that asks for any port finds taken: ports of sockets with this address, or with none
    /// (`inet_csk_bind_conflict`, net/ipv4/inet_connection_sock.c; `SO_REUSEADDR` and `SO_REUSEPORT` are not known here).
    pub(super) fn bind_row<O: Copy + Ord>(
        &self,
        address: IpAddr,
        told: &Told<impl Fn(&Held) -> O, impl Fn(&Held) -> Option<BootNs>>,
        holder: &mut impl FnMut(O) -> Holder,
    ) -> Option<Occupancy> {
        let conflicts =
            |source: IpAddr| address.is_unspecified() || source.is_unspecified() || source == address;
        let connected = self.connected.iter().filter(|(path, _)| conflicts(path.source));
        let held = connected.flat_map(|(_, held)| held).chain(&self.bound);
        let row = self.row(Protocol::Tcp, held, self.settings.offered(), told, holder);
        (row.used > 0).then_some(Occupancy { source: Some(address), ..row })
    }

    /// A row without its path.
    fn row<'a, O: Copy + Ord>(
        &self,
        protocol: Protocol,
        held: impl IntoIterator<Item = &'a Held>,
        usable: u32,
        told: &Told<impl Fn(&Held) -> O, impl Fn(&Held) -> Option<BootNs>>,
        holder: &mut impl FnMut(O) -> Holder,
    ) -> Occupancy {
        let held: Vec<&Held> = held.into_iter().collect();
        let mut states: BTreeMap<SocketState, u32> = BTreeMap::new();
        let mut owners: BTreeMap<O, Share> = BTreeMap::new();
        let mut used = 0;
        let mut last = None;
        for held in by_port(&held) {
            if last != Some(held.port) {
                last = Some(held.port);
                used += 1;
                *states.entry(held.state).or_default() += 1;
            }
            // Two sockets of one process on one port are one port of that process.
            let share = owners.entry((told.owner)(held)).or_default();
            if share.last_port != held.port {
                share.last_port = held.port;
                share.count += 1;
                share.time_wait += u32::from(held.state == SocketState::TimeWait);
            }
        }
        let mut by_state: Vec<_> = states.into_iter().collect();
        by_state.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut owners: Vec<_> = owners.into_iter().collect();
        owners.sort_by_key(|(owner, share)| (std::cmp::Reverse(share.count), *owner));
        let holding =
            |(owner, Share { count, time_wait, .. })| Holding { holder: holder(owner), count, time_wait };
        let holders = holders::bounded(owners.into_iter().map(holding));
        Occupancy {
            netns: self.id,
            protocol,
            source: None,
            destination: None,
            device: 0,
            used,
            usable,
            by_state,
            holders,
            time_wait: time_wait(&held),
            open_since: open_since(&held, &told.open_since),
        }
    }
}

/// By port, and where sockets share one by state: one that listens tells more than one that is bound.
fn by_port<'a>(held: &[&'a Held]) -> impl Iterator<Item = &'a Held> {
    // As numbers, which hold the order and the place: to follow two references for each comparison is a twenty-fifth of
    // reading 400,000 sockets.
    let order = |(place, held): (usize, &&Held)| {
        u64::from(held.port) << 48 | (held.state as u64) << 40 | (place as u64 & PLACE)
    };
    let mut order: Vec<u64> = held.iter().enumerate().map(order).collect();
    order.sort_unstable();
    order.into_iter().filter_map(|order| held.get((order & PLACE) as usize).copied())
}

/// Since when the oldest of the established ones is there.
fn open_since(held: &[&Held], since: &impl Fn(&Held) -> Option<BootNs>) -> Option<BootNs> {
    held.iter().filter(|held| held.state == SocketState::Established).filter_map(|held| since(held)).min()
}

/// When those in TIME_WAIT began to wait, and until when the last of them will.
fn time_wait(held: &[&Held]) -> Option<TimeWait> {
    let waiting = held.iter().filter(|held| held.state == SocketState::TimeWait);
    let over_in_s = waiting.clone().map(|held| held.left_s).max()?;
    let young = waiting.filter(|held| held.left_s > TimeWait::LENGTH_S - TimeWait::COUNTED_S).count();
    Some(TimeWait { last_10_s: count(young), over_in_s })
}

/// Sorts by the share that is taken, then by how much that is, then by where it is.
pub(super) fn by_pressure(rows: &mut [Occupancy]) {
    let place =
        |row: &Occupancy| (row.netns, row.protocol == Protocol::Udp, row.source, row.destination, row.device);
    rows.sort_by(|one, other| {
        let share = |row: &Occupancy, of: &Occupancy| u64::from(row.used) * u64::from(of.usable);
        share(other, one)
            .cmp(&share(one, other))
            .then(other.used.cmp(&one.used))
            .then_with(|| place(one).cmp(&place(other)))
    });
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
