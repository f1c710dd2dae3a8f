//! The books: what happened to each failure's detail.

use crate::event::{BootNs, LossReason, Lost};

/// Totals since the start; only ever grow.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) delivered: u64,
    pub(super) suppressed: u64,
    pub(super) ring_full: u64,
    pub(super) queue_full: u64,
    pub(super) malformed: u64,
    pub(super) unaccounted: u64,
    told: Vec<(LossReason, u64)>,
    told_at: BootNs,
}

impl Ledger {
    /// Nothing yet.
    pub(super) fn new(at: BootNs) -> Self {
        Self { told_at: at, ..Self::default() }
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

    /// Failures whose fate is known.
    pub(super) fn accounted(&self) -> u64 {
        self.delivered + self.suppressed + self.lost().iter().map(|(_, count)| count).sum::<u64>()
    }

    /// What was lost since this was last asked.
    pub(super) fn news(&mut self, now: BootNs) -> Vec<Lost> {
        let lost = self.lost();
        let told =
            |reason| self.told.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count);
        let news = lost
            .iter()
            .map(|(reason, count)| Lost {
                reason: *reason,
                count: count - told(*reason),
                from: self.told_at,
                to: now,
            })
            .filter(|lost| lost.count > 0)
            .collect();
        self.told = lost;
        self.told_at = now;
        news
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
}
