//! `cargo xtask fuzz`: bytes that nobody would write, for those who must read them.
//!
//! In: a target and how long. Out: one line for each target: how many inputs, and whether one was a finding. What led to a
//! finding is kept below `target/fuzz/`, and so is what reached new code, for the next run. Why so:
//! docs/decisions/0007-fuzzing.md.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use ebpf_build::Object;

use crate::checkout::Checkout;
use crate::process;
use crate::setup::{self, Need};

/// What cargo-fuzz passes to a nightly rustc for libFuzzer, without a sanitizer. The stable one takes it as well.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table";
/// With a target build scripts are built without [`FLAGS`].
const TARGET: &str = "x86_64-unknown-linux-gnu";
const MANIFEST: &str = "fuzz/Cargo.toml";
/// Longer inputs only repeat what shorter ones say.
const LONGEST_INPUT: u32 = 4096;
/// An input that takes so long is a finding.
const SLOW_S: u32 = 5;
/// Of the whole process; what one input may take the targets bound themselves.
const MEMORY_MIB: u32 = 512;
/// For a stage of the tests.
const SHORT_RUNS: u64 = 200_000;
/// The same inputs at each test of the same code.
const SHORT_SEED: u32 = 1;

/// What to fuzz, and how long: until it is interrupted, if nothing is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Both, one after the other, if none is named; then --runs or --seconds is needed
    #[arg(value_enum)]
    target: Option<FuzzTarget>,
    /// End after so many inputs
    #[arg(long, value_name = "N", required_unless_present_any = ["target", "seconds"])]
    runs: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
}

/// What is fuzzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FuzzTarget {
    /// What reads capture files, up to the report
    Reader,
    /// What reads the kernel side's records
    Decoder,
}

const ALL: [FuzzTarget; 2] = [FuzzTarget::Decoder, FuzzTarget::Reader];

impl fmt::Display for FuzzTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Decoder => "decoder",
        })
    }
}

/// Fuzzes, and tells what came of it.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    let bench = Bench::build(checkout)?;
    for target in args.target.map_or(ALL.to_vec(), |target| vec![target]) {
        let mut command = bench.command(target, &bench.folder("corpus", target)?)?;
        command.args(args.runs.map(|runs| format!("-runs={runs}")));
        command.args(args.seconds.map(|seconds| format!("-max_total_time={seconds}")));
        let status = command.status().with_context(|| format!("run the target {target}"))?;
        if !status.success() {
            bail!(bench.finding(target));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A short run of both, always with the same inputs, and one line for each, as of a test.
pub(crate) fn check(checkout: &Checkout) -> Result<(bool, String)> {
    let bench = Bench::build(checkout)?;
    let (mut said, mut passed) = (String::new(), 0);
    for target in ALL {
        eprintln!("xtask: fuzzing the {target}");
        let fresh = tempfile::tempdir().context("make a folder for what reaches new code")?;
        let mut command = bench.command(target, fresh.path())?;
        command.args([format!("-runs={SHORT_RUNS}"), format!("-seed={SHORT_SEED}")]);
        let output = command.output().with_context(|| format!("run the target {target}"))?;
        let log = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            passed += 1;
            let rate = statistic(&log, "average_exec_per_sec").context("libFuzzer told no rate")?;
            said += &format!("{target}: {SHORT_RUNS} inputs, {rate} a second, no finding\n");
        } else {
            said += &format!("{log}\n{}\n", bench.finding(target));
        }
    }
    let failed = ALL.len() - passed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    said += &format!("test result: {verdict}. {passed} passed; {failed} failed\n");
    print!("{said}");
    Ok((failed == 0, said))
}

/// Where it is done: the built targets, and folders for what goes in and comes out.
struct Bench {
    root: PathBuf,
    seeds: PathBuf,
}

impl Bench {
    fn build(checkout: &Checkout) -> Result<Self> {
        setup::ensure(&[Need::Toolchain, Need::Fuzzing])?;
        let root = checkout.target().join("fuzz");
        eprintln!("xtask: building the fuzz targets");
        let object = ebpf_build::build(checkout.root(), Object::Hooks)?;
        let mut build = checkout.cargo();
        build.env("RUSTFLAGS", FLAGS).env("PORTWATCH_BPF_OBJECT", object).env("CARGO_TARGET_DIR", &root);
        build.args([
            "build",
            "--locked",
            "--release",
            "--bins",
            "--target",
            TARGET,
            "--manifest-path",
            MANIFEST,
        ]);
        process::run(&mut build)?;
        let seeds = root.join("seeds");
        // Those that an older build has made.
        if seeds.exists() {
            fs::remove_dir_all(&seeds).with_context(|| format!("remove {}", seeds.display()))?;
        }
        let mut corpus = checkout.cargo();
        corpus.args(["run", "--quiet", "--package", "portwatch", "--example", "corpus", "--"]).arg(&seeds);
        process::run(&mut corpus).context("make the first inputs")?;
        Ok(Self { root, seeds })
    }

    /// libFuzzer on a target; `corpus` is where it puts what reaches new code, and begins from.
    fn command(&self, target: FuzzTarget, corpus: &Path) -> Result<Command> {
        let findings = self.folder("findings", target)?;
        let mut command = Command::new(self.root.join(TARGET).join("release").join(target.to_string()));
        command.arg(corpus).arg(self.seeds.join(target.to_string()));
        command.args([
            format!("-artifact_prefix={}/", findings.display()),
            format!("-max_len={LONGEST_INPUT}"),
            format!("-timeout={SLOW_S}"),
            format!("-rss_limit_mb={MEMORY_MIB}"),
            "-print_final_stats=1".to_owned(),
        ]);
        Ok(command)
    }

    fn folder(&self, of: &str, target: FuzzTarget) -> Result<PathBuf> {
        let folder = self.root.join(of).join(target.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }

    fn finding(&self, target: FuzzTarget) -> String {
        let findings = self.root.join("findings").join(target.to_string());
        let program = self.root.join(TARGET).join("release").join(target.to_string());
        format!(
            "the {target} has a finding, in {}\nhint: `{} FILE` runs it again",
            findings.display(),
            program.display()
        )
    }
}

/// A number that libFuzzer tells at its end.
fn statistic(log: &str, name: &str) -> Option<u64> {
    let line = log.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
    line.trim_start_matches(':').trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::statistic;

    #[test]
    fn statistics_are_found_by_their_whole_name() {
        let log = "#2 INITED\nDone 200000 runs in 4 second(s)\nstat::number_of_executed_units: 200000\n\
                   stat::average_exec_per_sec:     50000\n";
        assert_eq!(statistic(log, "average_exec_per_sec"), Some(50_000));
        assert_eq!(statistic(log, "average"), None);
        assert_eq!(statistic("", "average_exec_per_sec"), None);
    }
}
