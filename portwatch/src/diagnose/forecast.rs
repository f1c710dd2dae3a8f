//! How long until ports run out.
//!
//! In: the rows of one snapshot after the other. Out: a [`Forecast`] for each. Pure: time is that of the snapshots. Must
//! not know: when somebody is warned.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::facts::{Facts, TIME_WAIT_S, reuse};
use super::figures::permille;
use super::path::Path;
use crate::event::{BootNs, Namespace, NetnsId, Occupancy, Settings, Snapshot, SocketState, TimeWait};

/// Growth is measured over this time, if so much is known.
const WINDOW: Duration = Duration::from_secs(15);
/// Over less nothing is said.
const LEAST: Duration = Duration::from_millis(900);
/// Rows that are followed, the fullest first.
const MAX_PATHS: usize = 4096;
/// Open connections grow if they are more than one part in so many of all growth,
const GROWTH_PARTS: i64 = 8;
/// and by more than so many.
const LEAST_GROWTH: u32 = 16;
/// Looks that are kept of one row.
const MAX_SAMPLES: usize = 64;

/// What is to be expected of one source and destination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Ports that are taken.
    pub used: u32,
    /// Those of them that nobody can have: without the ports in TIME_WAIT that a connect() may take over (`tcp_tw_reuse`).
    /// This is what is judged.
    pub blocked: u32,
    /// Ports that could be had if none was taken.
    pub usable: u32,
    /// Ports a second, net, of those that are taken. None at the first look.
    pub growth_per_s: Option<f64>,
    /// Connections that ended in a second, of the last ten; at least so many where ports in TIME_WAIT are taken over.
    pub ends_per_s: f64,
    /// Until none is left, at this rate. None where it does not grow, or will level off before.
    pub full_in: Option<Duration>,
    /// Where it will level off, because as many leave TIME_WAIT as enter it. None where that is not below what is
    /// usable, more than TIME_WAIT grows, or ports in TIME_WAIT may be taken over.
    pub levels_off_at: Option<u32>,
    /// Until the last socket that is in TIME_WAIT now is gone. None where there is none.
    pub time_wait_over_in: Option<Duration>,
}

impl Forecast {
    /// What nobody can have of what is usable, in thousandths.
    pub(super) fn permille(&self) -> u32 {
        permille(self.blocked, self.usable).into()
    }

    /// So many are taken for good, and nothing else is known.
    pub(super) fn without_growth(used: u32, usable: u32) -> Self {
        Self {
            used,
            blocked: used,
            usable,
            growth_per_s: None,
            ends_per_s: 0.0,
            full_in: None,
            levels_off_at: None,
            time_wait_over_in: None,
        }
    }
}

/// One look at a row.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: BootNs,
    used: u32,
    /// That nobody can have.
    blocked: u32,
    /// Without those in TIME_WAIT.
    open: u32,
}

/// What was seen before.
#[derive(Debug, Default)]
pub(super) struct History(HashMap<Path, VecDeque<Sample>>);

impl History {
    /// Takes in a snapshot: its rows with what is to be expected of each, as many as are followed.
    pub(super) fn forecasts<'a>(&mut self, snapshot: &'a Snapshot) -> Vec<(&'a Occupancy, Forecast)> {
        let mut forecasts = Vec::new();
        let mut there = HashSet::new();
        let of_namespace = |namespace: &Namespace| (namespace.id, namespace.settings);
        let settings: HashMap<NetnsId, Settings> = snapshot.namespaces.iter().map(of_namespace).collect();
        for row in snapshot.rows.iter().take(MAX_PATHS) {
            let path = Path::of(row);
            there.insert(path);
            let samples = self.0.entry(path).or_default();
            let settings = settings.get(&row.netns).copied().unwrap_or_default();
            samples.push_back(Sample::new(snapshot.at, row, &settings));
            while samples.len() > MAX_SAMPLES
                || samples.get(1).is_some_and(|next| since(next, snapshot.at) >= WINDOW)
            {
                samples.pop_front();
            }
            forecasts.push((row, forecast(row, samples)));
        }
        self.0.retain(|path, samples| {
            let last = samples.back().map_or(Duration::MAX, |last| since(last, snapshot.at));
            there.contains(path) || (!path.is_within(snapshot) && last < WINDOW)
        });
        forecasts
    }
}

impl Sample {
    fn new(at: BootNs, row: &Occupancy, settings: &Settings) -> Self {
        Self {
            at,
            used: row.used,
            blocked: reuse::blocked(row, settings),
            open: row.used - Facts::in_states(row, &[SocketState::TimeWait]).min(row.used),
        }
    }
}

fn since(sample: &Sample, now: BootNs) -> Duration {
    Duration::from_nanos(now.0.saturating_sub(sample.at.0))
}

fn forecast(row: &Occupancy, samples: &VecDeque<Sample>) -> Forecast {
    let spread = match (samples.front(), samples.back()) {
        (Some(first), Some(last)) => {
            Some((first, last, since(first, last.at))).filter(|(.., time)| *time >= LEAST)
        }
        _ => None,
    };
    let per_s = |from: u32, to: u32, time: Duration| (f64::from(to) - f64::from(from)) / time.as_secs_f64();
    let growth_per_s = spread.map(|(first, last, time)| per_s(first.used, last.used, time));
    let blocked_per_s = spread.map(|(first, last, time)| per_s(first.blocked, last.blocked, time));
    // What comes and goes by chance is no growth.
    let open_grows = spread.map(|(first, last, _)| {
        let growth = i64::from(last.blocked) - i64::from(first.blocked);
        (i64::from(last.open) - i64::from(first.open)) * GROWTH_PARTS > growth.max(0)
            && last.open > first.open + LEAST_GROWTH
    });
    let ends_per_s = row
        .time_wait
        .map_or(0.0, |time_wait| f64::from(time_wait.last_10_s) / f64::from(TimeWait::COUNTED_S));
    let (open, blocked) = samples.back().map_or((0, row.used), |sample| (sample.open, sample.blocked));
    // Where TIME_WAIT is taken over, a higher rate makes no more of it.
    let is_taken_over = blocked < row.used;
    let level = f64::from(open) + ends_per_s * f64::from(TIME_WAIT_S);
    let levels_off = open_grows == Some(false) && (is_taken_over || level < f64::from(row.usable));
    let left = row.usable.saturating_sub(blocked);
    let full_in = match blocked_per_s {
        _ if left == 0 => Some(Duration::ZERO),
        Some(growth) if growth > 0.0 && !levels_off => {
            Duration::try_from_secs_f64(f64::from(left) / growth).ok()
        }
        _ => None,
    };
    Forecast {
        used: row.used,
        blocked,
        usable: row.usable,
        growth_per_s,
        ends_per_s,
        full_in,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "less than what is usable"
        )]
        levels_off_at: (levels_off && !is_taken_over && level > f64::from(row.used))
            .then_some(level.round() as u32),
        time_wait_over_in: row.time_wait.map(|time_wait| Duration::from_secs(time_wait.over_in_s.into())),
    }
}

#[cfg(test)]
mod tests;
