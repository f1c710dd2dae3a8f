//! The binary: runs a command and turns its outcome into an exit code.

use std::process::ExitCode;

use portwatch::cli;

fn main() -> ExitCode {
    match cli::run() {
        Ok(outcome) => outcome.into(),
        Err(error) => cli::explain(&error),
    }
}
