//! Failures beyond what portwatch sends in detail: counted, and nothing else.
//!
//! The bound holds for one process, destination and cause within about a second. Each batch that is measured comes
//! after a flood that uses the bound up, so at most one batch, during which a new second begins, is sent.

use anyhow::{Context as _, Result, ensure};
use nix::time::{ClockId, clock_gettime};
use portwatch_tests::contract;
use serde_json::Value;

use crate::bed::{Bed, median};

/// More than is sent in detail within a second.
const FLOOD: usize = 3000;
const BATCHES: usize = 11;
const BATCH: usize = 91;

/// What was measured, and when.
pub(crate) struct Batches {
    costs: Vec<u64>,
    /// Start and end of each batch, in nanoseconds of the boot clock.
    times: Vec<(u64, u64)>,
}

/// Measures.
pub(crate) fn batches(bed: &Bed) -> Result<Batches> {
    let mut batches = Batches { costs: Vec::new(), times: Vec::new() };
    for _ in 0..BATCHES {
        bed.flood(FLOOD)?;
        let start = boot_ns()?;
        batches.costs.extend(bed.failures(BATCH)?);
        batches.times.push((start, boot_ns()?));
    }
    Ok(batches)
}

impl Batches {
    /// The median, if `output` says that most of those measured were suppressed.
    pub(crate) fn cost(self, output: &str) -> Result<u64> {
        let lines = contract::checked(output)?;
        let end = lines.last().context("no end")?;
        let made = u64::try_from(BATCHES * (FLOOD + BATCH))?;
        ensure!(end["failures"] == made, "it counted {} of {made} failures", end["failures"]);
        ensure!(end["suppressed"] != 0, "not available: this portwatch sends the detail of each failure");
        let sent = lines.iter().filter(|line| line["type"] == "failure" && self.is_measured(line)).count();
        let measured = self.costs.len();
        // One batch, and some that were on their way.
        ensure!(sent <= 2 * BATCH, "{sent} of {measured} failures were sent in detail");
        median(self.costs.into_iter().map(Ok))
    }

    fn is_measured(&self, failure: &Value) -> bool {
        let time = failure["monotonic_ns"].as_u64().unwrap_or_default();
        self.times.iter().any(|(start, end)| (*start..=*end).contains(&time))
    }
}

fn boot_ns() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).context("read the boot clock")?;
    Ok(u64::try_from(std::time::Duration::from(time).as_nanos())?)
}
