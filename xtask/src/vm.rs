//! `cargo xtask vm`: portwatch explains a port shortage in a virtual machine.
//!
//! In: a kernel series. Out: the session of `guest/story.sh` on stdout and its exit code; or an interactive shell
//! in the guest; or the session in README.md.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::bless::SESSION;
use crate::checkout::Checkout;
use crate::dist;
use crate::guest::overlay::Overlay;
use crate::guest::{self, Clock, Job, Terminal};
use crate::kernels::{Kernels, SOCK_DIAG, Series};
use crate::setup::{self, Need};

const STORY: &str = include_str!("../guest/story.sh");
const NGINX_CONFIG: &str = include_str!("../guest/nginx.conf");
const PROFILE: &str = include_str!("../guest/profile");
const RUN_STORY: &str = "exec /etc/portwatch/story.sh\n";
const RUN_SHELL: &str = "exec bash --rcfile /etc/portwatch/profile -i\n";
const STORY_LIMIT: Duration = Duration::from_secs(180);
/// A person may think.
const SHELL_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Which guest, and what for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernel series to boot, such as 6.1 or 6.12, or `newest`
    #[arg(long, value_name = "SERIES", default_value = "6.1")]
    kernel: Series,
    /// Leave an interactive shell in the guest instead of the story
    #[arg(long, conflicts_with = "bless")]
    shell: bool,
    /// Write the session into README.md, between its two markers
    #[arg(long)]
    bless: bool,
}

/// Runs the story, or a shell.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode> {
    let readme = checkout.path("README.md");
    // Before the long part.
    let old_text = if args.bless { Some(SESSION.read(&readme)?) } else { None };
    setup::ensure(&[Need::Toolchain, Need::Qemu])?;
    let mut kernels = Kernels::default();
    let kernel = kernels.fetch(&args.kernel)?;
    let mut files = Overlay::default();
    // Who holds the ports is asked of sock_diag.
    let load = files.modules(&kernels.modules(&kernel, &SOCK_DIAG)?)?;
    files.program("usr/bin/portwatch", &dist::build(checkout)?, "PORTWATCH_BIN")?;
    files.script("etc/portwatch/story.sh", STORY);
    files.text("etc/portwatch/nginx.conf", NGINX_CONFIG);
    files.text("etc/portwatch/profile", PROFILE);
    files.variable("TERM", &std::env::var("TERM").unwrap_or_else(|_| "vt100".to_owned()));
    let (script, terminal, limit) = if args.shell {
        (RUN_SHELL, Terminal::Shell, SHELL_LIMIT)
    } else {
        (RUN_STORY, Terminal::Log, STORY_LIMIT)
    };
    let name = "vm".to_owned();
    let job = Job { name, files, script: load + script, terminal, clock: Clock::Wall, limit };
    let outcome = guest::run(checkout, &kernel, job)?;
    if let Some(old_text) = old_text {
        if outcome.status != 0 {
            bail!("the story failed with exit code {}: README.md stays as it was", outcome.status);
        }
        let text = SESSION.filled(&old_text, &format!("```text\n{}\n```", outcome.output.trim()))?;
        fs::write(&readme, text).with_context(|| format!("write {}", readme.display()))?;
    }
    Ok(ExitCode::from(outcome.status))
}
