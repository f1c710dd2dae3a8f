//! Searches for a port since the last look, where some of them were slow.
//!
//! In: what the kernel side has counted since the start, again and again. Out: [`RecentSearches`]. Must not know: from
//! when on somebody is warned.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::event::{BootNs, NetnsId, RecentSearch, RecentSearches, SearchRow, SearchTimes};

/// Looks after the last slow search that are told although nothing was slow, so that one sees that it is over.
const QUIET_LOOKS: u32 = 6;

type Place = (NetnsId, IpAddr, SocketAddr);

/// What was counted at the last look.
pub(super) struct Looks {
    interval: Duration,
    due: Instant,
    from: BootNs,
    counted: HashMap<Place, SearchTimes>,
    quiet_looks: u32,
}

impl Looks {
    /// Looks after each `interval`; the first one begins `at` this instant.
    pub(super) fn new(interval: Duration, at: BootNs) -> Self {
        Self {
            interval,
            due: Instant::now() + interval,
            from: at,
            counted: HashMap::new(),
            quiet_looks: QUIET_LOOKS,
        }
    }

    /// When it is time to look.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// What was slow since the last look; `rows` are all there are, `at` this instant.
    pub(super) fn look(&mut self, rows: &[SearchRow], at: BootNs) -> Option<RecentSearches> {
        self.due = Instant::now() + self.interval;
        let from = std::mem::replace(&mut self.from, at);
        let rows: Vec<RecentSearch> = rows.iter().filter_map(|row| self.since_the_last(row)).collect();
        self.quiet_looks = if rows.is_empty() { self.quiet_looks.saturating_add(1) } else { 0 };
        (self.quiet_looks <= QUIET_LOOKS).then_some(RecentSearches { from, to: at, rows })
    }

    /// One place's; none where no search was slow.
    fn since_the_last(&mut self, row: &SearchRow) -> Option<RecentSearch> {
        let place = (row.netns, row.source, row.destination);
        let before = self.counted.insert(place, row.times).unwrap_or_default();
        let since = SearchTimes {
            count: row.times.count.saturating_sub(before.count),
            slow: row.times.slow.saturating_sub(before.slow),
            total: row.times.total.saturating_sub(before.total),
            longest: Duration::ZERO,
        };
        (since.slow > 0).then_some(RecentSearch {
            netns: row.netns,
            source: row.source,
            destination: row.destination,
            count: since.count,
            slow: since.slow,
            average: since.average(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Looks, QUIET_LOOKS};
    use crate::event::{BootNs, NetnsId, SearchRow, SearchTimes};

    fn row(port: u16, count: u64, slow: u64, average_us: u64) -> SearchRow {
        SearchRow {
            netns: NetnsId(1),
            source: [127, 0, 0, 1].into(),
            destination: ([127, 0, 0, 1], port).into(),
            times: SearchTimes {
                count,
                slow,
                total: Duration::from_micros(average_us * count),
                longest: Duration::ZERO,
            },
        }
    }

    #[test]
    fn only_what_is_new_counts() {
        let mut looks = Looks::new(Duration::ZERO, BootNs(5));
        let first = looks.look(&[row(80, 100, 50, 400), row(443, 9, 0, 2)], BootNs(10)).unwrap();
        assert_eq!((first.from, first.to, first.rows.len()), (BootNs(5), BootNs(10), 1));
        assert_eq!((first.rows[0].count, first.rows[0].slow), (100, 50));
        let second = looks.look(&[row(80, 150, 90, 600), row(443, 10, 0, 2)], BootNs(20)).unwrap();
        assert_eq!((second.from, second.to), (BootNs(10), BootNs(20)));
        let new = &second.rows[0];
        assert_eq!((new.count, new.slow, new.average), (50, 40, Duration::from_micros(1000)));
    }

    #[test]
    fn nothing_is_told_but_where_something_was_slow_and_for_a_while_after() {
        let mut looks = Looks::new(Duration::ZERO, BootNs(0));
        assert_eq!(looks.look(&[row(80, 5, 0, 2)], BootNs(1)), None);
        assert!(looks.look(&[row(80, 6, 1, 40)], BootNs(2)).is_some());
        for look in 0..QUIET_LOOKS {
            let quiet = looks.look(&[row(80, 7, 1, 40)], BootNs(3)).unwrap();
            assert_eq!(quiet.rows, [], "look {look}");
        }
        assert_eq!(looks.look(&[row(80, 7, 1, 40)], BootNs(4)), None);
    }
}
