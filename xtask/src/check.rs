//! `cargo xtask check`: what must hold before a change is shown to others.
//!
//! In: the checkout. Out: findings, one a line as `file:line: what: what to do`, then one line per step. All steps
//! run before the command fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use self::finding::Finding;
use crate::checkout::Checkout;
use crate::process;
use crate::setup::{self, Need};

mod dependencies;
mod finding;
mod imports;
mod links;
mod modules;
mod paths;
mod sources;
mod tokens;

/// The fuzz targets are one of their own.
const WORKSPACES: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];
/// Build products and other people's files.
const SKIPPED_FOLDERS: [&str; 2] = ["target", ".git"];

/// A file of the checkout, read.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// From the top of the checkout, with slashes.
    pub(crate) name: String,
    /// Its contents.
    pub(crate) text: String,
}

/// Runs all steps.
pub(crate) fn run(checkout: &Checkout) -> Result<ExitCode> {
    setup::ensure(&[Need::Components, Need::Toolchain])?;
    let mut steps = vec![
        ("format", WORKSPACES.iter().all(|manifest| passes(&mut format(checkout, manifest)))),
        ("lints", passes(&mut clippy(checkout))),
    ];
    let rust = files(checkout, "rs")?;
    let markdown = files(checkout, "md")?;
    steps.push(("imports", none(&imports::check(&rust))));
    steps.push(("sources", none(&sources::check(&rust))));
    steps.push(("dependencies", none(&dependencies::check(checkout)?)));
    steps.push(("links", none(&links::check(checkout.root(), &markdown))));
    steps.push(("documentation", passes(&mut documentation(checkout))));
    println!();
    for (name, good) in &steps {
        println!("{name:14} {}", if *good { "ok" } else { "FAILED" });
    }
    Ok(if steps.iter().all(|(_, good)| *good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn format(checkout: &Checkout, manifest: &str) -> Command {
    let mut command = checkout.cargo();
    command.args(["fmt", "--all", "--check", "--manifest-path", manifest]);
    command
}

fn clippy(checkout: &Checkout) -> Command {
    let mut command = checkout.cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]);
    command
}

fn documentation(checkout: &Checkout) -> Command {
    let mut command = checkout.cargo();
    command.env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ]);
    command
}

fn passes(command: &mut Command) -> bool {
    match process::run(command) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            false
        }
    }
}

fn none(findings: &[Finding]) -> bool {
    findings.iter().for_each(|finding| println!("{finding}"));
    findings.is_empty()
}

/// All files of the checkout with this extension, in the order of their names.
fn files(checkout: &Checkout, extension: &str) -> Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    walk(checkout.root(), extension, &mut paths)?;
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path.strip_prefix(checkout.root()).unwrap_or(&path).to_string_lossy().into_owned();
        Ok(SourceFile { name, text })
    };
    paths.into_iter().map(read).collect()
}

fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let path = entry.path();
        if entry.file_type().with_context(|| format!("read {}", path.display()))?.is_dir() {
            if !SKIPPED_FOLDERS.iter().any(|skipped| entry.file_name() == *skipped) {
                walk(&path, extension, found)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(())
}
