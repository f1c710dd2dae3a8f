//! Items → lines.
//!
//! In: items in their order, as the first says what the time of day is. Out: lines. Failures come by the million, so nothing
//! is built before it is written. Must not know: where lines go to.

mod failure;
mod known;
mod session;
mod snapshot;
mod tables;

use std::sync::Arc;

use crate::clock::Clock;
use crate::event::{Details, Fault, Item, Process, Row};

use failure::Scene;
use known::Known;

use super::time::Times;

/// Turns items into lines.
#[derive(Debug, Default)]
pub struct Encoder {
    /// That of the start; of a stream without one that of the first snapshot.
    clock: Option<Clock>,
    times: Times,
    processes: Known<Process>,
    details: Known<Arc<Details>>,
    faults: Known<Fault>,
    scenes: Known<Scene>,
}

impl Encoder {
    /// Appends the lines of `item`, each with its line feed: one, or of a snapshot one more for each row.
    pub fn item(&mut self, item: &Item, lines: &mut Vec<u8>) {
        match item {
            Item::Failure(failure) => self.failure(failure, lines),
            Item::Start(start) => {
                self.clock = Some(Clock { boot_offset_ns: start.boot_offset_ns });
                self.start(start, lines);
            }
            Item::Ports(snapshot) => {
                self.clock.get_or_insert(Clock { boot_offset_ns: snapshot.boot_offset_ns });
                self.snapshot(snapshot, lines);
            }
            Item::Lost(lost) => self.lost(*lost, lines),
            Item::Suppressed(suppressed) => self.suppressed(*suppressed, lines),
            Item::Sysctl(change) => self.sysctl(change, lines),
            Item::Searches(searches) => tables::searches(searches, lines),
            Item::RecentSearches(recent) => self.recent_searches(recent, lines),
            Item::Counts(counts) => self.counts(counts, lines),
            Item::Missing(missing) => session::missing(missing, lines),
            Item::Summary(summary) => self.summary(summary, lines),
            Item::End(end) => session::end(end, lines),
        }
    }

    /// By which the times of day are told.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.unwrap_or_default()
    }
}

/// Appends the array `rows` of a summary.
pub fn rows(rows: &[Row], clock: Clock, out: &mut Vec<u8>) {
    Encoder { clock: Some(clock), ..Encoder::default() }.rows(rows, out);
}
