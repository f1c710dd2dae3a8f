//! The floor: what a plain loader of the library costs that attaches an empty program to each of the two hooks that
//! an IPv4 connect passes.

use std::env;

use anyhow::{Context as _, Result};
use aya::programs::FExit;
use aya::{Btf, Ebpf};
use nix::sys::signal::{SigSet, Signal};

/// What it says once it has attached.
pub(crate) const READY: &str = "ready";

/// Attaches and waits for SIGINT.
pub(crate) fn run() -> Result<()> {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    interrupt.thread_block().context("block SIGINT")?;
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
    println!("{READY}");
    interrupt.wait().context("wait for SIGINT")?;
    Ok(())
}
