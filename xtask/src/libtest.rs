//! What libtest prints with `--show-output`: counts, why tests could not look, and what failed.
//!
//! In: its output, whole or as it comes. Out: those, and the output without the words of tests that passed. Must not know:
//! where the tests ran.

use std::fmt;
use std::io::{self, Write};
use std::ops::AddAssign;

/// The heading of what passing tests printed.
const SUCCESSES: &str = "successes:\n";
/// The heading of what failing tests printed, and then of their names.
const FAILURES: &str = "failures:\n";
/// Begins the last line of each program.
const RESULT: &str = "test result: ";

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
            let Some((_, counts)) = line.split_once(RESULT) else { continue };
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

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure<'a> {
    /// Of the test, with its modules.
    pub(crate) name: &'a str,
    /// What it printed, the panic's words among it.
    pub(crate) said: String,
}

/// Those that failed, in the order of `output`.
pub(crate) fn failures(output: &str) -> Vec<Failure<'_>> {
    let mut failures: Vec<Failure> = Vec::new();
    let mut within = false;
    for line in output.split_inclusive('\n') {
        if line == FAILURES {
            // The second heading is that of the names alone.
            within = !within;
        } else if line.starts_with(RESULT) {
            within = false;
        } else if let Some(name) = line.strip_prefix("---- ").filter(|_| within) {
            let name = name.trim_end().trim_end_matches(" ----").trim_end_matches(" stdout");
            failures.push(Failure { name, said: String::new() });
        } else if within && let Some(failure) = failures.last_mut() {
            failure.said += line;
        }
    }
    failures
}

/// Passes on what libtest prints as it comes, without what passing tests printed: that is long, and what failed is what
/// people look for.
pub(crate) struct Brief<W> {
    to: W,
    /// The line that has begun, and how much of it was passed on.
    line: Vec<u8>,
    passed_on: usize,
    within_successes: bool,
}

impl<W: Write> Brief<W> {
    /// Passes on to `to`.
    pub(crate) fn new(to: W) -> Self {
        Self { to, line: Vec::new(), passed_on: 0, within_successes: false }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.to.write_all(self.line.get(self.passed_on..).unwrap_or_default())?;
        self.passed_on = self.line.len();
        Ok(())
    }
}

impl<W: Write> Write for Brief<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(part);
            let is_whole = part.ends_with(b"\n");
            if self.within_successes {
                self.within_successes = !is_whole
                    || self.line != FAILURES.as_bytes() && !self.line.starts_with(RESULT.as_bytes());
            } else {
                self.within_successes = self.line == SUCCESSES.as_bytes();
            }
            // What may become the heading is not passed on yet.
            if !self.within_successes && (is_whole || !SUCCESSES.as_bytes().starts_with(&self.line)) {
                self.pass_on()?;
            }
            if is_whole {
                self.line.clear();
                self.passed_on = 0;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
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

    const OUTPUT: &str = "running 3 tests\ntest a ... ok\ntest b ... FAILED\n\nsuccesses:\n\n---- a stdout ----\n\
        skipped: why\nfailures: none\n\nsuccesses:\n    a\n\nfailures:\n\n---- b stdout ----\nwords\n\n\
        thread 'b' panicked at b.rs:1:1:\nno\n\n---- b.rs - c (line 3) stdout ----\nTest executable failed\n\n\
        failures:\n    b\n    b.rs - c (line 3)\n\ntest result: FAILED. 1 passed; 2 failed; 0 ignored\n\n\
        running 1 test\ntest d ... ok\n\nsuccesses:\n\nsuccesses:\n    d\n\ntest result: ok. 1 passed; 0 failed\n";

    #[test]
    fn what_failed_is_told_with_its_words() {
        let failures = failures(OUTPUT);
        let names: Vec<_> = failures.iter().map(|failure| failure.name).collect();
        assert_eq!(names, ["b", "b.rs - c (line 3)"]);
        assert_eq!(failures[0].said.trim(), "words\n\nthread 'b' panicked at b.rs:1:1:\nno");
        assert_eq!(failures[1].said.trim(), "Test executable failed");
        assert_eq!(super::failures("test a ... ok\nerror: could not compile"), []);
    }

    #[test]
    fn the_words_of_tests_that_passed_are_left_out_however_the_output_is_cut() {
        let (before, rest) = OUTPUT.split_once(SUCCESSES).unwrap();
        let (_, failed) = rest.split_once("\nfailures:\n").unwrap();
        let (failed, _) = failed.split_once(SUCCESSES).unwrap();
        let expected =
            format!("{before}{FAILURES}{failed}test result: ok. 1 passed; 0 failed\n").into_bytes();
        for size in [1, 2, 7, 4096] {
            let mut shown = Vec::new();
            let mut brief = Brief::new(&mut shown);
            OUTPUT.as_bytes().chunks(size).for_each(|chunk| brief.write_all(chunk).unwrap());
            assert_eq!(
                String::from_utf8(shown).unwrap(),
                String::from_utf8(expected.clone()).unwrap(),
                "{size}"
            );
        }
    }

    #[test]
    fn a_line_is_shown_before_it_ends() {
        let mut shown = Vec::new();
        Brief::new(&mut shown).write_all(b"test a ... ").unwrap();
        assert_eq!(shown, b"test a ... ");
    }
}
