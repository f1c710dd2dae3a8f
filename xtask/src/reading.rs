//! What reading the kernel's socket tables may cost: on this host, as the time is the kernel's waiting for memory, which no
//! guest that counts instructions has.
//!
//! In: the program `census_cost`. Out: whether its figures are within the limits. The least processor time of some rounds,
//! both ways in turn, hardly depends on what else runs here.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

use crate::process::capture_stdout;

/// The most that it may take, as a multiple of a loop that only receives the same. What takes more than linear time exceeds it
/// among many; that the kernel itself waits longer for each of many sockets, which no cache holds, is in both.
const OVERHEAD: f64 = 1.3;
const SKIPPED: &str = "skipped: measuring the reading of socket tables takes root\n";
const FEW: u32 = 20_000;
const MANY: u32 = 400_000;

/// What `census_cost` prints.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    sockets: u32,
    bare_ms: f64,
    census_ms: f64,
}

impl Cost {
    fn overhead(self) -> f64 {
        self.census_ms / self.bare_ms
    }

    fn ns_a_socket(self) -> f64 {
        self.census_ms * 1e6 / f64::from(self.sockets)
    }
}

impl FromStr for Cost {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let line = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
            let [ms, "ms", sockets, "sockets"] = words[..] else { bail!("no {name} in {text:?}") };
            Ok((ms.parse::<f64>()?, sockets.parse::<u32>()?))
        };
        let ((bare_ms, sockets), (census_ms, _)) = (line("bare loop")?, line("census")?);
        Ok(Self { sockets, bare_ms, census_ms })
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (overhead, ns) = (self.overhead(), self.ns_a_socket());
        write!(f, "{} sockets: {overhead:.2} times a bare loop, {ns:.0} ns a socket", self.sockets)
    }
}

/// Measures few sockets and many, and prints what came of it, as a test does. Tells whether it is within the limits, and what
/// was printed.
pub(crate) fn check(program: &Path) -> Result<(bool, String)> {
    let is_root = fs::metadata("/proc/self").context("read /proc/self")?.uid() == 0;
    let (good, mut said) = if is_root { measured(program)? } else { (true, SKIPPED.to_owned()) };
    said +=
        if good { "test result: ok. 1 passed; 0 failed" } else { "test result: FAILED. 0 passed; 1 failed" };
    println!("{said}");
    Ok((good, said))
}

fn measured(program: &Path) -> Result<(bool, String)> {
    let cost = |sockets: u32| -> Result<Cost> {
        let output = capture_stdout(Command::new(program).arg(sockets.to_string()));
        output.context("measure the reading of socket tables on this host")?.parse()
    };
    let [few, many] = [cost(FEW)?, cost(MANY)?];
    let broken = broken([few, many]);
    let over = broken.iter().map(|limit| format!("over the limit: {limit}\n"));
    Ok((broken.is_empty(), format!("{few}\n{many}\n{}", over.collect::<String>())))
}

fn broken(costs: [Cost; 2]) -> Vec<String> {
    let over = costs.into_iter().filter(|cost| cost.overhead() > OVERHEAD);
    over.map(|cost| format!("{cost}, where {OVERHEAD} times is the limit")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Cost, broken};

    fn cost(sockets: u32, bare_ms: f64, census_ms: f64) -> Cost {
        Cost { sockets, bare_ms, census_ms }
    }

    #[test]
    fn what_was_printed_is_understood() {
        let text =
            "bare loop     10.11 ms  20003 sockets\ncensus        11.63 ms  20003 sockets\nratio 1.15\n";
        assert_eq!(text.parse::<Cost>().unwrap(), cost(20_003, 10.11, 11.63));
        assert!("census 11.63 ms  20003 sockets".parse::<Cost>().is_err());
    }

    #[test]
    fn each_limit_can_be_broken() {
        let few = cost(1_000, 10.0, 12.0);
        let cases = [
            ("as it should be", few, cost(10_000, 100.0, 125.0), 0),
            ("dear where there are few", cost(1_000, 10.0, 14.0), cost(10_000, 100.0, 125.0), 1),
            ("dear where there are many", few, cost(10_000, 100.0, 131.0), 1),
            ("more than linear", few, cost(10_000, 100.0, 200.0), 1),
            ("a kernel that waits for memory where there are many", few, cost(10_000, 170.0, 198.0), 0),
            ("both", cost(1_000, 10.0, 14.0), cost(10_000, 140.0, 190.0), 2),
        ];
        for (what, few, many, expected) in cases {
            assert_eq!(broken([few, many]).len(), expected, "{what}");
        }
    }
}
