//! What a subject wrote, held against what was done to it.

use anyhow::{Context as _, Result, ensure};
use portwatch_tests::contract;

use crate::bed::SUCCEEDING;

/// What of the connects a subject should show.
#[derive(Clone, Copy)]
pub(crate) enum Shows {
    /// Nothing.
    Nothing,
    /// Failures, in JSON that keeps its contract.
    Ledger,
    /// The same, and the refused connects too.
    LedgerOfAll,
    /// The number of failures, as a map of bpftrace.
    Map,
    /// The number of refused and accepted connects, as a map of bpftrace, and nothing for failures.
    SuccessMap,
    /// A line with this for each failure.
    FailureLines(&'static str),
    /// So many lines for each refused and each accepted connect, and nothing for failures.
    Successes(u64, u64),
}

/// How this program is called in what others write.
const OWN_NAME: &str = "guest-bench";

impl Shows {
    /// How many of `failures` were shown; none for a subject that shows nothing.
    ///
    /// # Errors
    /// When the subject did not see what it should have: then its figures mean nothing.
    pub(crate) fn failures(self, output: &str, failures: u64) -> Result<Option<u64>> {
        let shown = match self {
            Self::Nothing => return Ok(None),
            Self::Ledger => delivered(output)?,
            Self::LedgerOfAll => delivered(output)?.saturating_sub(u64::try_from(SUCCEEDING)?),
            Self::Map => output.lines().filter_map(map_value).sum(),
            Self::SuccessMap => {
                let counted: u64 = output.lines().filter_map(map_value).sum();
                let expected = 2 * u64::try_from(SUCCEEDING)?;
                ensure!(counted == expected, "it counted {counted} instead of {expected}: {}", start(output));
                return Ok(Some(0));
            }
            Self::FailureLines(with) => count(output, with)?,
            Self::Successes(refused, accepted) => {
                let lines = count(output, OWN_NAME)?;
                let expected = (refused + accepted) * u64::try_from(SUCCEEDING)?;
                ensure!(lines == expected, "it wrote {lines} lines instead of {expected}: {}", start(output));
                return Ok(Some(0));
            }
        };
        ensure!(shown == failures, "it showed {shown} of {failures} failures: {}", start(output));
        Ok(Some(shown))
    }
}

fn delivered(output: &str) -> Result<u64> {
    let lines = contract::checked(output)?;
    lines.last().and_then(|end| end["delivered"].as_u64()).context("no number of delivered failures")
}

/// `@[PID, NAME]: COUNT`, and with more between the brackets.
fn map_value(line: &str) -> Option<u64> {
    line.strip_prefix("@[")?.split_once("]: ")?.1.parse().ok()
}

fn count(output: &str, with: &str) -> Result<u64> {
    Ok(u64::try_from(output.lines().filter(|line| line.contains(with)).count())?)
}

/// The first words of an output.
pub(crate) fn start(output: &str) -> String {
    const LENGTH: usize = 300;
    let start: String = output.chars().take(LENGTH).collect();
    if start.is_empty() { "it wrote nothing".to_owned() } else { start.replace('\n', " | ") }
}
