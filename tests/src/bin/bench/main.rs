//! What watching costs: instructions of a connect(), of the start, and memory, of portwatch and of others.
//!
//! Runs in a guest booted with `-icount shift=0`, where a nanosecond is an instruction and medians repeat. In: which
//! subjects. Out: a line of JSON for each row, on stdout; progress on stderr. Must not know: limits, earlier figures.
//!
//! Each subject is measured between two measurements of nothing, in turns. The very first of these is thrown away:
//! the first attachment of a boot shifts some paths once and for all.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde_json::json;

use self::bed::{Bed, Costs};
use self::row::Row;
use self::subject::{Subject, subjects};

mod bed;
mod beyond;
mod hooks;
mod loader;
mod row;
mod run;
mod shown;
mod subject;

/// Measurements of each subject.
const ROUNDS: usize = 3;
/// Written by whoever put the peers into the guest: a package and its version on each line.
const PEER_VERSIONS: &str = "/etc/portwatch/versions";

/// Measures the cost of watching.
#[derive(Parser)]
struct Args {
    /// Only portwatch and the empty programs it is compared with
    #[arg(long)]
    quick: bool,
    /// Attach the empty programs, say so, and wait for a signal: one of the subjects
    #[arg(long, hide = true)]
    bare_loader: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.bare_loader {
        return loader::run();
    }
    println!("{}", about(args.quick)?);
    let bed = Bed::new().context("make places to connect to")?;
    let subjects = subjects(args.quick);
    let mut nothing = Row::new("nothing");
    let mut rows: Vec<Row> = subjects.iter().map(|subject| Row::new(subject.name)).collect();
    // Thrown away.
    run::once(&Subject::EMPTY_PAIR, &bed)?;
    let mut before = bed.costs()?;
    for round in 1..=ROUNDS {
        for (subject, row) in subjects.iter().zip(&mut rows).filter(|(_, row)| !row.has_problem()) {
            let run = run::once(subject, &bed);
            hooks::wait_until_none()?;
            let after = bed.costs()?;
            let at = format!("bench: round {round} of {ROUNDS}: {}", subject.name);
            match run {
                Ok(run) => {
                    eprintln!("{at}:{}; nothing:{after}", run.costs);
                    row.add(&run, &between(&before, &after));
                }
                Err(problem) => {
                    eprintln!("{at}: {problem:#}");
                    row.fail(&problem);
                }
            }
            nothing.add_costs(&after);
            before = after;
        }
    }
    for row in std::iter::once(nothing).chain(rows) {
        println!("{}", row.into_json());
    }
    Ok(())
}

/// What the figures hold for.
fn about(quick: bool) -> Result<serde_json::Value> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
    let kernel = read("/proc/sys/kernel/osrelease")?.trim().to_owned();
    let peers = if quick { String::new() } else { read(PEER_VERSIONS)? };
    let threads = read("/proc/self/status")?;
    // With a second thread, each system call on a descriptor takes a reference to it: 39 instructions a connect.
    ensure!(threads.lines().any(|line| line == "Threads:\t1"), "the measuring program has threads");
    Ok(json!({ "kernel": kernel, "versions": peers.lines().collect::<Vec<_>>() }))
}

/// The cost of nothing at the time between two measurements of it.
fn between(before: &Costs, after: &Costs) -> Costs {
    let mean = |a: Option<u64>, b: Option<u64>| Some(u64::midpoint(a?, b?));
    Costs {
        refused: mean(before.refused, after.refused),
        accepted: mean(before.accepted, after.accepted),
        failing: mean(before.failing, after.failing),
        other_call: mean(before.other_call, after.other_call),
    }
}
