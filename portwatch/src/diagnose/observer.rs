//! Opinions, in the order in which facts arrive.
//!
//! In: every item. Out: what is to be said of it: a [`Verdict`] where a snapshot explains a shortage, [`Pressure`] where
//! one is near, or no longer. Pure: what was recorded yields the same opinions later. Must not know: how they are shown.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::facts::Facts;
use super::forecast::{Forecast, History};
use super::path::Path;
use super::verdict::{Diagnosis, verdict};
use super::{Cause, cause};
use crate::event::{BootNs, Failure, Item, Occupancy, Protocol, Snapshot};

/// Shortages that verdicts are looked for; more at a time are seen in no verdict, in counts as ever.
const MAX_TROUBLES: usize = 256;
/// A shortage of which nothing was seen for so long is over.
const OVER_AFTER_NS: u64 = 60_000_000_000;
/// Rows without a failure that verdicts are looked for.
const MAX_ROWS: usize = 16;
/// How far below the threshold a warning is taken back.
const RECOVERY_PERMILLE: u32 = 100;
/// Who will run out of ports within this time at the rate of now is warned earlier,
const SOON: Duration = Duration::from_secs(60);
/// if so much is taken.
const HALF_PERMILLE: u32 = 500;

/// Something to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Opinion {
    /// What explains a shortage, or will explain one that is near.
    Verdict(Verdict),
    /// A shortage is near, or no longer.
    Pressure(Pressure),
    /// What is to be expected of a row.
    Forecast {
        /// When the snapshot was taken.
        at: BootNs,
        /// Of what.
        path: Path,
        /// What.
        forecast: Forecast,
    },
}

/// What explains a shortage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// When the snapshot was taken.
    pub at: BootNs,
    /// Of what.
    pub path: Path,
    /// Why calls failed; none where none did.
    pub cause: Option<Cause>,
    /// What explains most comes first.
    pub diagnoses: Vec<Diagnosis>,
    /// Whether it says other than the one before of the same path and cause.
    pub is_news: bool,
}

/// That ports run short, or no longer do.
#[derive(Debug, Clone, PartialEq)]
pub struct Pressure {
    /// When the snapshot was taken.
    pub at: BootNs,
    /// Of what.
    pub path: Path,
    /// Whether it is over.
    pub is_over: bool,
    /// What is to be expected.
    pub forecast: Forecast,
}

/// Watches items go by.
#[derive(Debug, Default)]
pub struct Observer {
    /// From which share of the usable ports on it warns, thousandths; never if none.
    warn_from_permille: Option<u32>,
    history: History,
    /// The last failure of each kind.
    troubles: HashMap<(Path, Cause), Failure>,
    /// The rules that spoke last.
    told: HashMap<(Path, Option<Cause>), Vec<&'static str>>,
    warned: HashSet<Path>,
    has_warned: bool,
}

impl Observer {
    /// Warns from this share of the usable ports on, in thousandths, or never.
    #[must_use]
    pub fn new(warn_from_permille: Option<u32>) -> Self {
        Self { warn_from_permille, ..Self::default() }
    }

    /// Whether it has warned of anything.
    #[must_use]
    pub fn has_warned(&self) -> bool {
        self.has_warned
    }

    /// What is to be said after this item.
    pub fn see(&mut self, item: &Item) -> Vec<Opinion> {
        match item {
            Item::Failure(failure) => {
                self.note(failure);
                Vec::new()
            }
            Item::Ports(snapshot) => self.judge(snapshot),
            _ => Vec::new(),
        }
    }

    fn note(&mut self, failure: &Failure) {
        let key = (path(failure), cause(&failure.fault));
        if self.troubles.len() < MAX_TROUBLES || self.troubles.contains_key(&key) {
            self.troubles.insert(key, failure.clone());
        }
    }

    fn judge(&mut self, snapshot: &Snapshot) -> Vec<Opinion> {
        let seen =
            |failure: &Failure| snapshot.namespaces.iter().any(|namespace| namespace.id == failure.netns);
        self.troubles.retain(|_, failure| failure.at.0.saturating_add(OVER_AFTER_NS) > snapshot.at.0);
        let mut opinions = Vec::new();
        let forecasts = self.history.forecasts(snapshot);
        let expected = |(row, forecast): &(&Occupancy, Forecast)| Opinion::Forecast {
            at: snapshot.at,
            path: Path::of(row),
            forecast: *forecast,
        };
        opinions.extend(forecasts.iter().map(expected));
        opinions.extend(self.pressures(snapshot, &forecasts).into_iter().map(Opinion::Pressure));

        let mut cases: Vec<(Path, Option<Cause>, Facts)> = Vec::new();
        for ((path, cause), failure) in self.troubles.iter().filter(|(_, failure)| seen(failure)) {
            cases.push((*path, Some(*cause), Facts::of_failure(failure, snapshot)));
        }
        cases.sort_by_key(|(path, cause, _)| (*path, *cause));
        for row in snapshot.rows.iter().take(MAX_ROWS) {
            let path = Path::of(row);
            if !cases.iter().any(|(failed, ..)| *failed == path) {
                cases.push((path, None, Facts::of_row(row, snapshot)));
            }
        }
        for (path, cause, facts) in cases {
            let diagnoses = verdict(&facts);
            if diagnoses.is_empty() {
                self.told.remove(&(path, cause));
                continue;
            }
            let rules: Vec<_> = diagnoses.iter().map(|diagnosis| diagnosis.rule).collect();
            let is_news = self.told.get(&(path, cause)) != Some(&rules);
            if self.told.len() < 2 * MAX_TROUBLES {
                self.told.insert((path, cause), rules);
            }
            opinions.push(Opinion::Verdict(Verdict { at: snapshot.at, path, cause, diagnoses, is_news }));
        }
        opinions
    }

    /// Warnings, and what was warned of and is over.
    fn pressures(&mut self, snapshot: &Snapshot, forecasts: &[(&Occupancy, Forecast)]) -> Vec<Pressure> {
        let Some(threshold) = self.warn_from_permille else { return Vec::new() };
        let mut pressures = Vec::new();
        let mut still = HashSet::new();
        for (row, forecast) in forecasts {
            let path = Path::of(row);
            let was = self.warned.remove(&path);
            let share = forecast.used * 1000 / forecast.usable.max(1);
            let is_soon =
                forecast.full_in.is_some_and(|time| time < SOON) && share >= HALF_PERMILLE.min(threshold);
            let is_near = share >= threshold || is_soon;
            let is_far = share + RECOVERY_PERMILLE < threshold && !is_soon;
            if is_near || (was && !is_far) {
                still.insert(path);
            }
            if is_near && !was || was && is_far {
                pressures.push(Pressure { at: snapshot.at, path, is_over: was, forecast: *forecast });
            }
        }
        // Of those that are in no row any more every port is free; of namespaces that were not looked at nothing is known.
        for path in std::mem::take(&mut self.warned) {
            match snapshot.namespaces.iter().find(|namespace| namespace.id == path.netns) {
                None => {
                    still.insert(path);
                }
                Some(namespace) => {
                    let usable =
                        u32::from(namespace.range.high - namespace.range.low) + 1 - namespace.reserved;
                    pressures.push(Pressure {
                        at: snapshot.at,
                        path,
                        is_over: true,
                        forecast: Forecast::free(usable),
                    });
                }
            }
        }
        self.warned = still;
        self.has_warned |= pressures.iter().any(|pressure| !pressure.is_over);
        pressures
    }
}

/// That of the row in which a call found no port.
fn path(failure: &Failure) -> Path {
    let fault = &failure.fault;
    let is_udp = fault.protocol == Protocol::Udp;
    let some = |ip: IpAddr| Some(ip).filter(|ip| !ip.is_unspecified());
    let (source, destination) = match (fault.destination(), cause(fault)) {
        (_, Cause::UdpRangeExhausted) => (None, None),
        (Some(destination), _) => (some(failure.source.ip()), Some(destination)),
        (None, Cause::BindRangeExhausted) if is_udp => (None, None),
        (None, _) => (Some(fault.address.ip()), None),
    };
    Path { netns: failure.netns, is_udp, source, destination, device: 0 }
}

#[cfg(test)]
mod tests;
