//! The books: what happened to each failure's detail.

use crate::event::{BootNs, LossReason, Lost, Suppressed};

/// How often suppressed detail is told, nanoseconds: a storm goes on for longer than that.
const SUPPRESSED_INTERVAL_NS: u64 = 1_000_000_000;

/// Totals since the start; only ever grow.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) delivered: u64,
    /// By the kernel side: its kind had been sent often enough.
    pub(super) suppressed: u64,
    /// After as many as were asked for.
    pub(super) beyond_count: u64,
    pub(super) ring_full: u64,
    pub(super) queue_full: u64,
    pub(super) malformed: u64,
    pub(super) unaccounted: u64,
    /// Not of failures: runs of programs.
    pub(super) skipped_runs: u64,
    told: Vec<(LossReason, u64)>,
    told_at: BootNs,
    told_suppressed: u64,
    told_suppressed_at: BootNs,
}

impl Ledger {
    /// Nothing yet.
    pub(super) fn new(at: BootNs) -> Self {
        Self { told_at: at, told_suppressed_at: at, ..Self::default() }
    }

    /// Losses by reason; reasons without a loss are absent.
    pub(super) fn lost(&self) -> Vec<(LossReason, u64)> {
        let places = [
            (LossReason::RingFull, self.ring_full),
            (LossReason::QueueFull, self.queue_full),
            (LossReason::MalformedRecord, self.malformed),
            (LossReason::Unaccounted, self.unaccounted),
        ];
        places.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Failures that were meant not to be shown.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed + self.beyond_count
    }

    /// Failures whose fate is known.
    pub(super) fn accounted(&self) -> u64 {
        self.delivered + self.suppressed() + self.lost().iter().map(|(_, count)| count).sum::<u64>()
    }

    /// What was lost since this was last asked.
    pub(super) fn news(&mut self, now: BootNs) -> Vec<Lost> {
        let mut lost = self.lost();
        if self.skipped_runs > 0 {
            lost.push((LossReason::SkippedRun, self.skipped_runs));
        }
        let told =
            |reason| self.told.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count);
        let news = lost
            .iter()
            .map(|(reason, count)| Lost {
                reason: *reason,
                count: count.saturating_sub(told(*reason)),
                from: self.told_at,
                to: now,
            })
            .filter(|lost| lost.count > 0)
            .collect();
        self.told = lost;
        self.told_at = now;
        news
    }

    /// What was suppressed by the kernel side since this was last told; not more often than every second, unless this
    /// is the last time.
    pub(super) fn suppressed_news(&mut self, now: BootNs, last: bool) -> Option<Suppressed> {
        let count = self.suppressed - self.told_suppressed;
        let from = self.told_suppressed_at;
        if count == 0 || (!last && now.0.saturating_sub(from.0) < SUPPRESSED_INTERVAL_NS) {
            return None;
        }
        (self.told_suppressed, self.told_suppressed_at) = (self.suppressed, now);
        Some(Suppressed { count, from, to: now })
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use crate::event::{BootNs, LossReason};

    #[test]
    fn each_loss_is_told_once_with_the_time_in_which_it_happened() {
        let mut ledger = Ledger::new(BootNs(10));
        assert!(ledger.news(BootNs(20)).is_empty());
        (ledger.ring_full, ledger.delivered) = (5, 7);
        let news = ledger.news(BootNs(30));
        let told: Vec<_> =
            news.iter().map(|lost| (lost.reason, lost.count, lost.from.0, lost.to.0)).collect();
        assert_eq!(told, [(LossReason::RingFull, 5, 20, 30)]);
        (ledger.ring_full, ledger.queue_full) = (6, 2);
        let news = ledger.news(BootNs(40));
        let told: Vec<_> =
            news.iter().map(|lost| (lost.reason, lost.count, lost.from.0, lost.to.0)).collect();
        assert_eq!(told, [(LossReason::RingFull, 1, 30, 40), (LossReason::QueueFull, 2, 30, 40)]);
        assert!(ledger.news(BootNs(50)).is_empty());
        assert_eq!(ledger.accounted(), 7 + 6 + 2);
    }

    #[test]
    fn a_storm_is_told_once_a_second_and_at_the_end() {
        let mut ledger = Ledger::new(BootNs(0));
        ledger.suppressed = 5;
        assert_eq!(ledger.suppressed_news(BootNs(999_999_999), false), None);
        let told =
            |news: Option<crate::event::Suppressed>| news.map(|news| (news.count, news.from.0, news.to.0));
        assert_eq!(told(ledger.suppressed_news(BootNs(1_000_000_000), false)), Some((5, 0, 1_000_000_000)));
        ledger.suppressed = 6;
        assert_eq!(told(ledger.suppressed_news(BootNs(1_100_000_000), false)), None);
        assert_eq!(
            told(ledger.suppressed_news(BootNs(1_200_000_000), true)),
            Some((1, 1_000_000_000, 1_200_000_000))
        );
        assert_eq!(told(ledger.suppressed_news(BootNs(9_000_000_000), true)), None);
        assert_eq!((ledger.suppressed(), ledger.accounted()), (6, 6));
    }

    #[test]
    fn skipped_runs_are_told_but_are_no_lost_detail() {
        let mut ledger = Ledger::new(BootNs(0));
        ledger.skipped_runs = 3;
        assert_eq!(ledger.news(BootNs(5)).len(), 1);
        assert_eq!((ledger.lost(), ledger.accounted()), (Vec::new(), 0));
    }
}
