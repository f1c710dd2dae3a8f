//! A virtual machine that runs one command.
//!
//! In: a kernel, files, a shell script. Out: what the script printed, live on stdout and returned, and its exit
//! status. That the machine did not boot is an error of its own, [`DidNotBoot`]: only the boot is tried again,
//! never the script. Must not know: what the script is for.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::overlay::Overlay;
use self::qemu::{Boot, End, Machine};
use crate::checkout::Checkout;
use crate::kernels::Kernel;

mod accelerator;
mod archive;
pub(crate) mod overlay;
pub(crate) mod programs;
mod qemu;
mod root;
mod verdict;

/// Some kernels die early under emulation, in up to a third of the boots.
const BOOT_ATTEMPTS: u32 = 5;
/// Four seconds are usual.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// Who is at the guest's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// Nobody; what the script prints is copied to stdout and returned.
    Log,
    /// Nobody; what the script prints is that of tests: it is copied to stdout without the words of those that passed, and
    /// returned with them.
    Tests,
    /// Nobody; what the script prints is copied to stderr, as the progress that it is, and returned.
    Progress,
    /// A person, with this process's stdin and stdout.
    Shell,
}

/// How time passes in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// As outside, on two processors, with the fastest accelerator of this machine.
    Wall,
    /// One nanosecond per instruction, on one processor: measurements repeat whatever this machine does.
    Instructions,
}

/// What a guest is started for.
#[derive(Debug)]
pub(crate) struct Job {
    /// Names the logs.
    pub(crate) name: String,
    /// The files besides the guest's own.
    pub(crate) files: Overlay,
    /// Run by sh; its exit status is the job's.
    pub(crate) script: String,
    /// Who is at the terminal.
    pub(crate) terminal: Terminal,
    /// How time passes.
    pub(crate) clock: Clock,
    /// How long the script may take.
    pub(crate) limit: Duration,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit status of the script.
    pub(crate) status: u8,
    /// What it printed.
    pub(crate) output: String,
}

/// The machine never came to its first process: nothing is known about what was to run in it.
#[derive(Debug)]
pub(crate) struct DidNotBoot(String);

impl DidNotBoot {
    /// EX_UNAVAILABLE of sysexits.h.
    const EXIT_CODE: u8 = 69;

    /// What the command exits with.
    pub(crate) fn exit_code() -> ExitCode {
        ExitCode::from(Self::EXIT_CODE)
    }
}

impl std::fmt::Display for DidNotBoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DidNotBoot {}

/// Boots `kernel` and runs `job` in it.
pub(crate) fn run(checkout: &Checkout, kernel: &Kernel, job: Job) -> Result<Outcome> {
    let folder = checkout.target().join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let root = root::archive()?;
    let accelerator = match job.clock {
        Clock::Wall => accelerator::fastest(kernel, &root, &folder)?,
        Clock::Instructions => accelerator::COUNTING,
    };
    let initrd = with_root(&root, &job.files.pack(&job.script, job.terminal)?)?;
    let name = format!("{}-{}", job.name, kernel.series);
    let machine = Machine::new(&folder, &name, kernel, &initrd, accelerator, job.terminal)?;
    let running = boot(&machine, kernel)?;
    eprintln!("xtask: linux {} is up", kernel.series);
    let ended = running.wait(job.limit)?;
    match ended.end {
        End::Exit(status) => Ok(Outcome { status, output: ended.output }),
        End::NoVerdict => bail!("the guest ended without a verdict\n{}", machine.last_words()),
        End::TimeUp => {
            bail!(
                "the guest was stopped after {} s without a verdict\n{}",
                job.limit.as_secs(),
                machine.last_words()
            )
        }
    }
}

fn boot<'a>(machine: &'a Machine, kernel: &Kernel) -> Result<qemu::Running<'a>> {
    for attempt in 1..=BOOT_ATTEMPTS {
        eprintln!("xtask: booting linux {} ({})", kernel.series, machine.accelerator());
        match machine.boot(BOOT_LIMIT)? {
            Boot::Up(running) => return Ok(running),
            Boot::Dead(why) => {
                eprintln!(
                    "xtask: linux {} did not boot: {why} (attempt {attempt} of {BOOT_ATTEMPTS})",
                    kernel.series
                );
            }
        }
    }
    let words = machine.last_words();
    Err(DidNotBoot(format!("linux {} did not boot in {BOOT_ATTEMPTS} attempts\n{words}", kernel.series))
        .into())
}

/// The kernel unpacks archives that follow each other as if they were one; later files replace earlier ones.
fn with_root(root: &Path, overlay: &[u8]) -> Result<Vec<u8>> {
    let mut archives = fs::read(root).with_context(|| format!("read {}", root.display()))?;
    archives.extend(overlay);
    Ok(archives)
}
