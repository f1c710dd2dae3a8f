//! What the table of counts has grown by, interval after interval, in exact numbers.
//!
//! In: all counts, again and again; how many failures are known of. Out: when the table is worth reading, and what is
//! new in it. Must not know: what keys and counts are made of.

use std::time::{Duration, Instant};

use crate::event::{BootNs, Counts, Row};

/// What was told so far.
pub(super) struct Intervals<K> {
    length: Duration,
    due: Instant,
    /// The last time at which all that was known of was told.
    from: BootNs,
    /// Failures that were known of then,
    known: u64,
    /// how many each key had, in the order of keys,
    counted: Vec<(K, u64)>,
    /// and how many had none.
    other: u64,
}

impl<K: Ord + Copy> Intervals<K> {
    /// Intervals of this length; the first begins `at` this instant, at which nothing is counted.
    pub(super) fn new(length: Duration, at: BootNs) -> Self {
        Self { length, due: Instant::now() + length, from: at, known: 0, counted: Vec::new(), other: 0 }
    }

    /// Whether an interval is over in which anything happened. `known`: all failures that records, or counters of why
    /// there is none, have told of until `now`. Each failure that is counted becomes known a little later.
    pub(super) fn is_due(&mut self, known: u64, now: BootNs) -> bool {
        if Instant::now() < self.due {
            return false;
        }
        self.due = Instant::now() + self.length;
        if known == self.known {
            self.from = now;
        }
        std::mem::replace(&mut self.known, known) != known
    }

    /// Of `counts`, which are all there are, in the order of keys, those that have grown, by as much as they have.
    /// `count` finds the number in one.
    pub(super) fn grown<V>(
        &mut self,
        counts: impl IntoIterator<Item = (K, V)>,
        count: impl Fn(&mut V) -> &mut u64,
    ) -> Vec<(K, V)> {
        let mut before = std::mem::take(&mut self.counted).into_iter().peekable();
        let mut grown = Vec::new();
        for (key, mut value) in counts {
            let number = count(&mut value);
            self.counted.push((key, *number));
            // Keys never go.
            while before.next_if(|(other, _)| *other < key).is_some() {}
            *number = number.saturating_sub(before.next_if(|(same, _)| *same == key).map_or(0, |(_, n)| n));
            if *number > 0 {
                grown.push((key, value));
            }
        }
        grown
    }

    /// By how much those have grown that have no key.
    pub(super) fn grown_other(&mut self, other: u64) -> u64 {
        other.saturating_sub(std::mem::replace(&mut self.other, other))
    }

    /// What the interval that ends `now` has, if anything.
    pub(super) fn end(&mut self, rows: Vec<Row>, other: u64, now: BootNs) -> Option<Counts> {
        let from = std::mem::replace(&mut self.from, now);
        if rows.is_empty() && other == 0 {
            return None;
        }
        // What was counted just before the last interval ended may have become known in this one.
        let earliest = rows.iter().map(|row| row.last).min().unwrap_or(from);
        Some(Counts { from: from.min(earliest), to: now, rows, other })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Intervals;
    use crate::event::{BootNs, Call, Errno, Fault, NetnsId, Process, Protocol, Row, Stage};

    fn intervals() -> Intervals<char> {
        Intervals::new(Duration::ZERO, BootNs(10))
    }

    fn row(count: u64, last: u64) -> Row {
        let fault = Fault {
            call: Call::Connect,
            protocol: Protocol::Tcp,
            errno: Errno::EADDRNOTAVAIL,
            stage: Stage::PortSearch,
            had_port: false,
            address: ([10, 0, 0, 2], 443).into(),
            v4_mapped: false,
            kernel_socket: false,
        };
        let (process, netns) = (Process::with_id(7), NetnsId(5));
        Row { process, netns, fault, count, first: BootNs(1), last: BootNs(last) }
    }

    #[test]
    fn of_each_reading_only_what_has_grown_is_new_and_by_as_much() {
        let readings: [[&[(char, u64)]; 2]; 5] = [
            [&[('b', 3)], &[('b', 3)]],
            [&[('b', 3)], &[]],
            [&[('a', 1), ('b', 5), ('c', 9)], &[('a', 1), ('b', 2), ('c', 9)]],
            [&[('a', 1), ('b', 5), ('c', 10), ('d', 1)], &[('c', 1), ('d', 1)]],
            [&[('a', 2), ('b', 5), ('c', 10), ('d', 1)], &[('a', 1)]],
        ];
        let mut intervals = intervals();
        for (n, [counts, expected]) in readings.into_iter().enumerate() {
            let grown = intervals.grown(counts.to_vec(), |count| count);
            assert_eq!(grown, expected, "reading {n}");
        }
    }

    #[test]
    fn the_table_is_read_only_where_something_happened_and_the_interval_is_over() {
        let mut quick = intervals();
        let asked = [0, 0, 5, 5, 5, 6].map(|known| quick.is_due(known, BootNs(20)));
        assert_eq!(asked, [false, false, true, false, false, true]);
        let mut slow: Intervals<char> = Intervals::new(Duration::from_secs(3600), BootNs(10));
        assert!(!slow.is_due(5, BootNs(20)));
    }

    #[test]
    fn intervals_follow_each_other_and_those_without_anything_are_no_part_of_the_next() {
        let mut intervals = intervals();
        let told = |intervals: &mut Intervals<char>, rows, other, now| {
            let other = intervals.grown_other(other);
            let counts = intervals.end(rows, other, BootNs(now))?;
            Some((counts.from.0, counts.to.0, counts.rows.len(), counts.other))
        };
        assert_eq!(told(&mut intervals, vec![row(3, 15)], 0, 20), Some((10, 20, 1, 0)));
        assert_eq!(told(&mut intervals, vec![row(3, 25)], 4, 30), Some((20, 30, 1, 4)));
        assert_eq!(told(&mut intervals, Vec::new(), 6, 40), Some((30, 40, 0, 2)));
        assert_eq!(told(&mut intervals, Vec::new(), 6, 50), None);
        assert!(!intervals.is_due(0, BootNs(70)));
        assert_eq!(told(&mut intervals, vec![row(1, 75), row(2, 69)], 6, 80), Some((69, 80, 2, 0)));
    }
}
