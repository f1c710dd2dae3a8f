//! Opinions, in the order in which facts arrive.
//!
//! In: every item. Out: what is to be said of it: a [`Verdict`] where a snapshot explains a shortage, [`Pressure`] where
//! one is near, or no longer, [`Slowness`] where connect() takes long to find a port. Pure: what was recorded yields the same opinions later. Must not know: how they are shown.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Cause;
use super::facts::Facts;
use super::forecast::{Forecast, History};
use super::path::Path;
use super::pressure::Gauge;
use super::slowness::{Slowness, Watcher};
use super::trouble::{Trouble, Troubles};
use super::verdict::{Diagnosis, verdict};
use crate::event::{BootNs, Item, Occupancy, Snapshot, Tgid};

/// What a snapshot of free ports tells of a failure before it, if it was so long ago: nothing.
const FRESH_NS: u64 = 2_000_000_000;
/// Rows without a failure that verdicts are looked for.
const MAX_ROWS: usize = 16;

/// Something to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Opinion {
    /// What explains a shortage, or will explain one that is near.
    Verdict(Verdict),
    /// A shortage is near, or no longer.
    Pressure(Pressure),
    /// Searches for a port take long, or no longer do.
    Slowness(Slowness),
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
    /// Who failed last.
    pub process: Option<Tgid>,
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
    /// How that is known.
    pub sight: Sight,
    /// What is to be expected.
    pub forecast: Forecast,
}

/// What a snapshot has of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Its row, or none, as every port is free.
    Row,
    /// None, as the row was left out for fuller ones: at most so many ports are taken as the forecast says.
    LeftOut,
    /// Not even its network namespace, which has gone with all its ports.
    Gone,
}

/// When to warn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Warn {
    /// Never.
    #[default]
    Never,
    /// From this share of the usable ports on, in thousandths.
    FromPermille(u32),
    /// As the start of the stream says.
    AsRecorded,
}

/// Watches items go by.
#[derive(Debug, Default)]
pub struct Observer {
    warn: Warn,
    gauge: Option<Gauge>,
    searches: Watcher,
    history: History,
    troubles: Troubles,
    /// The rules that spoke last.
    told: HashMap<(Path, Option<Cause>), BTreeSet<&'static str>>,
    has_warned: bool,
}

impl Observer {
    /// Warns like this.
    #[must_use]
    pub fn new(warn: Warn) -> Self {
        let mut observer = Self { warn, ..Self::default() };
        observer.begin(None);
        observer
    }

    /// Forgets all but whether it has warned.
    fn begin(&mut self, recorded_permille: Option<u32>) {
        let permille = match self.warn {
            Warn::Never => None,
            Warn::FromPermille(permille) => Some(permille),
            Warn::AsRecorded => recorded_permille,
        };
        let Self { warn, has_warned, .. } = *self;
        *self = Self { warn, has_warned, gauge: permille.map(Gauge::new), ..Self::default() };
    }

    /// Whether it has warned of anything.
    #[must_use]
    pub fn has_warned(&self) -> bool {
        self.has_warned
    }

    /// What is to be said after this item.
    pub fn see(&mut self, item: &Item) -> Vec<Opinion> {
        match item {
            // Of another time or another host nothing follows for this one.
            Item::Start(start) => {
                self.begin(start.warn_permille);
                Vec::new()
            }
            Item::Failure(failure) => {
                self.troubles.note(failure);
                Vec::new()
            }
            Item::Ports(snapshot) => self.judge(snapshot),
            Item::RecentSearches(recent) if self.gauge.is_some() => {
                let news = self.searches.read(recent);
                self.has_warned |= news.iter().any(|slowness| !slowness.is_over);
                news.into_iter().map(Opinion::Slowness).collect()
            }
            _ => Vec::new(),
        }
    }

    fn judge(&mut self, snapshot: &Snapshot) -> Vec<Opinion> {
        let forecasts = self.history.forecasts(snapshot);
        let expected = |(row, forecast): &(&Occupancy, Forecast)| Opinion::Forecast {
            at: snapshot.at,
            path: Path::of(row),
            forecast: *forecast,
        };
        let mut opinions: Vec<Opinion> = forecasts.iter().map(expected).collect();
        if let Some(gauge) = &mut self.gauge {
            let pressures = gauge.read(snapshot, &forecasts);
            self.has_warned |= pressures.iter().any(|pressure| !pressure.is_over);
            opinions.extend(pressures.into_iter().map(Opinion::Pressure));
        }
        opinions.extend(self.verdicts(snapshot).into_iter().map(Opinion::Verdict));
        opinions
    }

    /// Of failures that this snapshot is about, then of rows in which nothing failed.
    fn verdicts(&mut self, snapshot: &Snapshot) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let mut silent = Vec::new();
        let mut explained = HashSet::new();
        let mut say = |path, cause, process, facts: &Facts| {
            let diagnoses = verdict(facts);
            if diagnoses.is_empty() {
                silent.push((path, cause));
                return false;
            }
            let at = snapshot.at;
            verdicts.push(Verdict { at, path, cause, process, diagnoses, is_news: false });
            true
        };
        for ((path, cause), Trouble { last, failures_per_minute, .. }) in self.troubles.within(snapshot) {
            let facts = Facts {
                failures_per_minute: *failures_per_minute,
                ..Facts::of_failure(last, *cause, path, snapshot)
            };
            let is_past = snapshot.at.0.saturating_sub(last.at.0) > FRESH_NS;
            if is_past && facts.shortage_is_over() {
                // What was said at that time explains it better than what is left of it.
                continue;
            }
            let row = facts.row.as_ref().map(Path::of);
            if say(row.unwrap_or(*path), Some(*cause), Some(last.process.tgid), &facts) {
                explained.extend(row);
            }
        }
        for row in snapshot.rows.iter().take(MAX_ROWS) {
            let path = Path::of(row);
            if !explained.contains(&path) {
                say(path, None, None, &Facts::of_row(row, snapshot));
            }
        }
        silent.iter().for_each(|key| _ = self.told.remove(key));
        verdicts.iter_mut().for_each(|verdict| verdict.is_news = self.is_news(verdict));
        verdicts
    }

    /// Whether other rules speak than the last time.
    fn is_news(&mut self, verdict: &Verdict) -> bool {
        let rules: BTreeSet<_> = verdict.diagnoses.iter().map(|diagnosis| diagnosis.rule).collect();
        if self.told.len() >= Troubles::MAX + MAX_ROWS {
            // What is said again was last said long ago.
            self.told.clear();
        }
        let before = self.told.insert((verdict.path, verdict.cause), rules.clone());
        before != Some(rules)
    }
}

#[cfg(test)]
mod tests;
