//! From sockets to rows: what is taken of what could be had.
//!
//! In: the sockets of one namespace and its settings. Out: rows. Pure. Must not know: how sockets are read, how rows
//! are shown.
//!
//! The rules are those of `__inet_hash_connect` (net/ipv4/inet_hashtables.c). It passes over a port that is reserved;
//! over one that a socket was bound to, whatever that one's address; and over one whose 4-tuple exists. So the second
//! kind leaves nothing for anybody and is subtracted from the usable ports of every destination.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::dump::Socket;
use super::settings::{PortSet, Settings};
use crate::event::{Holder, Holding, Namespace, NetnsId, Occupancy, Protocol, SocketState};

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
}

/// What a TCP connection must not share with another one, besides its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Path {
    source: IpAddr,
    destination: SocketAddr,
    device: u32,
}

/// The sockets of one namespace that have a port which the kernel may choose.
#[derive(Debug)]
pub(super) struct Table {
    id: NetnsId,
    settings: Settings,
    connected: HashMap<Path, Vec<Held>>,
    /// TCP sockets that listen or are bound only.
    bound: Vec<Held>,
    udp: Vec<Held>,
}

impl Table {
    /// Empty.
    pub(super) fn new(id: NetnsId, settings: Settings) -> Self {
        Self { id, settings, connected: HashMap::new(), bound: Vec::new(), udp: Vec::new() }
    }

    /// Takes in a socket, if it has one of the ports in question.
    pub(super) fn add(&mut self, socket: &Socket) {
        let port = socket.source.port();
        if !self.settings.offers(port) {
            return;
        }
        let held = Held { port, state: socket.state, inode: socket.inode, cookie: socket.cookie };
        match (socket.protocol, socket.state) {
            (Protocol::Udp, _) => self.udp.push(held),
            (_, SocketState::Listen | SocketState::Bound) => self.bound.push(held),
            _ => {
                let path = Path {
                    source: socket.source.ip(),
                    destination: socket.destination,
                    device: socket.device,
                };
                self.connected.entry(path).or_default().push(held);
            }
        }
    }

    /// Every socket that was taken in.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.connected.values().flatten().chain(&self.bound).chain(&self.udp)
    }

    /// What the namespace offers.
    pub(super) fn namespace(&self) -> Namespace {
        let mut ports: Vec<u16> = self.bound.iter().map(|held| held.port).collect();
        ports.sort_unstable();
        ports.dedup();
        Namespace {
            id: self.id,
            range: self.settings.range,
            reserved: self.settings.reserved_in_range(),
            bound: count(ports.len()),
        }
    }

    /// A row for each path with a port that is taken for it, one for the ports that are bound, one for UDP.
    pub(super) fn rows<O: Copy + Ord>(
        &self,
        owner: &impl Fn(&Held) -> O,
        holder: &mut impl FnMut(O) -> Holder,
    ) -> Vec<Occupancy> {
        let mut bound = PortSet::new();
        self.bound.iter().for_each(|held| bound.insert(held.port));
        let offered = self.settings.offered();
        let usable = offered - self.namespace().bound;
        let mut rows = Vec::new();
        for (path, held) in &self.connected {
            // Nobody is refused such a port because of this connection: it is refused anyway.
            let held: Vec<Held> = held.iter().filter(|held| !bound.contains(held.port)).copied().collect();
            let mut row = self.row(Protocol::Tcp, held, usable, owner, holder);
            row.source = Some(path.source);
            row.destination = Some(path.destination);
            row.device = path.device;
            rows.push(row);
        }
        rows.push(self.row(Protocol::Tcp, self.bound.clone(), offered, owner, holder));
        rows.push(self.row(Protocol::Udp, self.udp.clone(), offered, owner, holder));
        rows.retain(|row| row.used > 0);
        rows
    }

    /// A row without its path.
    fn row<O: Copy + Ord>(
        &self,
        protocol: Protocol,
        mut held: Vec<Held>,
        usable: u32,
        owner: &impl Fn(&Held) -> O,
        holder: &mut impl FnMut(O) -> Holder,
    ) -> Occupancy {
        // States are in this order where sockets share a port: one that listens tells more than one that is bound.
        held.sort_unstable();
        let mut states: BTreeMap<SocketState, u32> = BTreeMap::new();
        let mut owners: BTreeMap<O, (u32, u16)> = BTreeMap::new();
        let mut used = 0;
        let mut last = None;
        for held in &held {
            if last != Some(held.port) {
                last = Some(held.port);
                used += 1;
                *states.entry(held.state).or_default() += 1;
            }
            // Two sockets of one process on one port are one port of that process.
            let (count, last_port) = owners.entry(owner(held)).or_insert((0, 0));
            if *last_port != held.port {
                *last_port = held.port;
                *count += 1;
            }
        }
        let mut by_state: Vec<_> = states.into_iter().collect();
        by_state.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut owners: Vec<_> = owners.into_iter().collect();
        owners.sort_by_key(|(owner, (count, _))| (std::cmp::Reverse(*count), *owner));
        let holders =
            owners.into_iter().map(|(owner, (count, _))| Holding { holder: holder(owner), count }).collect();
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
        }
    }
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
