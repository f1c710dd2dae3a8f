//! A time in which something happened so often, and nobody knows when.
//!
//! In: from when to when, and how often. Out: how often in parts of it, as if it had been evenly; the parts of all of it
//! come to exactly all.

use super::series;
use super::wall::{WallNs, Window};

/// From one instant to another one, which is not before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The first instant.
    pub(super) from: WallNs,
    /// The last one.
    pub(super) to: WallNs,
}

impl Stretch {
    /// To the second one, at which something happened for certain.
    pub(super) fn new(from: WallNs, to: WallNs) -> Self {
        Self { from: from.min(to), to }
    }

    /// Of `count` those before `at`.
    pub(super) fn until(self, at: WallNs, count: u64) -> u64 {
        let [all, part] = [self.to, at].map(|at| i128::from(at.0) - i128::from(self.from.0));
        match part {
            _ if part > all => count,
            ..=0 => 0,
            // Both are below 2⁶⁴.
            _ => u64::try_from(u128::from(count) * part.unsigned_abs() / all.unsigned_abs()).unwrap_or(count),
        }
    }

    /// Of `count` those in `window`.
    pub(super) fn within(self, window: Option<Window>, count: u64) -> u64 {
        let Some(Window { from, to }) = window else { return count };
        let before = from.map_or(0, |from| self.until(from.into(), count));
        let until = to.map_or(count, |to| self.until(to.into(), count));
        until.saturating_sub(before)
    }

    /// What of it is in `window`; where nothing is, the nearest instant.
    pub(super) fn cut(self, window: Option<Window>) -> Self {
        let Some(Window { from, to }) = window else { return self };
        let from = from.map_or(WallNs(i64::MIN), WallNs::from);
        let to = to.map_or(WallNs(i64::MAX), |to| WallNs(WallNs::from(to).0.saturating_sub(1))).max(from);
        Self { from: self.from.clamp(from, to), to: self.to.clamp(from, to) }
    }

    /// `count` second by second; of a long one by longer parts.
    pub(super) fn parts(self, count: u64) -> impl Iterator<Item = (WallNs, u64)> {
        let (first, last) = (self.from.second(), self.to.second());
        let most = i64::try_from(series::MOST).unwrap_or(i64::MAX);
        let step = usize::try_from((last - first) / most + 1).unwrap_or(usize::MAX);
        let mut before = 0;
        (first..=last).step_by(step).filter_map(move |second| {
            let next = second.saturating_add(i64::try_from(step).unwrap_or(i64::MAX));
            let until = if next > last {
                count
            } else {
                self.until(WallNs(next.saturating_mul(1_000_000_000)), count)
            };
            let part = until.saturating_sub(before);
            before = until;
            (part > 0).then_some((WallNs(second.saturating_mul(1_000_000_000)), part))
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Stretch;
    use crate::sink::report::wall::{WallNs, Window};

    fn at(ms: i64) -> WallNs {
        WallNs(ms * 1_000_000)
    }

    #[test]
    fn parts_come_to_all_and_are_even() {
        let cases: [(&str, WallNs, WallNs, u64, &[u64]); 6] = [
            ("an instant", at(5000), at(5000), 7, &[7]),
            ("whole seconds", at(0), at(9999), 100, &[10; 10]),
            ("half a second at both ends", at(500), at(2500), 40, &[10, 20, 10]),
            ("fewer than seconds", at(0), at(3999), 2, &[1, 1]),
            ("none", at(0), at(3999), 0, &[]),
            ("the wrong way round", at(7000), at(5000), 3, &[3]),
        ];
        for (what, from, to, count, expected) in cases {
            let parts: Vec<u64> = Stretch::new(from, to).parts(count).map(|(_, part)| part).collect();
            assert_eq!(parts, expected, "{what}");
        }
        let all = Stretch::new(WallNs(i64::MIN), WallNs(i64::MAX));
        let parts: Vec<(WallNs, u64)> = all.parts(u64::MAX).collect();
        assert!(parts.len() <= 241, "{}", parts.len());
        assert_eq!(parts.iter().map(|(_, part)| u128::from(*part)).sum::<u128>(), u128::from(u64::MAX));
    }

    #[test]
    fn a_window_has_its_part_and_those_beside_it_have_the_rest() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let stretch = Stretch::new(at(0), at(10_000));
        let within = |from: Option<i64>, to: Option<i64>| {
            let window = Window { from: from.map(second), to: to.map(second) };
            (stretch.within(Some(window), 101), stretch.cut(Some(window)))
        };
        let (before, inside, behind) =
            (within(None, Some(3)), within(Some(3), Some(8)), within(Some(8), None));
        assert_eq!((before.0, inside.0, behind.0), (30, 50, 21));
        assert_eq!(inside.1, Stretch::new(at(3000), WallNs(7_999_999_999)));
        assert_eq!(within(Some(20), None).0, 0);
        assert_eq!(stretch.within(None, 5), 5);
    }
}
