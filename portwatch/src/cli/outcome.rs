//! How a command ended, as the shell sees it.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::args::FailOn;
use crate::diagnose::Observer;
use crate::kernel::Refusal;

/// Codes that scripts depend on (`docs/json.md`).
const FAILED: u8 = 1;
const FINDINGS: u8 = 3;
const CANNOT_TRACE: u8 = 69;

/// A command came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// It did, and found what the caller asked to be told of by the exit code.
    Findings,
    /// It found that this host cannot be traced, and has said so.
    CannotTrace,
}

impl Outcome {
    /// Of a command that watched, and was asked to tell of this.
    pub(super) fn of(observer: &Observer, fail_on: Option<FailOn>) -> Self {
        match fail_on {
            Some(FailOn::Warn) if observer.has_warned() => Self::Findings,
            _ => Self::Done,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Findings => Self::from(FINDINGS),
            Outcome::CannotTrace => Self::from(CANNOT_TRACE),
        }
    }
}

/// Says something on stderr. If that refuses there is nobody left to tell.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether it is that the reader of the output has gone.
pub(super) fn nobody_reads(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Tells the user why a command failed, unless nobody reads its output any more: that ends it quietly.
#[must_use]
pub fn explain(error: &anyhow::Error) -> ExitCode {
    if nobody_reads(error) {
        return ExitCode::SUCCESS;
    }
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        say(&format!("portwatch: cannot trace here: {refusal}"));
        return ExitCode::from(CANNOT_TRACE);
    }
    say(&format!("portwatch: {error:#}"));
    ExitCode::from(FAILED)
}
