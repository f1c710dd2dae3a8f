//! When to warn, and when to take it back.
//!
//! In: rows with what is to be expected of them. Out: [`Pressure`], once where it begins and once where it ends. Must not
//! know: how growth is measured.

use std::collections::HashSet;
use std::time::Duration;

use super::forecast::Forecast;
use super::observer::Pressure;
use super::path::Path;
use crate::event::{Occupancy, Snapshot};

/// How far below the threshold a warning is taken back.
const RECOVERY_PERMILLE: u32 = 100;
/// Who will run out of ports within this time at the rate of now is warned earlier,
const SOON: Duration = Duration::from_secs(60);
/// if so much is taken;
const HALF_PERMILLE: u32 = 500;
/// that is over when it is this far off.
const NOT_SOON: Duration = Duration::from_secs(180);

/// Remembers of what it has warned.
#[derive(Debug)]
pub(super) struct Gauge {
    threshold_permille: u32,
    warned: HashSet<Path>,
}

impl Gauge {
    /// Warns from this share of the usable ports on.
    pub(super) fn new(threshold_permille: u32) -> Self {
        Self { threshold_permille, warned: HashSet::new() }
    }

    /// What begins and what ends with this snapshot.
    pub(super) fn read(
        &mut self,
        snapshot: &Snapshot,
        forecasts: &[(&Occupancy, Forecast)],
    ) -> Vec<Pressure> {
        let mut pressures = Vec::new();
        let mut there = HashSet::new();
        for (row, forecast) in forecasts {
            let path = Path::of(row);
            there.insert(path);
            let warned = self.warned.contains(&path);
            if warned && self.is_far(forecast) {
                self.warned.remove(&path);
                pressures.push(Pressure { at: snapshot.at, path, is_over: true, forecast: *forecast });
            } else if !warned && self.is_near(forecast) {
                self.warned.insert(path);
                pressures.push(Pressure { at: snapshot.at, path, is_over: false, forecast: *forecast });
            }
        }
        // Of what has no row although it was looked at, every port is free.
        let gone = |path: &&Path| {
            !there.contains(path) && snapshot.scope.rows_left_out == 0 && path.is_within(snapshot)
        };
        let gone: Vec<Path> = self.warned.iter().filter(gone).copied().collect();
        for path in gone {
            self.warned.remove(&path);
            let namespace = snapshot.namespaces.iter().find(|namespace| namespace.id == path.netns);
            let usable =
                namespace.map_or(0, |namespace| namespace.range.width().saturating_sub(namespace.reserved));
            pressures.push(Pressure {
                at: snapshot.at,
                path,
                is_over: true,
                forecast: Forecast::free(usable),
            });
        }
        pressures
    }

    fn is_near(&self, forecast: &Forecast) -> bool {
        let share = forecast.permille();
        let is_soon = forecast.full_in.is_some_and(|time| time < SOON);
        share >= self.threshold_permille || is_soon && share >= HALF_PERMILLE.min(self.threshold_permille)
    }

    fn is_far(&self, forecast: &Forecast) -> bool {
        let below = self.threshold_permille - RECOVERY_PERMILLE.min(self.threshold_permille / 2);
        forecast.permille() < below && forecast.full_in.is_none_or(|time| time > NOT_SOON)
    }
}
