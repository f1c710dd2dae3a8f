//! How many tests passed and failed, from what libtest prints.

use std::fmt;
use std::ops::AddAssign;

/// Counts of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    /// Of those that passed the ones that could not look: they print a line that says so.
    skipped: u64,
}

const SKIPPED: &str = "skipped: ";

/// Why tests could not look, each reason once.
pub(crate) fn reasons(output: &str) -> Vec<&str> {
    let mut reasons: Vec<_> = output.lines().filter_map(|line| line.strip_prefix(SKIPPED)).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

impl Tally {
    /// The sum of all result lines in `output`.
    pub(crate) fn read(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            tally.skipped += u64::from(line.starts_with(SKIPPED));
            // `test result: ok. 3 passed; 0 failed; 1 ignored; …`
            let Some((_, counts)) = line.split_once("test result: ") else { continue };
            tally.passed += count(counts, " passed");
            tally.failed += count(counts, " failed");
        }
        tally
    }
}

fn count(counts: &str, what: &str) -> u64 {
    let number = counts.split(';').find_map(|part| part.strip_suffix(what));
    number.and_then(|text| text.split_whitespace().last()?.parse().ok()).unwrap_or(0)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{} passed, {failed} failed, {skipped} skipped", passed.saturating_sub(*skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up() {
        let output = "running 2 tests\n\
            test a ... ok\n\
            skipped: no such thing here\n\
            skipped: no such thing here\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 40 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(Tally::read(output).to_string(), "40 passed, 3 failed, 2 skipped");
        assert_eq!(reasons(output), ["no such thing here"]);
        assert_eq!(Tally::read("error: could not compile"), Tally::default());
    }
}
