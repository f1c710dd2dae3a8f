//! Times of day as a person reads them.
//!
//! In: instants and a zone. Out: words, with the date where they are not all of one day.

use jiff::tz::TimeZone;

use super::wall::WallNs;

/// How times of day are written in one report.
#[derive(Debug)]
pub(super) struct Dial {
    zone: TimeZone,
    has_dates: bool,
}

impl Dial {
    /// One for these instants.
    pub(super) fn new(zone: &TimeZone, instants: impl IntoIterator<Item = WallNs>) -> Self {
        let mut days = instants.into_iter().map(|at| at.timestamp().to_zoned(zone.clone()).date());
        let first = days.next();
        Self { zone: zone.clone(), has_dates: days.any(|day| Some(day) != first) }
    }

    /// To the millisecond.
    pub(super) fn exact(&self, at: WallNs) -> String {
        self.written(at, if self.has_dates { "%m-%d %H:%M:%S.%3f" } else { "%H:%M:%S.%3f" })
    }

    /// To the second.
    pub(super) fn second(&self, at: WallNs) -> String {
        self.written(at, if self.has_dates { "%m-%d %H:%M:%S" } else { "%H:%M:%S" })
    }

    /// Date and zone as well.
    pub(super) fn full(&self, at: WallNs) -> String {
        self.written(at, "%Y-%m-%d %H:%M:%S %Z")
    }

    /// At the edge of an interval that lasts so many seconds.
    pub(super) fn edge(&self, second: i64, width_s: i64) -> String {
        let at = WallNs(second.saturating_mul(1_000_000_000));
        let format = match (width_s, self.has_dates) {
            (0..60, false) => "%H:%M:%S",
            (0..60, true) => "%m-%d %H:%M:%S",
            (0..86_400, true) => "%m-%d %H:%M",
            (86_400.., _) => "%Y-%m-%d",
            _ => "%H:%M",
        };
        self.written(at, format)
    }

    fn written(&self, at: WallNs, format: &str) -> String {
        at.timestamp().to_zoned(self.zone.clone()).strftime(format).to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::Dial;
    use crate::sink::report::wall::WallNs;

    #[test]
    fn a_date_stands_there_only_where_days_differ() {
        let at = |second: i64| WallNs(second * 1_000_000_000);
        let (day, next) = (at(1_700_000_000), at(1_700_080_000));
        assert_eq!(Dial::new(&TimeZone::UTC, [day, day]).second(day), "22:13:20");
        let dial = Dial::new(&TimeZone::UTC, [day, next]);
        assert_eq!(dial.exact(next), "11-15 20:26:40.000");
        assert_eq!(dial.full(day), "2023-11-14 22:13:20 UTC");
        assert_eq!(
            (dial.edge(1_700_000_000, 1), dial.edge(0, 86_400)),
            ("11-14 22:13:20".into(), "1970-01-01".into())
        );
    }
}
