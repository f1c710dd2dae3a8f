//! When to warn, and when to take it back.
//!
//! In: rows with what is to be expected of them. Out: [`Pressure`], once where it begins and once where it ends. Must not
//! know: how growth is measured.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::facts::reuse;
use super::forecast::Forecast;
use super::observer::{Pressure, Sight};
use super::path::Path;
use crate::event::{BootNs, Namespace, Occupancy, Snapshot};

/// How far below the threshold a warning is taken back.
const RECOVERY_PERMILLE: u32 = 100;
/// Who will run out of ports within this time at the rate of now is warned earlier,
const SOON: Duration = Duration::from_secs(60);
/// if so much is taken;
const HALF_PERMILLE: u32 = 500;
/// that is over when it is this far off.
const NOT_SOON: Duration = Duration::from_secs(180);
/// Places whose warning is remembered: as many as growth is followed of. More at a time are not warned of; what was not
/// seen for the longest time makes room, as where one looks at other namespaces now.
const MAX_WARNED: usize = 4096;

/// Remembers of what it has warned.
#[derive(Debug)]
pub(super) struct Gauge {
    threshold_permille: u32,
    /// With the last snapshot that had a row of it.
    warned: BTreeMap<Path, BootNs>,
}

impl Gauge {
    /// Warns from this share of the usable ports on.
    pub(super) fn new(threshold_permille: u32) -> Self {
        Self { threshold_permille, warned: BTreeMap::new() }
    }

    /// What begins and what ends with this snapshot.
    pub(super) fn read(
        &mut self,
        snapshot: &Snapshot,
        forecasts: &[(&Occupancy, Forecast)],
    ) -> Vec<Pressure> {
        let there: HashSet<Path> = forecasts.iter().map(|(row, _)| Path::of(row)).collect();
        self.warned
            .iter_mut()
            .filter(|(path, _)| there.contains(path))
            .for_each(|(_, seen)| *seen = snapshot.at);
        let mut pressures = Vec::new();
        let mut tell = |path, is_over, sight, forecast| {
            pressures.push(Pressure { at: snapshot.at, path, is_over, sight, forecast });
        };
        for (row, forecast) in forecasts {
            let path = Path::of(row);
            let warned = self.warned.contains_key(&path);
            if warned && self.is_far(forecast) {
                self.warned.remove(&path);
                tell(path, true, Sight::Row, *forecast);
            } else if !warned && self.is_near(forecast) && self.has_room(snapshot.at) {
                self.warned.insert(path, snapshot.at);
                tell(path, false, Sight::Row, *forecast);
            }
        }
        let missing: Vec<Path> = self.warned.keys().filter(|path| !there.contains(path)).copied().collect();
        let beyond = snapshot.rows.get(forecasts.len()..).unwrap_or_default();
        for path in missing {
            if let Some((sight, forecast)) = self.over_unseen(path, snapshot, beyond) {
                self.warned.remove(&path);
                tell(path, true, sight, forecast);
            }
        }
        pressures
    }

    /// Whether one more warning can be remembered, once what was not seen for the longest time is forgotten.
    fn has_room(&mut self, now: BootNs) -> bool {
        if self.warned.len() < MAX_WARNED {
            return true;
        }
        let oldest = self.warned.iter().min_by_key(|(_, seen)| **seen).map(|(path, seen)| (*path, *seen));
        let forgotten = oldest.filter(|(_, seen)| *seen < now);
        forgotten.is_some_and(|(path, _)| self.warned.remove(&path).is_some())
    }

    /// What is known of a place that was warned of and is not followed in this snapshot, if it is over there. Rows `beyond`
    /// those that are followed may have it.
    fn over_unseen(
        &self,
        path: Path,
        snapshot: &Snapshot,
        beyond: &[Occupancy],
    ) -> Option<(Sight, Forecast)> {
        if snapshot.scope.all_namespaces && !path.is_in_namespace_of(snapshot) {
            return Some((Sight::Gone, Forecast::without_growth(0, 0)));
        }
        if !path.is_within(snapshot) {
            return None;
        }
        let namespace = snapshot.namespaces.iter().find(|namespace| namespace.id == path.netns)?;
        let (sight, forecast) = match beyond.iter().find(|row| Path::of(row) == path) {
            Some(row) => {
                let blocked = reuse::blocked(row, &namespace.settings);
                (Sight::Row, Forecast { blocked, ..Forecast::without_growth(row.used, row.usable) })
            }
            None => {
                let usable = usable(path, namespace);
                let sight = if snapshot.scope.rows_left_out > 0 { Sight::LeftOut } else { Sight::Row };
                (sight, Forecast::without_growth(most_left_out(usable, snapshot)?, usable))
            }
        };
        (forecast.permille() < self.below()).then_some((sight, forecast))
    }

    fn is_near(&self, forecast: &Forecast) -> bool {
        let share = forecast.permille();
        let is_soon = forecast.full_in.is_some_and(|time| time < SOON);
        share >= self.threshold_permille || is_soon && share >= HALF_PERMILLE.min(self.threshold_permille)
    }

    fn is_far(&self, forecast: &Forecast) -> bool {
        forecast.permille() < self.below() && forecast.full_in.is_none_or(|time| time > NOT_SOON)
    }

    /// A share below this is clearly below the threshold.
    fn below(&self) -> u32 {
        self.threshold_permille - RECOVERY_PERMILLE.min(self.threshold_permille / 2)
    }
}

/// Ports that this place would have if none was taken.
fn usable(path: Path, namespace: &Namespace) -> u32 {
    let offered = namespace.range.width().saturating_sub(namespace.reserved);
    // Only a connect() is refused those that others are bound to.
    if path.destination.is_some() { offered.saturating_sub(namespace.bound) } else { offered }
}

/// The most that can be taken of so many where there is no row: nothing, or as great a share as in the least full row,
/// if others were left out. None where there is no row to tell.
fn most_left_out(usable: u32, snapshot: &Snapshot) -> Option<u32> {
    if snapshot.scope.rows_left_out == 0 {
        return Some(0);
    }
    let least = snapshot.rows.last()?;
    let most = (u64::from(least.used) * u64::from(usable)).checked_div(u64::from(least.usable))?;
    u32::try_from(most).ok()
}
