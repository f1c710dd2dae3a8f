//! Tables of the kernel side that had no room: told on the way, once each; the end tells how much it was.

use crate::kernel::Counters;

/// A table, by the counter of what it had no room for, and what that costs.
type Table = (fn(&Counters) -> u64, &'static str);

const TABLES: [Table; 6] = [
    (
        |counters| counters.keys_full,
        "the table of processes and destinations is full: the summary counts new ones as `other`",
    ),
    (
        |counters| counters.callers_full,
        "the table of connects under way is full: if the network refuses new ones, their caller is unknown",
    ),
    (
        |counters| counters.details_full,
        "too many failures at one instant: some are told with less detail, and their cause may be unknown",
    ),
    (
        |counters| counters.reported_full,
        "too many failures at one instant: some may be told and counted twice",
    ),
    (
        |counters| counters.owners_forgotten,
        "more connects within a minute than --holders remembers: some sockets in TIME_WAIT are nobody's",
    ),
    (
        |counters| counters.sysctls_lost,
        "settings are changed faster than is told: some changes are only counted",
    ),
];

/// Which were told.
#[derive(Debug, Default)]
pub(super) struct FullTables([bool; TABLES.len()]);

impl FullTables {
    /// Warns of those that had no room for the first time.
    pub(super) fn warn(&mut self, counters: &Counters) {
        for sentence in self.news(counters) {
            log::warn!("{sentence}");
        }
    }

    fn news(&mut self, counters: &Counters) -> Vec<&'static str> {
        let told = self.0.iter_mut().zip(TABLES);
        let news = told.filter_map(|(told, (count, sentence))| {
            let is_new = !*told && count(counters) > 0;
            *told |= is_new;
            is_new.then_some(sentence)
        });
        news.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{FullTables, TABLES};
    use crate::kernel::Counters;

    #[test]
    fn each_table_that_is_full_is_told_once() {
        let mut tables = FullTables::default();
        assert!(tables.news(&Counters { suppressed: 1, ring_full: 1, ..Counters::default() }).is_empty());
        let callers = Counters { callers_full: 1, ..Counters::default() };
        assert_eq!(tables.news(&callers), [TABLES[1].1]);
        assert!(tables.news(&callers).is_empty());
        let all = Counters {
            callers_full: 2,
            keys_full: 1,
            details_full: 1,
            reported_full: 1,
            owners_forgotten: 1,
            sysctls_lost: 1,
            ..callers
        };
        assert_eq!(tables.news(&all), [TABLES[0].1, TABLES[2].1, TABLES[3].1, TABLES[4].1, TABLES[5].1]);
    }
}
