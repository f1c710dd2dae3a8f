//! When calls failed, and on the way to where.
//!
//! In: counts with times and targets. Out: series. Must not know: whether they were counted or seen.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;

use super::series::Series;
use super::stretch::Stretch;
use super::wall::WallNs;
use crate::event::{Call, Fault, Protocol};
use crate::sink::words;

/// Targets that have a series of their own; the least of them make room, in one for all others.
const MOST: usize = 256;

/// What a call wanted: where it wanted to go, or the address that a bind wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// Whether it was a bind.
    pub(super) is_bind: bool,
    /// The transport.
    pub(super) protocol: Protocol,
    /// The address.
    pub(super) address: std::net::SocketAddr,
}

impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = if self.is_bind { "bind " } else { "" };
        write!(to, "{call}{}{}", words::prefix(self.protocol), self.address)
    }
}

impl Target {
    /// That of a fault.
    pub(super) fn of(fault: &Fault) -> Self {
        Self { is_bind: fault.call == Call::Bind, protocol: fault.protocol, address: fault.address }
    }
}

/// Failures over time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// How many there are in all.
    pub(super) sum: u64,
    /// All of them.
    pub(super) all: Series<u64>,
    /// By target.
    pub(super) targets: HashMap<Target, (u64, Series<u64>), RandomState>,
    /// Those of no target above.
    pub(super) others: Series<u64>,
}

impl Timeline {
    /// Adds `count`; without a target where none is known.
    pub(super) fn add(&mut self, at: WallNs, target: Option<Target>, count: u64) {
        self.sum = self.sum.saturating_add(count);
        self.all.add(at, count);
        let Some(target) = target else { return self.others.add(at, count) };
        if self.targets.len() >= MOST && !self.targets.contains_key(&target) {
            self.prune();
        }
        let (sum, series) = self.targets.entry(target).or_default();
        *sum = sum.saturating_add(count);
        series.add(at, count);
    }

    /// Adds `count`, which were at some time of `stretch`.
    pub(super) fn spread(&mut self, stretch: Stretch, target: Option<Target>, count: u64) {
        stretch.parts(count).for_each(|(at, part)| self.add(at, target, part));
    }

    /// Half of the targets, those with the fewest failures, become others.
    fn prune(&mut self) {
        let mut sums: Vec<u64> = self.targets.values().map(|(sum, _)| *sum).collect();
        sums.sort_unstable();
        let median = sums.get(MOST / 2).copied().unwrap_or(0);
        let mut leaving = MOST / 2;
        let others = &mut self.others;
        self.targets.retain(|_, (sum, series)| {
            let stays = *sum > median || leaving == 0;
            if !stays {
                leaving -= 1;
                others.merge(series);
            }
            stays
        });
    }

    /// Takes all that another one has, and empties that.
    pub(super) fn take(&mut self, other: &mut Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.all.merge(&other.all);
        self.others.merge(&other.others);
        for (target, (sum, series)) in other.targets.drain() {
            if self.targets.len() >= MOST && !self.targets.contains_key(&target) {
                self.prune();
            }
            let (own_sum, own) = self.targets.entry(target).or_default();
            *own_sum = own_sum.saturating_add(sum);
            own.merge(&series);
        }
        other.clear();
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        if !self.all.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Target, Timeline};
    use crate::event::Protocol;
    use crate::sink::report::series::Axis;
    use crate::sink::report::wall::WallNs;

    fn target(port: u16) -> Option<Target> {
        Some(Target { is_bind: false, protocol: Protocol::Tcp, address: ([10, 0, 0, 1], port).into() })
    }

    #[test]
    fn totals_are_kept_when_there_are_too_many_targets() {
        let mut timeline = Timeline::default();
        let mut sum = 0;
        for round in 0..40_u16 {
            for port in 0..500_u16 {
                let count = if port == 7 { 1000 } else { 1 };
                sum += count;
                timeline.add(WallNs(i64::from(round) * 1_000_000_000), target(port), count);
            }
        }
        let mut whole = Timeline::default();
        whole.take(&mut timeline);
        assert!(timeline.all.is_empty());
        assert!(whole.targets.len() <= MOST);
        assert_eq!(whole.targets[&target(7).unwrap()].0, 40_000, "the greatest is never dropped");
        let axis = Axis::over(whole.all.span().into_iter()).unwrap();
        let all: u64 = whole.all.along(&axis).iter().sum();
        let named: u64 = whole.targets.values().flat_map(|(_, series)| series.along(&axis)).sum();
        let others: u64 = whole.others.along(&axis).iter().sum();
        assert_eq!((all, named + others), (sum, sum));
    }
}
