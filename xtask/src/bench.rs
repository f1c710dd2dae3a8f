//! `cargo xtask bench`: what portwatch costs, beside what others cost.
//!
//! In: a kernel series. Out: a table on stdout, progress on stderr; in docs/ the table and the figures that later
//! ones are held against. Must not know: how a figure is measured.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ebpf_build::Object;

use self::figures::Figures;
use crate::bless::FIGURES;
use crate::checkout::Checkout;
use crate::guest::overlay::Overlay;
use crate::guest::programs;
use crate::guest::{self, Clock, Job, Terminal};
use crate::kernels::{Kernel, Kernels, Series};
use crate::setup::{self, Need};
use crate::{dist, packages};

mod compare;
mod figures;
mod goals;
pub(crate) mod report;
mod table;

/// What the limits were set for, and the committed figures were measured in.
pub(crate) const KERNEL: Series = Series::Numbered(6, 1);
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// Packages of other people's programs to compare with.
const PEERS: [&str; 3] = ["bpftrace", "libbpf-tools", "strace"];
const COMMITTED: &str = "docs/benchmarks.json";
const DOCUMENT: &str = "docs/benchmarks.md";
/// The measuring program holds a thousand ports from both ends.
const SCRIPT: &str = "ulimit -n 8192\nexec /guest-bench";

/// What to measure in, and what for.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Kernel series to measure in, such as 6.1 or 6.12, or `newest`
    #[arg(long, value_name = "SERIES", default_value_t = KERNEL)]
    kernel: Series,
    /// Only portwatch and the empty programs it is compared with
    #[arg(long)]
    quick: bool,
    /// Fail when a figure is more than 5 % worse than the committed one, or a goal is no longer reached
    #[arg(long)]
    check: bool,
    /// Commit to these figures: write docs/benchmarks.md and docs/benchmarks.json
    #[arg(long, conflicts_with_all = ["quick", "check"])]
    bless: bool,
}

/// What else can be measured, on this host.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// How long a report takes, beside zstd and jq. Some minutes once built
    ///
    /// Fails when a report takes more than four times as long as `zstd -dc FILE | wc -l`, or longer than jq for the
    /// count by process alone.
    Report(report::Args),
}

/// Measures, and prints the table.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    if let Some(Other::Report(args)) = &args.other {
        return report::run(checkout, args);
    }
    if (args.check || args.bless) && args.kernel != KERNEL {
        bail!("figures are committed for linux {KERNEL} only\nhint: leave out --kernel");
    }
    // Before the long part.
    let document = checkout.path(DOCUMENT);
    let old_text = if args.bless { Some(FIGURES.read(&document)?) } else { None };
    let committed = if args.check { Some(committed(checkout)?) } else { None };
    setup::ensure(&[Need::Toolchain, Need::Qemu])?;
    let kernel = Kernels::default().fetch(&args.kernel)?;
    let figures = measure(checkout, &kernel, args.quick)?;
    let text = table::text(&figures);
    println!("{text}");
    if let Some(old_text) = old_text {
        if let Some(problem) = compare::unfit(&figures) {
            bail!("nothing is written: {problem}");
        }
        let write = |path: &std::path::Path, text: String| {
            fs::write(path, text).with_context(|| format!("write {}", path.display()))
        };
        write(&document, FIGURES.filled(&old_text, &text)?)?;
        write(&checkout.path(COMMITTED), figures.to_json()?)?;
    }
    let good = committed.is_none_or(|committed| compared(&figures, &committed).0);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures portwatch in `kernel`, and prints the table. Tells whether it costs no more than what is committed, and what does.
pub(crate) fn check(checkout: &Checkout, kernel: &Kernel) -> Result<(bool, String)> {
    let committed = committed(checkout)?;
    let figures = measure(checkout, kernel, true)?;
    println!("{}", table::text(&figures));
    Ok(compared(&figures, &committed))
}

/// Whether nothing is worse, and what is; it is printed.
fn compared(figures: &Figures, committed: &Figures) -> (bool, String) {
    let findings = compare::findings(figures, committed).join("\n");
    println!("{findings}");
    (findings.is_empty(), findings)
}

fn committed(checkout: &Checkout) -> Result<Figures> {
    let path = checkout.path(COMMITTED);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("read {}\nhint: `cargo xtask bench --bless` writes it", path.display()))?;
    Figures::committed(&text).with_context(|| format!("read {}", path.display()))
}

fn measure(checkout: &Checkout, kernel: &Kernel, quick: bool) -> Result<Figures> {
    let empty = ebpf_build::build(checkout.root(), Object::Empty)?;
    let mut files = Overlay::default();
    if !quick {
        files.archive(programs::archive("peers", &PEERS)?);
    }
    files.program("usr/bin/portwatch", &dist::build(checkout)?, "PORTWATCH_BIN")?;
    files.program("empty-hooks.o", &empty, "EMPTY_OBJECT")?;
    let bench = packages::test_program(checkout, "bench").context("build the measuring program")?;
    files.program("guest-bench", &bench, "GUEST_BENCH")?;
    let script = format!("{SCRIPT}{}\n", if quick { " --quick" } else { "" });
    let name = "bench".to_owned();
    let (terminal, clock) = (Terminal::Progress, Clock::Instructions);
    let outcome = guest::run(checkout, kernel, Job { name, files, script, terminal, clock, limit: LIMIT })?;
    if outcome.status != 0 {
        bail!("the measuring program failed with exit code {}", outcome.status);
    }
    Figures::printed(&outcome.output).context("read what the measuring program printed")
}
