//! `cargo xtask bench`: what portwatch costs a connect().
//!
//! In: a kernel series. Out: what the measuring program printed in a guest whose clock counts instructions, and
//! its exit code. Must not know: what is measured, and the limits.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ebpf_build::Object;

use crate::checkout::Checkout;
use crate::guest::overlay::Overlay;
use crate::guest::{self, Clock, Job, Terminal};
use crate::kernels::{Kernel, Kernels, Series};
use crate::process::quoted;
use crate::setup::{self, Need};
use crate::{dist, packages};

/// What the limits were set for.
pub(crate) const KERNEL: Series = Series::Numbered(6, 1);
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What to measure in.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernel series to measure in, such as 6.1 or 6.12, or `newest`
    #[arg(long, value_name = "SERIES", default_value_t = KERNEL)]
    kernel: Series,
    /// Fail when a cost is above its limit
    #[arg(long)]
    check: bool,
}

/// Measures.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    let options = if args.check { vec!["--check".to_owned()] } else { Vec::new() };
    setup::ensure(&[Need::Toolchain, Need::Qemu])?;
    let kernel = Kernels::default().fetch(&args.kernel)?;
    Ok(ExitCode::from(in_guest(checkout, &kernel, &options)?))
}

/// Runs the measuring program with `options` and returns its exit status.
pub(crate) fn in_guest(checkout: &Checkout, kernel: &Kernel, options: &[String]) -> Result<u8> {
    let empty = ebpf_build::build(checkout.root(), Object::Empty)?;
    let mut files = Overlay::default();
    files.program("usr/bin/portwatch", &dist::build(checkout)?, "PORTWATCH_BIN")?;
    files.program("empty-hooks.o", &empty, "EMPTY_OBJECT")?;
    let bench = packages::test_program(checkout, "bench").context("build the measuring program")?;
    files.program("guest-bench", &bench, "GUEST_BENCH")?;
    let options: Vec<_> = options.iter().map(|option| quoted(option)).collect();
    let script = format!("exec /guest-bench {}\n", options.join(" "));
    let name = "bench".to_owned();
    let job = Job { name, files, script, terminal: Terminal::Log, clock: Clock::Instructions, limit: LIMIT };
    Ok(guest::run(checkout, kernel, job)?.status)
}
