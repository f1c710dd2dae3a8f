//! How often what failed, in a bounded number of series.
//!
//! In: exact counts of intervals. Out: the same by series; the sum over all of them is the sum of what came in. Must not
//! know: how they are written.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::diagnose::{Cause, cause};
use crate::event::{Counts, Errno, Row};
use crate::sink::GroupBy;

/// Series beside the one for what finds no room.
pub(super) const MOST: usize = 1500;
/// What stands in each label of that one. No address is called so, so it cannot be mistaken.
pub(super) const OVERFLOW: &str = "other";

/// What one series counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) cause: Cause,
    pub(super) errno: Errno,
    /// None where it wanted to go nowhere, or the caller gave no address that could be read.
    pub(super) destination: Option<SocketAddr>,
    /// Of the thread-group leader or what it runs in, which the kernel tells of those, too, that have ended.
    pub(super) group: String,
}

impl Kind {
    fn of(row: &Row, by: GroupBy) -> Self {
        let is_known = |address: &SocketAddr| address.port() != 0 || !address.ip().is_unspecified();
        Self {
            cause: cause(&row.fault),
            errno: row.fault.errno,
            destination: row.fault.destination().filter(is_known),
            group: by.group(&row.process.comm, &row.process.details, &row.fault).label(),
        }
    }
}

/// All that failed since the start.
#[derive(Debug)]
pub(super) struct Failures {
    by: GroupBy,
    pub(super) by_kind: BTreeMap<Kind, u64>,
    /// What found no room.
    pub(super) overflow: u64,
    /// Every cause is there from the start, so that its first failure is seen as growth.
    pub(super) by_cause: BTreeMap<Cause, u64>,
}

impl Failures {
    /// None yet.
    pub(super) fn new(by: GroupBy) -> Self {
        let by_cause = Cause::ALL.map(|cause| (cause, 0)).into();
        Self { by, by_kind: BTreeMap::new(), overflow: 0, by_cause }
    }

    /// What an interval had.
    pub(super) fn add(&mut self, counts: &Counts) {
        for row in &counts.rows {
            let kind = Kind::of(row, self.by);
            *self.by_cause.entry(kind.cause).or_default() += row.count;
            let has_room = self.by_kind.len() < MOST;
            match self.by_kind.get_mut(&kind) {
                Some(count) => *count += row.count,
                None if has_room => _ = self.by_kind.insert(kind, row.count),
                None => self.overflow += row.count,
            }
        }
        // The kernel's own table had no room: nobody knows what they were.
        self.overflow += counts.other;
        *self.by_cause.entry(Cause::Unknown).or_default() += counts.other;
    }
}
