//! How many ports were taken, by what has ports of its own, over time; and who had them when most were.
//!
//! In: snapshots. Out: places, the fullest first. Bounded: those that never were near full make room, and are counted.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::series::{Series, Value};
use super::wall::WallNs;
use crate::diagnose::Path;
use crate::event::{Details, Holder, Occupancy, Snapshot, State, Text};

/// Places that are followed.
const MOST: usize = 128;
/// So many stay when there are more.
const LEAST: usize = 64;
/// Rows of a snapshot that are looked at; the fullest come first.
const ROWS: usize = 64;
/// Holders of a row that are kept, the most first.
const HOLDERS: usize = 32;
/// Bytes of an executable's path, and of each name, that are kept of a holder.
const NAME_BYTES: usize = 512;
/// States that there are.
const STATES: usize = 11;

/// Ports that are taken, of those that can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Use {
    /// Taken.
    pub(super) used: u32,
    /// Could be had if none was taken. 0 where nobody has looked.
    pub(super) usable: u32,
}

impl Use {
    /// In thousandths; everything of nothing.
    pub(super) fn permille(self) -> u64 {
        (u64::from(self.used) * 1000).checked_div(self.usable.into()).unwrap_or(1000)
    }
}

/// The fuller of two.
impl Value for Use {
    fn joined(self, other: Self) -> Self {
        let is_fuller = self.usable == 0 || other.usable > 0 && other.permille() > self.permille();
        if is_fuller { other } else { self }
    }
}

/// What was seen of one place.
#[derive(Debug)]
pub(super) struct PortUse {
    /// Over time.
    pub(super) over_time: Series<Use>,
    /// The row when most were taken; the last such.
    pub(super) fullest: Occupancy,
    /// When that was.
    pub(super) at: WallNs,
    /// Its holders that are not kept, and how many ports they had.
    pub(super) more_holders: (usize, u64),
    /// Snapshots that had its row.
    pub(super) snapshots: u64,
}

/// Places on all hosts.
#[derive(Debug, Default)]
pub(super) struct Places {
    all: HashMap<(u16, Path), PortUse, RandomState>,
    /// Snapshots that were taken.
    pub(super) snapshots: u64,
    /// The most rows of one snapshot that were not looked at, or are not in it.
    rows_left_out: u64,
    /// Whether places are followed no longer, of which it is not known how many differ.
    is_pruned: bool,
}

impl Places {
    /// Takes a snapshot.
    pub(super) fn see(&mut self, host: u16, at: WallNs, snapshot: &Snapshot) {
        self.snapshots += 1;
        let unseen = snapshot.rows.len().saturating_sub(ROWS) as u64;
        self.rows_left_out = self.rows_left_out.max(unseen + u64::from(snapshot.scope.rows_left_out));
        for row in snapshot.rows.iter().take(ROWS) {
            let now = Use { used: row.used, usable: row.usable };
            let key = (host, Path::of(row));
            if self.all.len() >= MOST && !self.all.contains_key(&key) {
                self.prune();
            }
            let place = self.all.entry(key).or_insert_with(|| PortUse {
                over_time: Series::default(),
                fullest: kept(row),
                at,
                more_holders: more(row),
                snapshots: 0,
            });
            place.snapshots += 1;
            place.over_time.add(at, now);
            let most = Use { used: place.fullest.used, usable: place.fullest.usable };
            if now.permille() >= most.permille() {
                (place.fullest, place.at, place.more_holders) = (kept(row), at, more(row));
            }
        }
    }

    /// The fullest first.
    pub(super) fn by_fullness(&self) -> Vec<(u16, Path, &PortUse)> {
        let mut all: Vec<_> = self.all.iter().map(|((host, path), place)| (*host, *path, place)).collect();
        all.sort_by_key(|(host, path, place)| (std::cmp::Reverse(fullness(place)), *host, *path));
        all
    }

    /// Places that are not followed, and whether there may be more.
    pub(super) fn left_out(&self) -> (u64, bool) {
        let pruned = if self.is_pruned { (MOST + 1 - self.all.len()) as u64 } else { 0 };
        (self.rows_left_out.max(pruned), self.is_pruned)
    }

    fn prune(&mut self) {
        let mut order: Vec<_> = self.all.iter().map(|(key, place)| (fullness(place), *key)).collect();
        order.sort_by_key(|(fullness, key)| (std::cmp::Reverse(*fullness), *key));
        for (_, key) in order.into_iter().skip(LEAST) {
            self.all.remove(&key);
            self.is_pruned = true;
        }
    }
}

/// By share, then by number.
fn fullness(place: &PortUse) -> (u64, u32) {
    let row = &place.fullest;
    (Use { used: row.used, usable: row.usable }.permille(), row.used)
}

/// Without arguments of holders, which nobody asks for where there are many.
fn kept(row: &Occupancy) -> Occupancy {
    let holders = row.holders.iter().take(HOLDERS).cloned().map(|mut holding| {
        if let Holder::Process(process) = &mut holding.holder
            && process.details.texts().next().is_some()
        {
            process.details = Arc::new(short(Details::clone(&process.details)));
        }
        holding
    });
    let by_state = row.by_state.iter().take(STATES).copied().collect();
    Occupancy { holders: holders.collect(), by_state, ..*row }
}

fn short(mut details: Details) -> Details {
    let is_long = |text: &mut Text| text.0.len() > NAME_BYTES;
    if let State::Alive { exe, cmdline } = &mut details.state {
        *cmdline = None;
        exe.take_if(is_long);
    }
    details.user.take_if(is_long);
    details.unit.take_if(is_long);
    if let Some(container) = &mut details.container {
        container.name.take_if(is_long);
    }
    details.container.take_if(|container| is_long(&mut container.id));
    if let Some(pod) = &mut details.pod {
        pod.name.take_if(|of| is_long(&mut of.namespace) || is_long(&mut of.name));
    }
    details.pod.take_if(|pod| is_long(&mut pod.uid));
    details
}

fn more(row: &Occupancy) -> (usize, u64) {
    let rest = row.holders.get(HOLDERS..).unwrap_or_default();
    (rest.len(), rest.iter().map(|holding| u64::from(holding.count)).sum())
}

#[cfg(test)]
mod tests {
    use super::{HOLDERS, Holder, MOST, Places, Use};
    use crate::diagnose::Path;
    use crate::event::{Holding, Occupancy};
    use crate::sink::report::example::{occupancy, snapshot};
    use crate::sink::report::series::{Axis, Value as _};
    use crate::sink::report::wall::WallNs;

    #[test]
    fn the_fullest_moment_of_each_interval_and_of_each_place_is_kept() {
        let mut places = Places::default();
        for (second, used) in [(0, 100), (1, 28_232), (2, 28_232), (3, 5)] {
            places.see(0, WallNs(second * 1_000_000_000), &snapshot(0, vec![occupancy(443, used)]));
        }
        let all = places.by_fullness();
        let [(0, path, place)] = all.as_slice() else { panic!("one place: {all:?}") };
        assert_eq!(*path, Path::of(&occupancy(443, 1)));
        assert_eq!((place.fullest.used, place.at, place.snapshots), (28_232, WallNs(2_000_000_000), 4));
        let axis = Axis { width_s: 2, first: 0, len: 2 };
        let used: Vec<_> = place.over_time.along(&axis).iter().map(|value| value.used).collect();
        assert_eq!(used, [28_232, 28_232]);
    }

    #[test]
    fn what_was_not_looked_at_is_less_than_anything() {
        let empty = Use { used: 0, usable: 10 };
        assert_eq!(Use::default().joined(empty), empty);
        assert_eq!(empty.joined(Use::default()), empty);
    }

    #[test]
    fn rows_that_are_left_out_again_and_again_are_counted_once() {
        let mut places = Places::default();
        for (second, len, beyond) in [(0, 60, 0), (1, 70, 5), (2, 70, 5), (3, 65, 0)] {
            let mut snapshot = snapshot(second, (0..len).map(|port| occupancy(port, 9)).collect());
            snapshot.scope.rows_left_out = beyond;
            places.see(0, WallNs(0), &snapshot);
        }
        assert_eq!(places.left_out(), (11, false));
    }

    #[test]
    fn the_fullest_places_stay_and_the_rest_is_counted() {
        let mut places = Places::default();
        let mut holders = occupancy(1, 20_000).holders;
        holders.resize(HOLDERS + 5, Holding { holder: Holder::NotFound, count: 2, time_wait: 0 });
        places.see(0, WallNs(0), &snapshot(0, vec![Occupancy { holders, ..occupancy(1, 20_000) }]));
        for port in 2..500 {
            places.see(0, WallNs(0), &snapshot(0, vec![occupancy(port, port.into())]));
        }
        let all = places.by_fullness();
        assert!(all.len() <= MOST);
        let (left_out, is_at_least) = places.left_out();
        assert!(is_at_least && all.len() as u64 + left_out > MOST as u64, "{left_out}");
        assert_eq!((all[0].2.fullest.used, all[0].2.more_holders), (20_000, (5, 10)));
    }
}
