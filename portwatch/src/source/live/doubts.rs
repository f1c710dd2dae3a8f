//! When the hook on the search for a port may not have told.
//!
//! In: how often it has not run, or found no room for what it knew, so far; looked at now and then. Out: whether one of
//! these may have been part of a given failure. Pure: times come from who asks.

use std::collections::VecDeque;

use crate::event::BootNs;

/// From the end of a search to the return of its connect it takes some microseconds. A thread that is preempted in
/// between, or whose control group has used up its processor time, needs longer; none should need that long.
const RETURN_NS: u64 = 10_000_000_000;
/// Of failures that are only counted the first of each timer tick stands for all: at most that old, with 100 ticks a
/// second.
const TICK_NS: u64 = 10_000_000;
/// Spans that are told apart; of more the oldest are taken together.
const MAX_SPANS: usize = 1024;

/// The spans of time in which the hook may not have told.
#[derive(Debug)]
pub(super) struct Doubts {
    /// Between two looks that found more of them; in order, apart from one another by more than [`RETURN_NS`].
    spans: VecDeque<(BootNs, BootNs)>,
    /// When the last look began, and what it found.
    looked: BootNs,
    count: u64,
    /// Whether a look found that nobody tells.
    untold: bool,
}

impl Doubts {
    /// None before `at`.
    pub(super) fn new(at: BootNs) -> Self {
        Self { spans: VecDeque::new(), looked: at, count: 0, untold: false }
    }

    /// A look between `began` and `ended` found this count since the start; none where it cannot be read.
    pub(super) fn look(&mut self, began: BootNs, count: Option<u64>, ended: BootNs) {
        let Some(count) = count else {
            self.untold = true;
            return;
        };
        if count > self.count {
            match self.spans.back_mut() {
                Some((_, to)) if self.looked.0.saturating_sub(to.0) <= RETURN_NS => *to = ended,
                _ => self.spans.push_back((self.looked, ended)),
            }
        }
        if self.spans.len() > MAX_SPANS
            && let (Some(oldest), Some(next)) = (self.spans.pop_front(), self.spans.front_mut())
        {
            next.0 = oldest.0;
        }
        (self.looked, self.count) = (began, count);
    }

    /// Whether the hook may not have told of one of the failures between `first` and `last`. There must have been a look
    /// after the last.
    pub(super) fn concern(&self, first: BootNs, last: BootNs) -> bool {
        let overlaps = |(from, to): &(BootNs, BootNs)| {
            from.0 <= last.0.saturating_add(TICK_NS) && to.0.saturating_add(RETURN_NS) >= first.0
        };
        self.untold || self.spans.iter().any(overlaps)
    }
}

#[cfg(test)]
mod tests {
    use super::{Doubts, MAX_SPANS};
    use crate::event::BootNs;

    fn seconds(seconds: u64) -> BootNs {
        BootNs(seconds * 1_000_000_000)
    }

    /// A look each second, with these counts.
    fn looked(counts: &[u64]) -> Doubts {
        let mut doubts = Doubts::new(seconds(0));
        for (second, count) in (1..).zip(counts) {
            doubts.look(seconds(second), Some(*count), seconds(second));
        }
        doubts
    }

    #[test]
    fn only_failures_about_the_time_of_a_skipped_run_are_in_doubt() {
        // One between 30 s and 31 s, in a session of a hundred.
        let counts: Vec<u64> = (1..=100).map(|second| u64::from(second > 30)).collect();
        let doubts = looked(&counts);
        let cases = [
            ("long before", 5, 5, false),
            ("just before", 29, 29, false),
            ("in that second", 30, 30, true),
            ("a connect that took long to return", 40, 40, true),
            ("long after", 42, 42, false),
            ("a row from before to after", 5, 90, true),
            ("a row before", 1, 20, false),
            ("a row after", 50, 90, false),
        ];
        for (what, first, last, expected) in cases {
            assert_eq!(doubts.concern(seconds(first), seconds(last)), expected, "{what}");
        }
    }

    #[test]
    fn without_a_skipped_run_nothing_is_in_doubt_and_without_an_answer_everything() {
        let mut doubts = looked(&[0; 50]);
        assert!(!doubts.concern(seconds(0), seconds(50)));
        doubts.look(seconds(51), None, seconds(51));
        assert!(doubts.concern(seconds(1), seconds(1)));
    }

    #[test]
    fn however_often_runs_are_skipped_memory_is_bounded_and_no_doubt_is_dropped() {
        let mut doubts = Doubts::new(seconds(0));
        let looks = 3 * MAX_SPANS as u64;
        for look in 1..=looks {
            doubts.look(seconds(look * 100), Some(look), seconds(look * 100));
            doubts.look(seconds(look * 100 + 50), Some(look), seconds(look * 100 + 50));
        }
        assert_eq!(doubts.spans.len(), MAX_SPANS);
        for look in 1..=looks {
            assert!(doubts.concern(seconds(look * 100 - 1), seconds(look * 100 - 1)), "{look}");
        }
        // The latest are still told apart.
        assert!(!doubts.concern(seconds(looks * 100 + 40), seconds(looks * 100 + 40)));
    }
}
