//! Where ports are short, or will be.
//!
//! In: snapshots, with what is to be expected of their rows. Out: the places where at least half of the ports are taken,
//! a bounded number of them. Must not know: how they are written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::diagnose::{Forecast, Opinion, Path};
use crate::event::Snapshot;

/// Places, the fullest first.
pub(super) const MOST: usize = 100;
/// A place that no snapshot was about for so long is not told any more: nobody looks there, so nobody knows.
const STALE: Duration = Duration::from_secs(120);

/// Those that are known now.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: BTreeMap<Path, (Forecast, Instant)>,
    /// Those that found no room, in all snapshots.
    left_out: u64,
}

impl Places {
    /// Takes in a snapshot: what it has no row of any more is over, where it was looked for.
    pub(super) fn see(&mut self, snapshot: &Snapshot, opinions: &[Opinion], now: Instant) {
        self.known.retain(|path, (_, seen)| !path.is_within(snapshot) && now - *seen < STALE);
        // Rows that the snapshot itself left out are less full than its last.
        if snapshot.rows.last().is_some_and(|row| is_half_full(row.used, row.usable)) {
            self.left_out += u64::from(snapshot.scope.rows_left_out);
        }
        for opinion in opinions {
            let Opinion::Forecast { path, forecast, .. } = opinion else { continue };
            if !is_half_full(forecast.used, forecast.usable) {
                continue;
            }
            if self.known.len() < MOST {
                self.known.insert(*path, (*forecast, now));
            } else {
                self.left_out += 1;
            }
        }
    }

    /// Those that are known `now`.
    pub(super) fn at(&self, now: Instant) -> impl Iterator<Item = (&Path, &Forecast)> {
        let is_fresh = move |seen: &Instant| now.saturating_duration_since(*seen) < STALE;
        self.known
            .iter()
            .filter(move |(_, (_, seen))| is_fresh(seen))
            .map(|(path, (forecast, _))| (path, forecast))
    }

    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn is_half_full(used: u32, usable: u32) -> bool {
    u64::from(used) * 2 >= u64::from(usable)
}
