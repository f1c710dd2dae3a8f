//! `cargo xtask bench report`: how long a report takes, beside what others take for less.
//!
//! In: how many failures. Out: three times, how they compare, and whether they are within the limits. All three read the
//! same storm in the same run, on this host; of each the least of some rounds counts, in turn, as other load only adds.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::checkout::Checkout;
use crate::process::{capture_stdout, quoted};
use crate::setup::{self, Need};
use crate::{dist, packages};

/// The most that a report may take, as a multiple of decompressing and counting lines.
const OVER_ZSTD: f64 = 4.0;
/// The most that a failure may take in the file, with its detail.
const BYTES_A_FAILURE: u64 = 64;
const ROUNDS: u32 = 3;
/// jq reads this part of the failures, and its time is scaled up: it takes minutes for all.
const JQ_PART: u64 = 10;
/// For a stage of the tests.
const FEW: u64 = 1_000_000;
const JQ_PROGRAM: &str =
    r#"reduce (inputs | select(.type == "failure")) as $f ({}; .[$f.process.pid | tostring] += 1) | add"#;

/// How many failures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Failures in the capture that is read
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    failures: u64,
}

/// What was measured.
#[derive(Debug)]
struct Times {
    failures: u64,
    file_bytes: u64,
    lines: u64,
    zstd: Duration,
    report: Duration,
    /// For all, scaled up.
    jq: Duration,
}

impl Times {
    fn over_zstd(&self) -> f64 {
        self.report.as_secs_f64() / self.zstd.as_secs_f64()
    }

    fn bytes_a_failure(&self) -> f64 {
        self.file_bytes as f64 / self.failures as f64
    }

    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.over_zstd() > OVER_ZSTD {
            broken.push(format!(
                "a report takes {:.1} times as long as zstd, the limit is {OVER_ZSTD}",
                self.over_zstd()
            ));
        }
        if self.report > self.jq {
            broken.push("a report takes longer than jq does for the count by process alone".to_owned());
        }
        if self.file_bytes > BYTES_A_FAILURE * self.failures {
            broken.push(format!(
                "a failure takes {:.2} bytes of the file, the limit is {BYTES_A_FAILURE}",
                self.bytes_a_failure()
            ));
        }
        broken
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failures, file_bytes, lines, zstd, report, jq } = self;
        let each = self.bytes_a_failure();
        writeln!(
            f,
            "{failures} failures with detail: {lines} lines in {file_bytes} bytes, {each:.1} a failure, \
             at most {BYTES_A_FAILURE}"
        )?;
        let mut row = |name: &str, time: &Duration, note: &str| {
            let times = time.as_secs_f64() / zstd.as_secs_f64();
            writeln!(f, "{name:34} {:7.2} s  {times:6.2} times zstd{note}", time.as_secs_f64())
        };
        row("zstd -dc FILE | wc -l", zstd, "")?;
        row("portwatch report FILE", report, &format!(", at most {OVER_ZSTD}"))?;
        let scaled = format!(", measured over {} failures and multiplied by {JQ_PART}", failures / JQ_PART);
        row("zstdcat FILE | jq, by process only", jq, &scaled)
    }
}

/// Measures, and prints what came of it.
pub(super) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    let program = dist::build(checkout)?;
    let (good, said) = measured(checkout, &program, args.failures)?;
    print!("{said}");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same with fewer failures, as a test prints it.
pub(crate) fn check(checkout: &Checkout, program: &Path) -> Result<(bool, String)> {
    let (good, mut said) = measured(checkout, program, FEW)?;
    said += if good {
        "test result: ok. 1 passed; 0 failed\n"
    } else {
        "test result: FAILED. 0 passed; 1 failed\n"
    };
    print!("{said}");
    Ok((good, said))
}

fn measured(checkout: &Checkout, program: &Path, failures: u64) -> Result<(bool, String)> {
    if failures < JQ_PART {
        bail!("too few failures to measure anything: {failures}");
    }
    setup::ensure(&[Need::Reading])?;
    let make = packages::example(checkout, "make_capture").context("build what makes captures")?;
    // Beside the build: it may have gigabytes less in memory than on disk.
    let folder = tempfile::tempdir_in(checkout.target()).context("make a folder for captures")?;
    let capture = |failures: u64| -> Result<PathBuf> {
        let path = folder.path().join(format!("{failures}.jsonl.zst"));
        capture_stdout(Command::new(&make).arg(failures.to_string()).arg(&path)).context("make a capture")?;
        Ok(path)
    };
    eprintln!("xtask: making a capture of {failures} failures");
    let (all, part) = (capture(failures)?, capture(failures / JQ_PART)?);
    let times = times(program, failures, &all, &part)?;
    let broken = times.broken();
    let over: String = broken.iter().map(|limit| format!("over the limit: {limit}\n")).collect();
    Ok((broken.is_empty(), format!("{times}{over}")))
}

fn times(program: &Path, failures: u64, all: &Path, part: &Path) -> Result<Times> {
    let (file, program) = (quoted(&all.to_string_lossy()), quoted(&program.to_string_lossy()));
    let jq = format!("zstdcat {} | jq -n {}", quoted(&part.to_string_lossy()), quoted(JQ_PROGRAM));
    let (mut zstd, mut report, mut lines) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let (time, said) = timed(&format!("zstd -dc {file} | wc -l"))?;
        (zstd, lines) = (zstd.min(time), said.trim().parse().context("wc prints a number")?);
        let (time, said) = timed(&format!("{program} report {file}"))?;
        report = report.min(time);
        ensure!(!said.is_empty(), "the report is empty");
    }
    eprintln!("xtask: reading {} failures with jq", failures / JQ_PART);
    let (time, said) = timed(&jq)?;
    ensure!(
        said.trim() == (failures / JQ_PART).to_string(),
        "jq counted {} of {}",
        said.trim(),
        failures / JQ_PART
    );
    let jq = time * u32::try_from(JQ_PART)?;
    let file_bytes = fs::metadata(all).with_context(|| format!("read {}", all.display()))?.len();
    Ok(Times { failures, file_bytes, lines, zstd, report, jq })
}

/// How long a line of shell takes, and what it prints.
fn timed(line: &str) -> Result<(Duration, String)> {
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", line]).stdin(Stdio::null());
    let since = Instant::now();
    let said = capture_stdout(&mut command)?;
    Ok((since.elapsed(), said))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Times;

    fn times(zstd: u64, report: u64, jq: u64) -> Times {
        let [zstd, report, jq] = [zstd, report, jq].map(Duration::from_millis);
        Times { failures: 1000, file_bytes: 9000, lines: 1010, zstd, report, jq }
    }

    #[test]
    fn each_limit_can_be_broken() {
        let cases = [
            ("as it should be", times(1000, 4000, 90_000), 0),
            ("slower than zstd allows", times(1000, 4100, 90_000), 1),
            ("slower than jq", times(3000, 9000, 8000), 1),
            ("both", times(1000, 9000, 8000), 2),
            ("64 bytes a failure", Times { file_bytes: 64_000, ..times(1000, 4000, 90_000) }, 0),
            ("a byte more in all", Times { file_bytes: 64_001, ..times(1000, 4000, 90_000) }, 1),
        ];
        for (what, times, expected) in cases {
            assert_eq!(times.broken().len(), expected, "{what}: {times}");
        }
    }

    #[test]
    fn what_is_scaled_up_is_said_to_be() {
        let shown = times(1000, 2000, 90_000).to_string();
        assert!(shown.contains("measured over 100 failures and multiplied by 10"), "{shown}");
        assert!(shown.contains("1010 lines in 9000 bytes, 9.0 a failure, at most 64"), "{shown}");
    }
}
