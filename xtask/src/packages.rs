//! Static builds of the workspace's programs.
//!
//! In: a package and one of its programs. Out: the path of an executable that runs in any Linux of this
//! architecture, above all in the guest, which has no libraries to match.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::checkout::Checkout;
use crate::process;

const STATIC_TARGET: &str = "x86_64-unknown-linux-gnu";
const STATIC_FLAGS: &str = "-C target-feature=+crt-static";
const TESTS_PACKAGE: &str = "portwatch-tests";

/// Builds the `portwatch` executable.
pub(crate) fn portwatch(checkout: &Checkout) -> Result<PathBuf> {
    built(cargo_static(checkout, "build").args(["--package", "portwatch", "--bin", "portwatch"]), "portwatch")
}

/// Builds the program `name` of the tests package.
pub(crate) fn test_program(checkout: &Checkout, name: &str) -> Result<PathBuf> {
    built(cargo_static(checkout, "build").args(["--package", TESTS_PACKAGE, "--bin", name]), name)
}

/// Builds the example `name` of portwatch.
pub(crate) fn example(checkout: &Checkout, name: &str) -> Result<PathBuf> {
    built(cargo_static(checkout, "build").args(["--package", "portwatch", "--example", name]), name)
}

/// Builds the tests `name` that run in a guest.
pub(crate) fn guest_tests(checkout: &Checkout, name: &str) -> Result<PathBuf> {
    let mut command = cargo_static(checkout, "test");
    command.args(["--no-run", "--package", TESTS_PACKAGE, "--features", "guest", "--test", name]);
    built(&mut command, name)
}

fn cargo_static(checkout: &Checkout, subcommand: &str) -> Command {
    let mut command = checkout.cargo();
    command
        .env("RUSTFLAGS", STATIC_FLAGS)
        .args([subcommand, "--release", "--target", STATIC_TARGET])
        // Diagnostics and progress go to stderr, for the person.
        .arg("--message-format=json-render-diagnostics");
    command
}

fn built(command: &mut Command, program: &str) -> Result<PathBuf> {
    let messages = process::capture_stdout(command)?;
    executable(&messages, program).with_context(|| format!("cargo built no executable of {program}"))
}

/// The executable of the target `program` in cargo's JSON messages.
fn executable(messages: &str, program: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == program)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_of_the_asked_target_is_found() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"guest"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"guest"},"executable":"/t/deps/guest-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "guest"), Some("/t/deps/guest-1".into()));
        assert_eq!(executable(messages, "host"), None);
    }
}
