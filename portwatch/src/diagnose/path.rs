//! What has ports of its own.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use crate::event::{NetnsId, Occupancy, Protocol, Snapshot};

/// The place of a row: the ports of one are not those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Where.
    pub netns: NetnsId,
    /// Whether it is UDP; TCP and MPTCP share theirs.
    pub is_udp: bool,
    /// From which address; none for any.
    pub source: Option<IpAddr>,
    /// To where; none for any.
    pub destination: Option<SocketAddr>,
    /// Index of the interface that sockets are bound to, or 0.
    pub device: u32,
}

/// In few words, as each failure is looked up by it.
impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bits = |address: Option<IpAddr>| match address {
            None => 0,
            Some(IpAddr::V4(address)) => u128::from(address.to_bits()),
            Some(IpAddr::V6(address)) => address.to_bits(),
        };
        let port = self.destination.map_or(0, |destination| destination.port());
        state.write_u128(bits(self.source));
        state.write_u128(bits(self.destination.map(|destination| destination.ip())));
        state.write_u64(u64::from(self.netns.0) << 32 | u64::from(self.device) << 16 ^ u64::from(port));
        state.write_u8(self.is_udp.into());
    }
}

impl Path {
    /// That of a row.
    #[must_use]
    pub fn of(row: &Occupancy) -> Self {
        Self {
            netns: row.netns,
            is_udp: row.protocol == Protocol::Udp,
            source: row.source,
            destination: row.destination,
            device: row.device,
        }
    }

    /// Its row; of several, as where sockets are bound to interfaces or the source is not known, the fullest.
    #[must_use]
    pub(super) fn row<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a Occupancy> {
        let matches = |row: &&Occupancy| {
            let of = Self::of(row);
            let source = self.source.or(of.source.filter(|_| self.destination.is_some()));
            (of.netns, of.is_udp, of.destination, of.source)
                == (self.netns, self.is_udp, self.destination, source)
        };
        snapshot.rows.iter().find(matches)
    }

    /// Whether a snapshot would have its row if there was one, but for rows that were left out.
    #[must_use]
    pub fn is_within(&self, snapshot: &Snapshot) -> bool {
        let scope = &snapshot.scope;
        let is_covered = match (self.source, self.destination) {
            (_, Some(destination)) => scope.towards.is_none_or(|towards| towards.covers(destination)),
            (Some(address), None) => scope.bind == Some(address),
            (None, None) => true,
        };
        is_covered && self.is_in_namespace_of(snapshot)
    }

    /// Whether the snapshot is of its namespace.
    #[must_use]
    pub(super) fn is_in_namespace_of(&self, snapshot: &Snapshot) -> bool {
        snapshot.namespaces.iter().any(|namespace| namespace.id == self.netns)
    }
}
