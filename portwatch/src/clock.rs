//! From the kernel's boot clock to the time of day.

use jiff::Timestamp;

use crate::event::BootNs;

/// The mapping measured at start. A wall clock set while watching does not bend it: order and distances stay
/// those of the kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// Wall-clock time minus boot-clock time, nanoseconds.
    pub boot_offset_ns: i64,
}

impl Clock {
    /// The time of day at `instant`.
    #[must_use]
    pub fn at(self, instant: BootNs) -> Timestamp {
        let ns = i128::from(instant.0) + i128::from(self.boot_offset_ns);
        Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The instant of a time of day; none before boot, or in 600 years.
    #[must_use]
    pub fn instant(self, time: Timestamp) -> Option<BootNs> {
        u64::try_from(time.as_nanosecond() - i128::from(self.boot_offset_ns)).ok().map(BootNs)
    }

    /// [`Self::at`] as RFC 3339 in UTC with nanoseconds.
    #[must_use]
    pub fn rfc3339(self, instant: BootNs) -> String {
        format!("{:.9}", self.at(instant))
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use crate::event::BootNs;

    #[test]
    fn an_instant_comes_back_from_its_time_of_day() {
        for boot_offset_ns in [0, 1_700_000_000_000_000_000, i64::MAX, i64::MIN, -1] {
            let clock = Clock { boot_offset_ns };
            for instant in [0, 1, 45_046_831_900, u64::MAX].map(BootNs) {
                assert_eq!(clock.instant(clock.rfc3339(instant).parse().unwrap()), Some(instant));
            }
        }
        assert_eq!(Clock { boot_offset_ns: 1 }.instant(jiff::Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn boot_time_becomes_time_of_day_with_all_its_digits() {
        let clock = Clock { boot_offset_ns: 1_700_000_000_000_000_000 };
        assert_eq!(clock.rfc3339(BootNs(1_500)), "2023-11-14T22:13:20.000001500Z");
        assert_eq!(clock.rfc3339(BootNs(0)), "2023-11-14T22:13:20.000000000Z");
        assert_eq!(clock.rfc3339(BootNs(u64::MAX)).len(), "2023-11-14T22:13:20.000001500Z".len());
    }
}
