//! What was said of shortages while they were there.
//!
//! In: opinions. Out: the last verdict on each place and cause, with how often it was said; warnings. Bounded: what was said
//! longest ago makes room, and is counted.

use super::wall::WallNs;
use crate::diagnose::{Cause, Opinion, Path, Pressure, Slowness, Verdict};

/// Verdicts that are kept.
const VERDICTS: usize = 64;
/// Warnings that are kept.
const WARNINGS: usize = 128;

/// A verdict, and how often it was said.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Of which host.
    pub(super) host: u16,
    /// As it was said last.
    pub(super) verdict: Verdict,
    /// How many snapshots led to it.
    pub(super) times: u64,
    /// When it was said first.
    pub(super) first: WallNs,
    /// When it was said last.
    pub(super) last: WallNs,
}

/// That something was near, or no longer.
#[derive(Debug, Clone)]
pub(super) enum Warning {
    /// Ports.
    Pressure(Pressure),
    /// Searches for one.
    Slowness(Slowness),
}

/// All that was said.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    /// In no order.
    pub(super) verdicts: Vec<Said>,
    /// In order.
    pub(super) warnings: Vec<(u16, WallNs, Warning)>,
    /// Verdicts that made room.
    pub(super) verdicts_left_out: u64,
    /// Warnings that had no room.
    pub(super) warnings_left_out: u64,
}

impl Sayings {
    /// Takes an opinion.
    pub(super) fn hear(&mut self, host: u16, at: WallNs, opinion: &Opinion) {
        match opinion {
            Opinion::Verdict(verdict) => self.verdict(host, at, verdict),
            Opinion::Pressure(pressure) => self.warning(host, at, Warning::Pressure(pressure.clone())),
            Opinion::Slowness(slowness) => self.warning(host, at, Warning::Slowness(slowness.clone())),
            Opinion::Forecast { .. } => {}
        }
    }

    fn verdict(&mut self, host: u16, at: WallNs, verdict: &Verdict) {
        let key = |host: u16, verdict: &Verdict| -> (u16, Path, Option<Cause>) {
            (host, verdict.path, verdict.cause)
        };
        let wanted = key(host, verdict);
        if let Some(said) = self.verdicts.iter_mut().find(|said| key(said.host, &said.verdict) == wanted) {
            said.times += 1;
            said.first = said.first.min(at);
            if at >= said.last {
                said.last = at;
                said.verdict.clone_from(verdict);
            }
            return;
        }
        if self.verdicts.len() >= VERDICTS {
            // Those of failures stay before those of ports that were merely short.
            let least = (0..self.verdicts.len()).min_by_key(|place| {
                self.verdicts.get(*place).map(|said| (said.verdict.cause.is_some(), said.last))
            });
            if let Some(least) = least {
                self.verdicts.swap_remove(least);
                self.verdicts_left_out += 1;
            }
        }
        self.verdicts.push(Said { host, verdict: verdict.clone(), times: 1, first: at, last: at });
    }

    fn warning(&mut self, host: u16, at: WallNs, warning: Warning) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push((host, at, warning));
        } else {
            self.warnings_left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sayings, VERDICTS};
    use crate::diagnose::{Cause, Opinion};
    use crate::sink::report::example::verdict;
    use crate::sink::report::wall::WallNs;

    #[test]
    fn the_last_of_each_place_and_cause_is_kept_with_how_often_it_was_said() {
        let mut sayings = Sayings::default();
        for (second, port) in [(1, 443), (2, 80), (3, 443), (9, 443)] {
            let mut said = verdict(port, Some(Cause::RangeExhausted));
            said.diagnoses[0].evidence.sentence = format!("said at {second}");
            sayings.hear(0, WallNs(second), &Opinion::Verdict(said));
        }
        let of_443 = &sayings.verdicts[0];
        assert_eq!((of_443.times, of_443.first, of_443.last), (3, WallNs(1), WallNs(9)));
        assert_eq!(of_443.verdict.diagnoses[0].evidence.sentence, "said at 9");
        assert_eq!(sayings.verdicts.len(), 2);
    }

    #[test]
    fn verdicts_without_failures_make_room_first_and_are_counted() {
        let mut sayings = Sayings::default();
        sayings.hear(0, WallNs(0), &Opinion::Verdict(verdict(1, Some(Cause::RangeExhausted))));
        for port in 2..200 {
            sayings.hear(0, WallNs(port.into()), &Opinion::Verdict(verdict(port, None)));
        }
        assert_eq!(sayings.verdicts.len(), VERDICTS);
        assert_eq!(sayings.verdicts.len() as u64 + sayings.verdicts_left_out, 199);
        assert!(sayings.verdicts.iter().any(|said| said.verdict.cause.is_some()));
    }
}
