//! Which functions of the kernel somebody has hooked, by fexit, kprobe or kretprobe.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const ENABLED: &str = "/sys/kernel/tracing/enabled_functions";
/// Between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(1);
/// Looks until it will never come; letting go of a hook takes a tenth of a second.
const PATIENCE: u32 = 10_000;

/// Whether all of `functions` are hooked.
pub(crate) fn are_on(functions: &[&str]) -> Result<bool> {
    let enabled = enabled()?;
    let on = |function: &&str| enabled.lines().any(|line| line.split_whitespace().next() == Some(*function));
    Ok(functions.iter().all(on))
}

/// Waits until the kernel has let go of all hooks.
pub(crate) fn wait_until_none() -> Result<()> {
    let mut looks = 0;
    while !enabled()?.trim().is_empty() {
        looks += 1;
        ensure!(looks < PATIENCE, "these stay hooked:\n{}", enabled()?);
        sleep(POLL);
    }
    Ok(())
}

fn enabled() -> Result<String> {
    fs::read_to_string(ENABLED).with_context(|| {
        format!("read {ENABLED}\nhint: this kernel has no function tracer, or tracefs is not there")
    })
}
