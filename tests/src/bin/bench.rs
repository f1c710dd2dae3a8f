//! What watching costs a connect() that succeeds, in guest instructions.
//!
//! Runs in a guest booted with `-icount shift=0`, where a nanosecond is an instruction and medians repeat. A refused
//! connect is measured: it passes the hooks' success path (the functions return 0) and its cost does not vary. The
//! floor is an empty program on each of the same two hooks.

use std::env;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use aya::programs::FExit;
use aya::{Btf, Ebpf};
use clap::Parser;
use portwatch_tests::portwatch::Watching;

/// Connects of one measurement; odd, so that the median is one of them.
const CONNECTS: usize = 1001;
/// Measurements of each state, in turns.
const ROUNDS: usize = 3;
/// How much more than the empty pair the programs may add.
const LIMIT: f64 = 1.25;

/// Measures the cost of watching.
#[derive(Parser)]
struct Args {
    /// Fail if the hooks add more than 1.25 times what an empty pair adds
    #[arg(long)]
    check: bool,
}

/// Medians of one state, one a round.
#[derive(Default)]
struct Rounds(Vec<u64>);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let (mut nothing, mut empty, mut watched) = (Rounds::default(), Rounds::default(), Rounds::default());
    // The first attachment of a boot shifts some paths once and for all: not part of any state.
    drop(attach_empty()?);
    for _ in 0..ROUNDS {
        nothing.measure()?;
        let hooks = attach_empty()?;
        empty.measure()?;
        drop(hooks);
        let watching = Watching::start(&["trace", "--json"])?;
        watched.measure()?;
        let session = watching.end()?;
        ensure!(session.end()["failures"] == 0, "the success path failed: {}", session.end());
    }
    let (nothing, empty, watched) = (nothing.median()?, empty.median()?, watched.median()?);
    let (floor, added) = (empty.saturating_sub(nothing), watched.saturating_sub(nothing));
    ensure!(added >= floor, "portwatch adds less than empty programs: it was not on the path");
    ensure!(floor > 0, "the empty pair costs nothing: is this guest booted with -icount?");
    #[expect(clippy::cast_precision_loss, reason = "some thousand instructions")]
    let ratio = added as f64 / floor as f64;
    println!("instructions of a refused connect(), median of {CONNECTS}, {ROUNDS} rounds in turn");
    println!("  nothing attached                {nothing:>8}");
    println!("  an empty pair of fexit programs {empty:>8}  +{floor}");
    println!(
        "  portwatch trace                 {watched:>8}  +{added}  ({ratio:.2} x the empty pair, limit {LIMIT})"
    );
    Ok(if args.check && ratio > LIMIT { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Rounds {
    fn measure(&mut self) -> Result<()> {
        let nobody: SocketAddr = "127.0.0.1:9".parse()?;
        let mut costs = Vec::with_capacity(CONNECTS);
        for _ in 0..CONNECTS {
            let since = Instant::now();
            let result = TcpStream::connect(nobody);
            costs.push(u64::try_from(since.elapsed().as_nanos())?);
            ensure!(result.is_err(), "somebody listens on {nobody}");
        }
        self.0.push(median(&mut costs)?);
        Ok(())
    }

    fn median(mut self) -> Result<u64> {
        median(&mut self.0)
    }
}

fn median(values: &mut [u64]) -> Result<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied().context("nothing was measured")
}

/// An empty program on each hook that an IPv4 connect passes; detached when dropped.
fn attach_empty() -> Result<Ebpf> {
    let path = env::var_os("EMPTY_OBJECT").context("EMPTY_OBJECT is not set: run `cargo xtask bench`")?;
    let btf = Btf::from_sys_fs()?;
    let mut object = Ebpf::load_file(&path).with_context(|| format!("load {}", path.display()))?;
    for (program, function) in
        [("empty_port_search", "__inet_hash_connect"), ("empty_connect", "tcp_v4_connect")]
    {
        let hook: &mut FExit = object.program_mut(program).context(program)?.try_into()?;
        hook.load(function, &btf)?;
        hook.attach()?;
    }
    Ok(object)
}
