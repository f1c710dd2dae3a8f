//! Developer commands of portwatch: `cargo xtask COMMAND`.
//!
//! In: the checkout and the command line. Out: build products below `target/`, a session or test results on
//! stdout, progress and errors on stderr, and an exit code: 0 good, 1 failed, 2 usage, 69 the guest did not
//! boot, otherwise the code of the command that was run.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::checkout::Checkout;

mod apt;
mod bench;
mod bless;
mod check;
mod checkout;
mod dist;
mod ebpf;
mod elf;
mod fuzz;
mod guest;
mod kernels;
mod libtest;
mod packages;
mod process;
mod reading;
mod run;
mod setup;
mod story;
mod test;
mod vm;

/// Developer commands of portwatch.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
enum Command {
    /// Install what building and testing need and this machine lacks.
    ///
    /// The compiler and linker of the kernel side, QEMU, a compiler for the fuzzer, and the programs with which tests read
    /// captures and reports. Names the packages first. The other commands call the part that they need by themselves. At
    /// once when all is there, else some minutes.
    Setup,
    /// Build the kernel side alone and print its path and size. Half a minute at first, then seconds.
    Ebpf,
    /// Build the static executable, manual pages, completions and the Debian package. Two minutes at first, then seconds.
    ///
    /// All of it in target/dist. The package is the same, byte by byte, for the same sources and compiler;
    /// SOURCE_DATE_EPOCH sets the time that its files have.
    Dist,
    /// Build portwatch and run it as root on this host. As long as `dist`, then as long as it runs.
    Run(run::Args),
    /// Show portwatch explaining a port shortage, live in a virtual machine. Under a minute once built.
    ///
    /// Exits with 69 when the machine did not boot, otherwise with the exit code of what ran in it.
    Vm(vm::Args),
    /// Run all tests: on this host, in a virtual machine per kernel, and the cost limits.
    ///
    /// Once built, some minutes for the host, eight for what takes long and is run in a clock that jumps, four for the
    /// limits, and, where everything is emulated, seventeen for each kernel.
    Test(test::Args),
    /// Measure what portwatch costs, in counted instructions, beside what others cost. Five minutes once built.
    Bench(bench::Args),
    /// Give readers of captures and records bytes that nobody would write. Two minutes to build.
    Fuzz(fuzz::Args),
    /// Check format, lints, who imports whom, and the documentation. About a minute, two at first.
    Check,
}

fn main() -> ExitCode {
    match dispatch(Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            if error.is::<guest::DidNotBoot>() { guest::DidNotBoot::exit_code() } else { ExitCode::FAILURE }
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    match command {
        Command::Setup => setup::run(),
        Command::Ebpf => ebpf::run(&checkout),
        Command::Dist => dist::run(&checkout),
        Command::Run(args) => run::run(&checkout, &args),
        Command::Vm(args) => vm::run(&checkout, &args),
        Command::Test(args) => test::run(&checkout, &args),
        Command::Bench(args) => bench::run(&checkout, &args),
        Command::Fuzz(args) => fuzz::run(&checkout, &args),
        Command::Check => check::run(&checkout),
    }
}
