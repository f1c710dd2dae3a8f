//! `cargo xtask test`: all tests.
//!
//! In: kernel series and a filter. Out: the tests' own output, without what passing tests printed; then one line per stage,
//! why tests could not look, what failed and its last words, and as the last line `N passed, M failed, K skipped`. All that
//! tests printed is below `target/tests/`. All stages run before the command fails.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
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
use crate::libtest::{self, Brief, Tally};
use crate::process::{quoted, tee};
use crate::setup::{self, Need, duckdb, prometheus};
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

/// So many lines of what failed are told again at the end, each cut at so many characters: its panic stands there.
const LAST_LINES: usize = 20;
const LINE_CHARS: usize = 400;

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

/// A stage that has run.
struct Stage {
    name: String,
    verdict: Verdict,
    tally: Tally,
    /// Why tests could not look.
    skipped: Vec<String>,
    /// What failed, and its last words.
    problems: Vec<String>,
}

/// The stages that have run.
struct Report {
    /// Where all that they printed is kept.
    logs: PathBuf,
    stages: Vec<Stage>,
    /// A row for each kernel for which all was well.
    rows: Vec<String>,
}

impl Report {
    /// Of no stage yet. Logs of an earlier run are removed.
    fn new(logs: PathBuf) -> Result<Self> {
        if logs.exists() {
            fs::remove_dir_all(&logs).with_context(|| format!("remove {}", logs.display()))?;
        }
        fs::create_dir_all(&logs).with_context(|| format!("create {}", logs.display()))?;
        Ok(Self { logs, stages: Vec::new(), rows: Vec::new() })
    }

    /// Takes in what the stage `name` came to: what it printed, and whether its exit code was good.
    fn add(&mut self, name: String, result: Result<(bool, String)>) {
        let result = result.and_then(|(good, output)| self.keep(&name, &output).map(|()| (good, output)));
        let stage = match result {
            Ok((good, output)) => {
                let tally = Tally::read(&output);
                self.rows.extend(row(&output, tally).filter(|_| good));
                Stage {
                    verdict: if good { Verdict::Ok } else { Verdict::Failed },
                    tally,
                    skipped: libtest::reasons(&output).into_iter().map(str::to_owned).collect(),
                    problems: if good { Vec::new() } else { problems(&name, &output) },
                    name,
                }
            }
            Err(error) => {
                eprintln!("xtask: {name}: {error:#}");
                let verdict = if error.is::<DidNotBoot>() { Verdict::DidNotBoot } else { Verdict::Failed };
                let problems = vec![format!("{name}:\n{}", last_words(&format!("{error:#}")))];
                Stage { name, verdict, tally: Tally::default(), skipped: Vec::new(), problems }
            }
        };
        self.stages.push(stage);
    }

    fn keep(&self, stage: &str, output: &str) -> Result<()> {
        let path = self.logs.join(stage.replace([',', ' '], "-")).with_added_extension("log");
        fs::write(&path, output).with_context(|| format!("write {}", path.display()))
    }

    /// Whether the stage of this name ended well.
    fn is_good(&self, name: &str) -> bool {
        self.stages.iter().any(|stage| stage.name == name && matches!(stage.verdict, Verdict::Ok))
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

    fn exit_code(&self) -> ExitCode {
        if self.stages.iter().any(|stage| matches!(stage.verdict, Verdict::Failed)) {
            ExitCode::FAILURE
        } else if self.stages.iter().any(|stage| matches!(stage.verdict, Verdict::DidNotBoot)) {
            DidNotBoot::exit_code()
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.stages.iter().map(|stage| stage.name.len()).max().unwrap_or_default();
        let mut sum = Tally::default();
        for Stage { name, verdict, tally, skipped, .. } in &self.stages {
            sum += *tally;
            let verdict = verdict.to_string();
            let counts = if *tally == Tally::default() { String::new() } else { tally.to_string() };
            writeln!(f, "{}", format!("{name:width$}  {verdict:12}  {counts}").trim_end())?;
            skipped.iter().try_for_each(|reason| writeln!(f, "  skipped: {reason}"))?;
        }
        for problem in self.stages.iter().flat_map(|stage| &stage.problems) {
            writeln!(f, "\n{problem}")?;
        }
        write!(f, "\n{sum}")
    }
}

/// Each test that failed in this stage, and its last words.
fn problems(stage: &str, output: &str) -> Vec<String> {
    let failures = libtest::failures(output);
    if failures.is_empty() {
        // It has none of libtest's, was not built, or was ended.
        return vec![format!("{stage}:\n{}", last_words(output))];
    }
    failures
        .iter()
        .map(|failure| format!("{stage}: {}\n{}", failure.name, last_words(&failure.said)))
        .collect()
}

/// From where it panicked on, as a backtrace may follow; else the end.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    let end = lines.len().saturating_sub(LAST_LINES);
    let first = lines.iter().position(|line| line.contains("panicked at")).unwrap_or(end);
    let shown = lines.iter().skip(first).take(LAST_LINES).map(|line| {
        let cut = line.char_indices().nth(LINE_CHARS).and_then(|(end, _)| line.get(..end));
        cut.map_or_else(|| format!("  {line}"), |start| format!("  {start}…"))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// What a guest's tests came to, as a row of a table; none for what did not run in a guest.
fn row(output: &str, tally: Tally) -> Option<String> {
    let release = output.lines().find_map(|line| line.trim().strip_prefix(RELEASE))?;
    let reasons = libtest::reasons(output).join("; ");
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
    let filter = args.filter.as_deref();
    let mut report = Report::new(checkout.target().join("tests"))?;
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
        let cost = kernels.fetch(&bench::KERNEL).and_then(|kernel| bench::check(checkout, &kernel));
        report.add("cost limits".to_owned(), cost);
    }
    println!("\n{report}");
    Ok(report.exit_code())
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
    let (status, output) = tee(&mut command, Brief::new(io::stdout()))?;
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
        Job { name: name.to_owned(), files, script, terminal: Terminal::Tests, clock, limit: GUEST_LIMIT };
    let outcome = guest::run(checkout, kernel, job)?;
    if outcome.status == 0 && Tally::read(&outcome.output) == Tally::default() && filter.is_none() {
        bail!("the tests in the guest ended well without having run");
    }
    Ok((outcome.status == 0, outcome.output))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use tempfile::TempDir;

    use super::{Report, merged};

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

    fn report(folder: &TempDir) -> Report {
        let mut report = Report::new(folder.path().join("tests")).unwrap();
        let backtrace = "   0: frame\n".repeat(30);
        let failed = format!(
            "test a ... FAILED\n\nfailures:\n\n---- a stdout ----\nwords\nthread 'a' panicked at a.rs:1:1:\nno\n\
             {backtrace}\n\nfailures:\n    a\n\ntest result: FAILED. 3 passed; 1 failed\n"
        );
        let skipped = "skipped: no reason\ntest result: ok. 1 passed; 0 failed\n";
        report.add("host".to_owned(), Ok((true, skipped.to_owned())));
        report.add("linux 1, long".to_owned(), Ok((false, failed)));
        report.add("cost".to_owned(), Ok((false, format!("start was 1\n{}\n", "é".repeat(500)))));
        report.add("story".to_owned(), Err(anyhow!("the guest printed none").context("read it")));
        report
    }

    #[test]
    fn the_end_tells_each_stage_and_the_last_words_of_what_failed() {
        let folder = TempDir::new().unwrap();
        let shown = report(&folder).to_string();
        let expected = format!(
            "host           ok            0 passed, 0 failed, 1 skipped\n  skipped: no reason\n\
             linux 1, long  FAILED        3 passed, 1 failed, 0 skipped\ncost           FAILED\n\
             story          FAILED\n\nlinux 1, long: a\n  thread 'a' panicked at a.rs:1:1:\n  no\n{}\n\
             cost:\n  start was 1\n  {}…\n\nstory:\n  read it: the guest printed none\n\n\
             3 passed, 1 failed, 1 skipped",
            "     0: frame\n".repeat(18),
            "é".repeat(400)
        );
        assert_eq!(shown, expected);
        let kept = std::fs::read_to_string(folder.path().join("tests/linux-1--long.log")).unwrap();
        assert!(kept.contains("words\nthread"), "{kept}");
    }

    #[test]
    fn only_a_stage_that_ended_well_is_good() {
        let folder = TempDir::new().unwrap();
        let report = report(&folder);
        let names = ["host", "linux 1, long", "story", "windows"];
        assert_eq!(names.map(|name| report.is_good(name)), [true, false, false, false]);
    }
}
