//! The command line: arguments, and one file a command.
//!
//! In: the process's arguments and signals. Out: exit codes. Everything below sees neither.

mod args;
mod beside;
mod captures;
mod child;
mod doctor;
mod filter;
pub mod manual;
mod memory;
mod metrics;
mod outcome;
mod output;
mod ports;
mod record;
mod replay;
mod report;
mod serve;
mod session;
mod shown;
mod stop;
mod trace;

pub use outcome::{Outcome, explain};

use std::io::IsTerminal as _;
use std::sync::mpsc::sync_channel;

use anyhow::{Context as _, Result};
use tokio::runtime::Builder;

use args::{Args, ColorChoice, Command};

use crate::privileges::{self, Duty};
use crate::term::Paint;

/// Parses the arguments and runs the command they name. Usage errors and `--help` end the process here, with the
/// codes of clap: 2 and 0.
///
/// # Errors
/// Those of the command.
pub fn run() -> Result<Outcome> {
    let args = Args::of_process();
    log_to_stderr(args.verbose);
    memory::hold_little();
    match args.command.unwrap_or(Command::Trace(args.trace)) {
        Command::Trace(options) => trace::run(&options, paint(args.color)),
        Command::Record(options) => record::run(&options, paint(args.color)),
        Command::Replay(options) => replay::run(&options, paint(args.color)),
        Command::Report(options) => report::run(&options, paint(args.color)),
        Command::Ports(options) => ports::run(&options, paint(args.color)),
        Command::Serve(options) => serve::run(&options),
        Command::Doctor => doctor::run(paint(args.color)),
    }
}

/// Runs a command that waits. Signals are waited for, and the kernel's ring is read, beside this thread, which may hang
/// where its output blocks.
fn on_runtime<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let (tell, begun) = sync_channel(1);
    let confine = move || {
        privileges::confine(&Duty::Write);
        // Nobody waits for a second thread.
        let _ = tell.try_send(());
    };
    let runtime = Builder::new_multi_thread().worker_threads(1).on_thread_start(confine).enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    // That opens descriptors, which there is a moment for when nobody may (`kernel`, where it begins to load).
    let _ = begun.recv();
    runtime.block_on(command)
}

/// Runs what waits for nothing but files.
fn on_this_thread<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    Builder::new_current_thread().build().context("start the runtime")?.block_on(command)
}

/// Warnings always; with `-v` what portwatch does, with `-vv` also what its libraries and the kernel side do.
fn log_to_stderr(verbose: u8) {
    let mut builder = env_logger::Builder::new();
    match verbose {
        // What aya warns of (a memory limit that it may not raise) is explained where it becomes an error.
        0 => builder.filter(None, log::LevelFilter::Warn).filter(Some("aya"), log::LevelFilter::Error),
        1 => builder.filter(None, log::LevelFilter::Warn).filter(Some("portwatch"), log::LevelFilter::Debug),
        _ => builder.filter(None, log::LevelFilter::Trace),
    };
    builder.format_timestamp_micros().init();
}

/// Colours on a terminal whose user did not ask for none (no-color.org).
fn paint(choice: ColorChoice) -> Paint {
    let wanted = match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            std::io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    };
    if wanted { Paint::Coloured } else { Paint::Plain }
}
