//! `cargo xtask test`: all tests.
//!
//! In: kernel series and a filter. Out: the tests' own output, one line per stage, and as the last line
//! `N passed, M failed`. All stages run before the command fails.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::bless::RESULTS;
use crate::checkout::Checkout;
use crate::guest::overlay::Overlay;
use crate::guest::{self, Clock, DidNotBoot, Job, Terminal, programs};
use crate::kernels::{Kernel, Kernels, SOCK_DIAG, Series};
use crate::process::{quoted, tee};
use crate::setup::{self, Need, duckdb, prometheus};
use crate::tally::{Tally, reasons};
use crate::{bench, dist, fuzz, packages, reading, story};

/// The long-term kernels that are packaged and new enough for the programs, and the newest.
const ALL_KERNELS: [Series; 5] = [
    Series::Numbered(5, 10),
    Series::Numbered(6, 1),
    Series::Numbered(6, 12),
    Series::Numbered(6, 18),
    Series::Newest,
];
const GUEST_LIMIT: Duration = Duration::from_secs(40 * 60);
/// The stage that needs no guest.
const HOST: &str = "host";
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
    /// What is in this guest alone, of Debian's packages.
    packages: &'static [&'static str],
}

/// What the package is installed by, in the guest alone. It looks for the second on its way.
const INSTALLER: &[&str] = &["dpkg", "libc-bin"];

const EACH: Tests = Tests { name: "guest", clock: Clock::Wall, title: RELEASE, packages: INSTALLER };
/// Where systemd is the first process.
const MANAGED: Tests = Tests {
    name: "systemd",
    clock: Clock::Wall,
    title: "under systemd, in kernel ",
    packages: &["dpkg", "libc-bin", "systemd"],
};
/// In one kernel, as what they are about happens in user space.
const LONG: Tests =
    Tests { name: "long", clock: Clock::Instructions, title: "long runs, in kernel ", packages: &[] };

/// Which tests, where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernel series to test in, such as 6.1 or 6.12, `newest`, or `all`; several with commas; 6.12+preempt is booted as a
    /// preemptible kernel
    #[arg(long, value_name = "SERIES", value_delimiter = ',', default_values = ["5.10", "newest"])]
    kernel: Vec<Choice>,
    /// Write what came of it into docs/kernels.md, between its two markers: a row for each kernel for which all was well;
    /// rows of other series stay
    #[arg(long, conflicts_with = "filter")]
    bless: bool,
    /// Only tests whose name contains this; leaves out the cost limits and the fuzzing
    filter: Option<String>,
}

#[derive(Debug, Clone)]
enum Choice {
    One(Booted),
    All,
}

/// A kernel, and how it is booted.
#[derive(Debug, Clone)]
struct Booted {
    series: Series,
    /// What it is told, and how that is said.
    option: Option<&'static str>,
}

/// Behind a series: as a kernel that preempts tasks inside of it, as those of some distributions do.
const PREEMPTS: &str = "+preempt";
/// Linux 5.12 and newer, where they are built for the choice (`PREEMPT_DYNAMIC`).
const PREEMPT_FULL: &str = "preempt=full";

impl FromStr for Choice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Self::All);
        }
        let (series, option) = match text.strip_suffix(PREEMPTS) {
            Some(series) => (series, Some(PREEMPT_FULL)),
            None => (text, None),
        };
        Ok(Self::One(Booted { series: series.parse()?, option }))
    }
}

impl fmt::Display for Booted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux {}", self.series)?;
        self.option.map_or(Ok(()), |option| write!(f, ", {option}"))
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
    /// A row for each kernel for which all was well.
    rows: Vec<String>,
}

impl Report {
    /// Takes in what the stage `name` came to: what it printed, and whether its exit code was good.
    fn add(&mut self, name: String, result: Result<(bool, String)>) {
        let verdict = match result {
            Ok((good, output)) => {
                let tally = Tally::read(&output);
                self.tally += tally;
                self.rows.extend(row(&output, tally).filter(|_| good));
                if good { Verdict::Ok } else { Verdict::Failed }
            }
            Err(error) => {
                eprintln!("xtask: {name}: {error:#}");
                if error.is::<DidNotBoot>() { Verdict::DidNotBoot } else { Verdict::Failed }
            }
        };
        self.stages.push((name, verdict));
    }

    /// Whether the stage of this name ended well.
    fn is_good(&self, name: &str) -> bool {
        self.stages.iter().any(|(stage, verdict)| stage == name && matches!(verdict, Verdict::Ok))
    }

    /// Writes the rows so far into the document: what is tested after the kernels is about other things.
    fn write_rows(&self, path: &Path) -> Result<()> {
        // A kernel's row says that portwatch's own tests held where they need no kernel, too.
        let rows: &[String] = if self.is_good(HOST) { &self.rows } else { &[] };
        let document = RESULTS.read(path)?;
        let text = RESULTS.filled(&document, &merged(RESULTS.content(&document)?, rows))?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        eprintln!("xtask: {}: rows of {} kernels for which all was well", path.display(), rows.len());
        Ok(())
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
    package: PathBuf,
    loadgen: PathBuf,
    churn: PathBuf,
    census_cost: PathBuf,
    ring_floor: PathBuf,
    attempts: PathBuf,
}

/// Runs all stages.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    // Before the long part.
    let path = checkout.path("docs/kernels.md");
    if args.bless {
        RESULTS.read(&path)?;
    }
    setup::ensure(&[Need::Toolchain, Need::Qemu, Need::Reading, Need::Fuzzing])?;
    let programs = Programs {
        portwatch: dist::build(checkout)?,
        package: dist::package(checkout).context("make the package")?,
        loadgen: packages::test_program(checkout, "loadgen").context("build loadgen")?,
        churn: packages::test_program(checkout, "churn").context("build churn")?,
        census_cost: packages::example(checkout, "census_cost").context("build census_cost")?,
        ring_floor: packages::example(checkout, "ring_floor").context("build ring_floor")?,
        attempts: packages::example(checkout, "attempts").context("build attempts")?,
    };
    let mut report = Report::default();
    let filter = args.filter.as_deref();
    report.add(HOST.to_owned(), on_host(checkout, filter));
    let mut kernels = Kernels::default();
    let mut run = |booted: &Booted, tests: &Tests| {
        let kernel = Kernel { options: booted.option.unwrap_or_default(), ..kernels.fetch(&booted.series)? };
        let modules = kernels.modules(&kernel, &SOCK_DIAG)?;
        in_guest(checkout, &kernel, &modules, &programs, tests, filter)
    };
    for booted in chosen(&args.kernel) {
        let result = run(&booted, &EACH);
        let read = result.as_ref().ok().map(|(_, output)| story::check(&programs.portwatch, output));
        report.add(booted.to_string(), result);
        let nothing = || Err(anyhow!("the tests in the guest printed no capture"));
        match read.map(Result::transpose) {
            // The filter may have left it out, and a guest that failed has said enough.
            Some(None) if filter.is_some() => {}
            Some(read) => report.add(format!("{booted}, story on the host"), read.unwrap_or_else(nothing)),
            None => {}
        }
        report.add(format!("{booted}, under systemd"), run(&booted, &MANAGED));
        if args.bless {
            report.write_rows(&path)?;
        }
    }
    let usual = Booted { series: bench::KERNEL, option: None };
    report.add("long runs".to_owned(), run(&usual, &LONG));
    if filter.is_none() {
        report.add("fuzzing".to_owned(), fuzz::check(checkout));
        report.add("report speed".to_owned(), bench::report::check(checkout, &programs.portwatch));
        report.add("socket tables".to_owned(), reading::check(&programs.census_cost));
        let good = kernels.fetch(&bench::KERNEL).and_then(|kernel| bench::check(checkout, &kernel));
        report.add("cost limits".to_owned(), good.map(|good| (good, String::new())));
    }
    Ok(report.print())
}

fn chosen(choices: &[Choice]) -> Vec<Booted> {
    let booted = |choice: &Choice| match choice {
        Choice::One(booted) => vec![booted.clone()],
        Choice::All => ALL_KERNELS.map(|series| Booted { series, option: None }).to_vec(),
    };
    choices.iter().flat_map(booted).collect()
}

/// The table with these rows; those of other series stay.
fn merged(table: &str, rows: &[String]) -> String {
    let old = table.lines().map(str::to_owned);
    // Those that are booted in another way have rows of their own.
    let by_series: BTreeMap<(Vec<u32>, bool), String> = old
        .chain(rows.iter().cloned())
        .filter_map(|row| {
            let release = row.strip_prefix("| ")?.split(" |").next()?;
            let series: Option<Vec<u32>> =
                release.split('.').take(2).map(|number| number.parse().ok()).collect();
            Some(((series?, release.contains(',')), row))
        })
        .collect();
    let rows: Vec<String> = by_series.into_values().collect();
    format!("| kernel (Debian) | tests | skipped, because |\n|---|---|---|\n{}", rows.join("\n"))
}

fn on_host(checkout: &Checkout, filter: Option<&str>) -> Result<(bool, String)> {
    eprintln!("xtask: testing on this host");
    let mut command = checkout.cargo();
    command.env("DUCKDB_PYTHON", duckdb::python()).env("PROMTOOL", prometheus::promtool());
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
    let Tests { name, clock, title, packages } = *tests;
    let tests = packages::guest_tests(checkout, name).context("build the tests for the guest")?;
    let mut files = Overlay::default();
    files.program("usr/bin/portwatch", &programs.portwatch, "PORTWATCH_BIN")?;
    files.program("usr/bin/loadgen", &programs.loadgen, "LOADGEN_BIN")?;
    files.program("usr/bin/churn", &programs.churn, "CHURN_BIN")?;
    files.program("usr/bin/census_cost", &programs.census_cost, "CENSUS_COST_BIN")?;
    files.program("usr/bin/ring_floor", &programs.ring_floor, "RING_FLOOR_BIN")?;
    files.program("usr/bin/attempts", &programs.attempts, "ATTEMPTS_BIN")?;
    files.program("guest-tests", &tests, "GUEST_TESTS")?;
    files.program("portwatch.deb", &programs.package, "PORTWATCH_DEB")?;
    if !packages.is_empty() {
        files.archive(programs::archive(name, packages)?);
    }
    let load = files.modules(modules)?;
    if name == EACH.name {
        files.program("usr/bin/prometheus", &prometheus::server(), "PROMETHEUS_BIN")?;
    }
    let option = if kernel.options.is_empty() { String::new() } else { format!(", {}", kernel.options) };
    let filter_word = filter.map(quoted).unwrap_or_default();
    let script = format!(
        "{load}echo \"{title}$(uname -r){option}\"\nexec /guest-tests --test-threads=1 --show-output {filter_word}\n"
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
    use super::{Report, Verdict, merged};

    #[test]
    fn a_row_takes_the_place_of_that_of_its_series_and_no_other() {
        let old = "| kernel (Debian) | tests | skipped, because |\n|---|---|---|\n\
                   | 5.10.0-32-cloud-amd64 | 73 passed |  |\n| 6.12.107+deb13-cloud-amd64 | 77 passed |  |\n\
                   | 6.12.107+deb13-cloud-amd64, preempt=full | 76 passed |  |";
        let rows =
            ["| 6.1.0-50-cloud-amd64 | 98 passed |  |", "| 6.12.108+deb13-cloud-amd64 | 98 passed |  |"];
        let expected = "| kernel (Debian) | tests | skipped, because |\n|---|---|---|\n\
                        | 5.10.0-32-cloud-amd64 | 73 passed |  |\n| 6.1.0-50-cloud-amd64 | 98 passed |  |\n\
                        | 6.12.108+deb13-cloud-amd64 | 98 passed |  |\n\
                        | 6.12.107+deb13-cloud-amd64, preempt=full | 76 passed |  |";
        assert_eq!(merged(old, &rows.map(str::to_owned)), expected);
        assert_eq!(merged(expected, &[]), expected);
    }

    #[test]
    fn only_a_stage_that_ended_well_is_good() {
        for (verdict, expected) in
            [(Verdict::Ok, true), (Verdict::Failed, false), (Verdict::DidNotBoot, false)]
        {
            let what = verdict.to_string();
            let stages = vec![("host".to_owned(), Verdict::Ok), ("linux".to_owned(), verdict)];
            let report = Report { stages, ..Report::default() };
            assert_eq!((report.is_good("host"), report.is_good("linux")), (true, expected), "{what}");
            assert!(!report.is_good("windows"));
        }
    }
}
