//! How long the kernel looked for local ports.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{BootNs, NetnsId};

/// How long searches for a local port took; successful ones included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Searches {
    /// By where, the most slow ones first.
    pub rows: Vec<SearchRow>,
    /// Those beyond the table's bound, whose row is not known.
    pub other: SearchTimes,
    /// Searches whose time is not known, as their beginning was not seen.
    pub unmeasured: u64,
}

/// Those from one address to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRow {
    /// Where.
    pub netns: NetnsId,
    /// From which address.
    pub source: IpAddr,
    /// To where.
    pub destination: SocketAddr,
    /// How long.
    pub times: SearchTimes,
}

/// How long some searches took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchTimes {
    /// How many.
    pub count: u64,
    /// Those that took 100 µs or longer.
    pub slow: u64,
    /// Of all together.
    pub total: Duration,
    /// Of the longest.
    pub longest: Duration,
}

impl SearchTimes {
    /// Of one; none took no time.
    #[must_use]
    pub fn average(&self) -> Duration {
        let ns = self.total.as_nanos().checked_div(self.count.into()).unwrap_or(0);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// Searches of a few seconds, of places where some were slow. Without rows: there were some lately, and are none now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSearches {
    /// Since.
    pub from: BootNs,
    /// Until.
    pub to: BootNs,
    /// By where.
    pub rows: Vec<RecentSearch>,
}

/// Those from one address to one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSearch {
    /// Where.
    pub netns: NetnsId,
    /// From which address.
    pub source: IpAddr,
    /// To where.
    pub destination: SocketAddr,
    /// How many there were.
    pub count: u64,
    /// Those that took 100 µs or longer.
    pub slow: u64,
    /// How long all of them took on average.
    pub average: Duration,
}
