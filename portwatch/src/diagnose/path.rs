//! What has ports of its own.

use std::net::{IpAddr, SocketAddr};

use crate::event::{NetnsId, Occupancy, Protocol};

/// The place of a row: the ports of one are not those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}
