//! Times of day, over several sessions and hosts, and which of them a report is about.
//!
//! In: instants of the boot clock, with the clock of their session. Out: nanoseconds since 1970, cheap to compare.

use jiff::Timestamp;

use crate::clock::Clock;
use crate::event::BootNs;

/// Nanoseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WallNs(pub(super) i64);

impl WallNs {
    /// The time of day at `instant`; what no clock can show is the nearest that one can.
    pub(super) fn of(instant: BootNs, clock: Clock) -> Self {
        let ns = i128::from(instant.0) + i128::from(clock.boot_offset_ns);
        Self(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
    }

    /// Whole seconds since 1970, rounded down.
    pub(super) fn second(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// The same for calendars.
    pub(super) fn timestamp(self) -> Timestamp {
        Timestamp::from_nanosecond(self.0.into()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// As RFC 3339 in UTC with nanoseconds.
    pub(super) fn rfc3339(self) -> String {
        format!("{:.9}", self.timestamp())
    }
}

impl From<Timestamp> for WallNs {
    fn from(time: Timestamp) -> Self {
        let ns = time.as_nanosecond();
        Self(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// What a report is about: from the first to before the second, where they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first instant.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub to: Option<Timestamp>,
}

impl Window {
    /// Whether this lies in it.
    pub(super) fn holds(&self, at: WallNs) -> bool {
        self.from.is_none_or(|from| WallNs::from(from) <= at)
            && self.to.is_none_or(|to| at < WallNs::from(to))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{WallNs, Window};
    use crate::clock::Clock;
    use crate::event::BootNs;

    #[test]
    fn times_beyond_all_clocks_become_the_nearest() {
        for (instant, boot_offset_ns, expected) in
            [(5, 10, 15), (u64::MAX, i64::MAX, i64::MAX), (0, i64::MIN, i64::MIN), (u64::MAX, 0, i64::MAX)]
        {
            let wall = WallNs::of(BootNs(instant), Clock { boot_offset_ns });
            assert_eq!(wall.0, expected, "{instant} {boot_offset_ns}");
            assert!(wall.rfc3339().ends_with('Z'));
        }
    }

    #[test]
    fn a_window_has_its_first_instant_and_not_its_last() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let cases = [
            (None, None, 5, true),
            (Some(5), Some(6), 4, false),
            (Some(5), Some(6), 5, true),
            (Some(5), Some(6), 6, false),
            (None, Some(6), 4, true),
            (Some(5), None, 9, true),
        ];
        for (from, to, second, holds) in cases {
            let window = Window { from: from.map(at), to: to.map(at) };
            assert_eq!(window.holds(WallNs(second * 1_000_000_000)), holds, "{from:?} {to:?} {second}");
        }
    }
}
