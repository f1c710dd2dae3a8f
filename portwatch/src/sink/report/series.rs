//! Values over time in a bounded number of intervals, which grow wider as the time does.
//!
//! In: values with their times, in any order. Out: one value an interval, and intervals that several series have in
//! common. Must not know: what the values are of.

use super::wall::WallNs;

/// Intervals of a series, at most: more do not fit side by side where they can be told apart.
pub(super) const MOST: usize = 240;
/// Widths that people reckon in, seconds. Each is a multiple of the one before, so that intervals can be joined; longer ones
/// double.
const WIDTHS_S: [i64; 13] = [1, 2, 10, 30, 60, 120, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];

/// What intervals hold.
pub(super) trait Value: Copy + Default {
    /// What two of them are together.
    fn joined(self, other: Self) -> Self;
}

/// How often something happened.
impl Value for u64 {
    fn joined(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

/// Intervals of one width, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    /// Seconds.
    pub(super) width_s: i64,
    /// The first one, counted from 1970 in intervals.
    pub(super) first: i64,
    /// How many.
    pub(super) len: usize,
}

impl Axis {
    /// The narrowest that has all of these seconds; none where there are none.
    pub(super) fn over(seconds: impl Iterator<Item = (i64, i64)>) -> Option<Self> {
        let (from, to) = seconds.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))?;
        let mut width_s = WIDTHS_S[0];
        loop {
            let (first, last) = (from.div_euclid(width_s), to.div_euclid(width_s));
            match usize::try_from(last - first) {
                Ok(steps) if steps < MOST => return Some(Self { width_s, first, len: steps + 1 }),
                _ => width_s = wider(width_s),
            }
        }
    }

    /// When it begins and when it ends, in seconds since 1970.
    pub(super) fn seconds(&self) -> (i64, i64) {
        let len = i64::try_from(self.len).unwrap_or(0);
        (self.first.saturating_mul(self.width_s), self.first.saturating_add(len).saturating_mul(self.width_s))
    }
}

fn wider(width_s: i64) -> i64 {
    WIDTHS_S.into_iter().find(|width| *width > width_s).unwrap_or_else(|| width_s.saturating_mul(2))
}

/// Values over time.
#[derive(Debug, Clone)]
pub(super) struct Series<V> {
    width_s: i64,
    /// The interval of the first value, counted from 1970.
    first: i64,
    values: Vec<V>,
}

impl<V> Default for Series<V> {
    fn default() -> Self {
        Self { width_s: WIDTHS_S[0], first: 0, values: Vec::new() }
    }
}

impl<V: Value> Series<V> {
    /// Joins `value` to its interval.
    pub(super) fn add(&mut self, at: WallNs, value: V) {
        self.put(at.second(), value);
    }

    fn put(&mut self, second: i64, value: V) {
        loop {
            let interval = second.div_euclid(self.width_s);
            if self.values.is_empty() {
                self.first = interval;
            }
            let last = self.first + i64::try_from(self.values.len()).unwrap_or(0) - 1;
            // Seconds are a billionth of what an i64 holds: no sum of them overflows.
            if interval.max(last) - interval.min(self.first) >= i64::try_from(MOST).unwrap_or(i64::MAX) {
                self.widen();
                continue;
            }
            if let Ok(missing @ 1..) = usize::try_from(self.first - interval) {
                self.values.splice(0..0, std::iter::repeat_n(V::default(), missing));
                self.first = interval;
            }
            let index = usize::try_from(interval - self.first).unwrap_or(0);
            if index >= self.values.len() {
                self.values.resize(index + 1, V::default());
            }
            if let Some(slot) = self.values.get_mut(index) {
                *slot = slot.joined(value);
            }
            return;
        }
    }

    /// Joins neighbours.
    fn widen(&mut self) {
        let old = std::mem::take(self);
        self.width_s = wider(old.width_s);
        for (second, value) in old.entries() {
            self.put(second, value);
        }
    }

    /// Adds all that another one has.
    pub(super) fn merge(&mut self, other: &Self) {
        while self.width_s < other.width_s {
            self.widen();
        }
        for (second, value) in other.entries() {
            self.put(second, value);
        }
    }

    /// The first second of each interval, with its value.
    fn entries(&self) -> impl Iterator<Item = (i64, V)> {
        (self.first..).zip(&self.values).map(|(interval, value)| (interval * self.width_s, *value))
    }

    /// The first and the last second that it may be about; none where it is empty.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        let len = i64::try_from(self.values.len()).ok().filter(|len| *len > 0)?;
        Some((self.first * self.width_s, (self.first + len) * self.width_s - 1))
    }

    /// Its values in the intervals of `axis`, which has been made over it.
    pub(super) fn along(&self, axis: &Axis) -> Vec<V> {
        let mut values = vec![V::default(); axis.len];
        for (second, value) in self.entries() {
            let index = usize::try_from(second.div_euclid(axis.width_s) - axis.first).unwrap_or(usize::MAX);
            if let Some(slot) = values.get_mut(index) {
                *slot = slot.joined(value);
            }
        }
        values
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Axis, MOST, Series, WIDTHS_S};
    use crate::sink::report::wall::WallNs;

    fn at(second: i64) -> WallNs {
        WallNs(second.saturating_mul(1_000_000_000))
    }

    #[test]
    fn widths_can_be_joined_to_the_next() {
        for pair in WIDTHS_S.windows(2) {
            assert_eq!(pair[1] % pair[0], 0, "{pair:?}");
        }
    }

    #[test]
    fn nothing_is_lost_however_long_and_in_whatever_order() {
        let cases: [(&str, Vec<i64>); 6] = [
            ("one", vec![1_700_000_000]),
            ("a minute", (0..60).map(|second| 1_700_000_000 + second).collect()),
            ("backwards", (0..5000).rev().collect()),
            ("a week, hour by hour", (0..168).map(|hour| hour * 3600).collect()),
            ("before 1970", vec![-5, 5, -100_000]),
            ("all that a clock has", vec![i64::MIN / 1_000_000_000, i64::MAX / 1_000_000_000, 0]),
        ];
        for (what, seconds) in cases {
            let mut series = Series::default();
            for second in &seconds {
                series.add(at(*second), 1_u64);
            }
            let axis = Axis::over(series.span().into_iter()).unwrap();
            let values = series.along(&axis);
            assert!(values.len() <= MOST, "{what}: {}", values.len());
            assert_eq!(values.iter().sum::<u64>(), seconds.len() as u64, "{what}");
            let (from, to) = axis.seconds();
            assert!(seconds.iter().all(|second| (from..to).contains(second)), "{what}: {from} {to}");
        }
    }

    #[test]
    fn a_value_stands_in_the_interval_of_its_time() {
        let mut series = Series::default();
        for (second, count) in [(100, 1_u64), (102, 5), (99, 2)] {
            series.add(at(second), count);
        }
        let axis = Axis::over(series.span().into_iter()).unwrap();
        assert_eq!(axis, Axis { width_s: 1, first: 99, len: 4 });
        assert_eq!(series.along(&axis), [2, 1, 0, 5]);
        let longer = Axis::over([(0, 500)].into_iter()).unwrap();
        assert_eq!((longer.width_s, longer.len), (10, 51));
        assert_eq!(series.along(&longer)[9..11], [2, 6]);
    }

    #[test]
    fn series_of_different_widths_merge() {
        let mut fine = Series::default();
        fine.add(at(10_000), 1_u64);
        let mut coarse = Series::default();
        (0..20_000).for_each(|second| coarse.add(at(second), 1_u64));
        for (mut one, other) in [(fine.clone(), &coarse), (coarse.clone(), &fine)] {
            one.merge(other);
            let axis = Axis::over(one.span().into_iter()).unwrap();
            assert_eq!(one.along(&axis).iter().sum::<u64>(), 20_001);
        }
    }
}
