//! How many tests passed and failed, from what libtest prints.

use std::fmt;
use std::ops::AddAssign;

/// Counts of tests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// The sum of all result lines in `output`.
    pub(crate) fn read(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            // `test result: ok. 3 passed; 0 failed; 1 ignored; …`
            let Some((_, counts)) = line.split_once("test result: ") else { continue };
            tally += Self { passed: count(counts, " passed"), failed: count(counts, " failed") };
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
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_add_up() {
        let output = "running 2 tests\n\
            test a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: FAILED. 40 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n";
        assert_eq!(Tally::read(output).to_string(), "42 passed, 3 failed");
        assert_eq!(Tally::read("error: could not compile"), Tally::default());
    }
}
