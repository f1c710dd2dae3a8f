//! `cargo xtask run -- ARGS`: portwatch on this host, as root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::{dist, setup};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What portwatch is called with
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Builds portwatch and becomes it, through sudo when this is not root.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    let portwatch = dist::build(checkout)?;
    let mut command = if setup::is_root()? {
        Command::new(portwatch)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(portwatch);
        sudo
    };
    Err(command.args(&args.args).exec()).context("run portwatch")
}
