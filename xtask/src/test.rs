//! `cargo xtask test`: all tests.
//!
//! In: kernel series and a filter. Out: the tests' own output, one line per stage, and as the last line
//! `N passed, M failed`. All stages run before the command fails.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::bless::RESULTS;
use crate::checkout::Checkout;
use crate::guest::overlay::Overlay;
use crate::guest::{self, Clock, DidNotBoot, Job, Terminal};
use crate::kernels::{Kernel, Kernels, SOCK_DIAG, Series};
use crate::process::{quoted, tee};
use crate::setup::{self, Need};
use crate::tally::{Tally, reasons};
use crate::{bench, dist, packages};

/// The long-term kernels that are packaged and new enough for the programs, and the newest.
const ALL_KERNELS: [Series; 5] = [
    Series::Numbered(5, 10),
    Series::Numbered(6, 1),
    Series::Numbered(6, 12),
    Series::Numbered(6, 18),
    Series::Newest,
];
const GUEST_LIMIT: Duration = Duration::from_secs(40 * 60);
/// The exit code of a wrong command line, as clap has it.
const USAGE: u8 = 2;
/// Begins the line in which a guest names its kernel.
const RELEASE: &str = "kernel release: ";

/// Tests that run in a guest.
struct Tests {
    /// Of the target.
    name: &'static str,
    /// How time passes meanwhile.
    clock: Clock,
    /// Begins the line that names the kernel.
    title: &'static str,
}

const EACH: Tests = Tests { name: "guest", clock: Clock::Wall, title: RELEASE };
/// In one kernel, as what they are about happens in user space.
const LONG: Tests = Tests { name: "long", clock: Clock::Instructions, title: "long runs, in kernel " };

/// Which tests, where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernel series to test in, such as 6.1 or 6.12, `newest`, or `all`; several with commas
    #[arg(long, value_name = "SERIES", value_delimiter = ',', default_values = ["5.10", "newest"])]
    kernel: Vec<Choice>,
    /// Write what came of it into docs/kernels.md, between its two markers; only of `--kernel all`, every test, and if
    /// all is well
    #[arg(long, conflicts_with = "filter")]
    bless: bool,
    /// Only tests whose name contains this; leaves out the cost limits
    filter: Option<String>,
}

#[derive(Debug, Clone)]
enum Choice {
    One(Series),
    All,
}

impl FromStr for Choice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "all" { Ok(Self::All) } else { text.parse().map(Self::One) }
    }
}

/// What a stage of the tests came to.
enum Verdict {
    Ok,
    Failed,
    DidNotBoot,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::DidNotBoot => "did not boot",
        })
    }
}

/// The stages that have run.
#[derive(Default)]
struct Report {
    stages: Vec<(String, Verdict)>,
    tally: Tally,
    /// A row for each kernel.
    rows: Vec<String>,
}

impl Report {
    /// Takes in what the stage `name` came to: what it printed, and whether its exit code was good.
    fn add(&mut self, name: String, result: Result<(bool, String)>) {
        let verdict = match result {
            Ok((good, output)) => {
                let tally = Tally::read(&output);
                self.tally += tally;
                self.rows.extend(row(&output, tally));
                if good { Verdict::Ok } else { Verdict::Failed }
            }
            Err(error) => {
                eprintln!("xtask: {name}: {error:#}");
                if error.is::<DidNotBoot>() { Verdict::DidNotBoot } else { Verdict::Failed }
            }
        };
        self.stages.push((name, verdict));
    }

    /// Whether every stage ran, and ended well.
    fn is_good(&self) -> bool {
        self.stages.iter().all(|(_, verdict)| matches!(verdict, Verdict::Ok))
    }

    fn print(&self) -> ExitCode {
        let width = self.stages.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        println!();
        for (name, verdict) in &self.stages {
            println!("{name:width$}  {verdict}");
        }
        println!("{}", self.tally);
        if self.stages.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed)) {
            ExitCode::FAILURE
        } else if self.stages.iter().any(|(_, verdict)| matches!(verdict, Verdict::DidNotBoot)) {
            DidNotBoot::exit_code()
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// What a guest's tests came to, as a row of a table; none for what did not run in a guest.
fn row(output: &str, tally: Tally) -> Option<String> {
    let release = output.lines().find_map(|line| line.trim().strip_prefix(RELEASE))?;
    let reasons = reasons(output).join("; ");
    Some(format!("| {release} | {tally} | {reasons} |"))
}

/// The programs that tests run in the guest.
struct Programs {
    portwatch: PathBuf,
    loadgen: PathBuf,
    churn: PathBuf,
    census_cost: PathBuf,
}

/// Runs all stages.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    // Before the long part.
    if args.bless && !is_every_kernel(&chosen(&args.kernel)) {
        eprintln!("xtask: --bless writes of every kernel or of none\nhint: add --kernel all");
        return Ok(ExitCode::from(USAGE));
    }
    let path = checkout.path("docs/kernels.md");
    let document = args.bless.then(|| RESULTS.read(&path)).transpose()?;
    setup::ensure(&[Need::Toolchain, Need::Qemu])?;
    let programs = Programs {
        portwatch: dist::build(checkout)?,
        loadgen: packages::test_program(checkout, "loadgen").context("build loadgen")?,
        churn: packages::test_program(checkout, "churn").context("build churn")?,
        census_cost: packages::example(checkout, "census_cost").context("build census_cost")?,
    };
    let mut report = Report::default();
    let filter = args.filter.as_deref();
    report.add("host".to_owned(), on_host(checkout, filter));
    let mut kernels = Kernels::default();
    for series in chosen(&args.kernel) {
        let result = kernels.fetch(&series).and_then(|kernel| {
            let modules = kernels.modules(&kernel, &SOCK_DIAG)?;
            in_guest(checkout, &kernel, &modules, &programs, &EACH, filter)
        });
        report.add(format!("linux {series}"), result);
    }
    let result = kernels.fetch(&bench::KERNEL).and_then(|kernel| {
        let modules = kernels.modules(&kernel, &SOCK_DIAG)?;
        in_guest(checkout, &kernel, &modules, &programs, &LONG, filter)
    });
    report.add("long runs".to_owned(), result);
    if filter.is_none() {
        let good = kernels.fetch(&bench::KERNEL).and_then(|kernel| bench::check(checkout, &kernel));
        report.add("cost limits".to_owned(), good.map(|good| (good, String::new())));
    }
    if let Some(document) = document.filter(|_| report.is_good()) {
        let heading = "| kernel (Debian) | tests | skipped, because |\n|---|---|---|";
        let text = RESULTS.filled(&document, &format!("{heading}\n{}", report.rows.join("\n")))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    } else if args.bless {
        eprintln!("xtask: {} is as it was: not all is well", path.display());
    }
    Ok(report.print())
}

fn chosen(choices: &[Choice]) -> Vec<Series> {
    let series = |choice: &Choice| match choice {
        Choice::One(series) => vec![series.clone()],
        Choice::All => ALL_KERNELS.to_vec(),
    };
    choices.iter().flat_map(series).collect()
}

fn is_every_kernel(chosen: &[Series]) -> bool {
    ALL_KERNELS.iter().all(|series| chosen.contains(series))
}

fn on_host(checkout: &Checkout, filter: Option<&str>) -> Result<(bool, String)> {
    eprintln!("xtask: testing on this host");
    let mut command = checkout.cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(filter).args(["--", "--show-output"]);
    let (status, output) = tee(&mut command)?;
    Ok((status.success(), output))
}

fn in_guest(
    checkout: &Checkout,
    kernel: &Kernel,
    modules: &[PathBuf],
    programs: &Programs,
    tests: &Tests,
    filter: Option<&str>,
) -> Result<(bool, String)> {
    let Tests { name, clock, title } = *tests;
    let tests = packages::guest_tests(checkout, name).context("build the tests for the guest")?;
    let mut files = Overlay::default();
    files.program("usr/bin/portwatch", &programs.portwatch, "PORTWATCH_BIN")?;
    files.program("usr/bin/loadgen", &programs.loadgen, "LOADGEN_BIN")?;
    files.program("usr/bin/churn", &programs.churn, "CHURN_BIN")?;
    files.program("usr/bin/census_cost", &programs.census_cost, "CENSUS_COST_BIN")?;
    files.program("guest-tests", &tests, "GUEST_TESTS")?;
    let load = files.modules(modules)?;
    let filter_word = filter.map(quoted).unwrap_or_default();
    let script = format!(
        "{load}echo \"{title}$(uname -r)\"\nexec /guest-tests --test-threads=1 --show-output {filter_word}\n"
    );
    let job =
        Job { name: name.to_owned(), files, script, terminal: Terminal::Log, clock, limit: GUEST_LIMIT };
    let outcome = guest::run(checkout, kernel, job)?;
    if outcome.status == 0 && Tally::read(&outcome.output) == Tally::default() && filter.is_none() {
        bail!("the tests in the guest ended well without having run");
    }
    Ok((outcome.status == 0, outcome.output))
}

#[cfg(test)]
mod tests {
    use super::{Choice, Report, Verdict, chosen, is_every_kernel};

    #[test]
    fn every_kernel_is_all_or_each_by_its_name() {
        let cases = [
            ("all", true),
            ("newest,6.18,6.12,6.1,5.10", true),
            ("all,6.1", true),
            ("5.10,newest", false),
            ("5.10,6.12,6.18,newest", false),
        ];
        for (words, expected) in cases {
            let choices: Vec<Choice> = words.split(',').map(|word| word.parse().unwrap()).collect();
            assert_eq!(is_every_kernel(&chosen(&choices)), expected, "{words}");
        }
    }

    #[test]
    fn a_stage_that_failed_or_did_not_boot_spoils_the_report() {
        for (verdict, expected) in
            [(Verdict::Ok, true), (Verdict::Failed, false), (Verdict::DidNotBoot, false)]
        {
            let what = verdict.to_string();
            let stages = vec![("host".to_owned(), Verdict::Ok), ("linux".to_owned(), verdict)];
            let report = Report { stages, ..Report::default() };
            assert_eq!(report.is_good(), expected, "{what}");
        }
    }
}
