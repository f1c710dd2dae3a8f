//! One QEMU process from its start to its end.
//!
//! In: a kernel, an initial file system, where to log. Out: whether the guest's first process started, then how
//! the script ended. Serial lines: 0 the kernel's console, to a file; 1 the script's terminal, to stdout; 2 the
//! verdict, to a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tempfile::TempDir;

use super::Terminal;
use super::accelerator::Accelerator;
use super::verdict::{self, Verdict};
use crate::kernels::Kernel;
use crate::libtest::Brief;
use crate::process;

const QEMU: &str = "qemu-system-x86_64";
/// Without 16-byte compare-and-swap: QEMU 7.2 leaves garbage in the flags after one, which linux 6.12 does not survive.
const CPU: &str = "max,-cx16";
/// In MiB, for a guest with the usual files.
const MEMORY: usize = 1536;
/// The usual files take less, in MiB. More of them lie in memory twice while the kernel unpacks them.
const USUAL_FILES: usize = 128;
/// A kernel that panics resets, and QEMU ends at a reset.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 panic=-1 quiet";
const POLL: Duration = Duration::from_millis(20);
/// Between the verdict and the end of QEMU.
const RESET_LIMIT: Duration = Duration::from_secs(10);
/// A panic takes about thirty lines.
const LAST_WORDS: usize = 40;

/// What QEMU is started with.
#[derive(Debug)]
pub(super) struct Machine {
    kernel: Kernel,
    /// The initial file system and the verdict, only for this run: two may run at the same time.
    scratch: TempDir,
    /// The kernel's messages.
    console: PathBuf,
    /// QEMU's own messages.
    messages: PathBuf,
    accelerator: Accelerator,
    terminal: Terminal,
    /// In MiB.
    memory: usize,
}

/// What became of a boot.
pub(super) enum Boot<'a> {
    /// The first process has started.
    Up(Running<'a>),
    /// It has not, and will not: why.
    Dead(String),
}

/// How the guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The script ended with this status.
    Exit(u8),
    /// The guest was gone before the script ended.
    NoVerdict,
    /// The script did not end in time.
    TimeUp,
}

/// The end, and what the script had printed until then.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) output: String,
}

/// A QEMU that ends with this value.
pub(super) struct Running<'a> {
    machine: &'a Machine,
    child: Child,
    output: Option<JoinHandle<Result<Vec<u8>>>>,
}

impl Machine {
    /// A machine whose files and logs are in `folder` and have `name` in their names.
    pub(super) fn new(
        folder: &Path,
        name: &str,
        kernel: &Kernel,
        initrd: &[u8],
        accelerator: Accelerator,
        terminal: Terminal,
    ) -> Result<Self> {
        let log = |what: &str| folder.join(format!("{what}-{name}.log"));
        let machine = Self {
            kernel: kernel.clone(),
            scratch: tempfile::tempdir_in(folder)
                .with_context(|| format!("create a folder in {}", folder.display()))?,
            console: log("console"),
            messages: log("qemu"),
            accelerator,
            terminal,
            memory: memory(initrd),
        };
        fs::write(machine.initrd(), initrd)
            .with_context(|| format!("write {}", machine.initrd().display()))?;
        Ok(machine)
    }

    fn initrd(&self) -> PathBuf {
        self.scratch.path().join("initrd")
    }

    fn verdict(&self) -> PathBuf {
        self.scratch.path().join("verdict")
    }

    /// Which accelerator runs it, for people.
    pub(super) fn accelerator(&self) -> &'static str {
        self.accelerator.name
    }

    /// Starts QEMU and waits until the guest's first process runs, QEMU ends, or `limit` has passed.
    pub(super) fn boot(&self, limit: Duration) -> Result<Boot<'_>> {
        let mut running = self.start()?;
        let started = Instant::now();
        while started.elapsed() < limit {
            let ended = running.ended()?;
            if self.told()? != Verdict::Booting {
                return Ok(Boot::Up(running));
            }
            if let Some(status) = ended {
                return Ok(Boot::Dead(format!("QEMU ended early ({status})")));
            }
            thread::sleep(POLL);
        }
        Ok(Boot::Dead(format!("no first process after {} s", limit.as_secs())))
    }

    /// The end of the kernel's messages and of QEMU's own.
    pub(super) fn last_words(&self) -> String {
        let tail = |path: &Path| {
            let bytes = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            let lines: Vec<_> = text.lines().collect();
            let first = lines.len().saturating_sub(LAST_WORDS);
            format!(
                "the end of {}:\n  {}",
                path.display(),
                lines.get(first..).unwrap_or_default().join("\n  ")
            )
        };
        format!("{}\n{}", tail(&self.messages), tail(&self.console))
    }

    fn start(&self) -> Result<Running<'_>> {
        // A verdict of an earlier boot must not be taken for one of this boot.
        for file in [&self.verdict(), &self.console] {
            fs::write(file, "").with_context(|| format!("write {}", file.display()))?;
        }
        let messages = fs::File::create(&self.messages)
            .with_context(|| format!("create {}", self.messages.display()))?;
        let mut command = Command::new(QEMU);
        command.args(self.accelerator.options).args([
            "-cpu",
            CPU,
            "-m",
            &self.memory.to_string(),
            "-no-reboot",
        ]);
        command.args(["-nodefaults", "-display", "none", "-monitor", "none"]);
        command.arg("-kernel").arg(&self.kernel.image).arg("-initrd").arg(self.initrd());
        let options = [KERNEL_COMMAND_LINE, self.accelerator.kernel_options, self.kernel.options];
        command.arg("-append").arg(options.join(" "));
        command.args(["-serial", &serial_file(&self.console)]);
        command.args(["-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"]);
        command.args(["-serial", &serial_file(&self.verdict())]);
        command.stderr(messages);
        let copy: fn(ChildStdout) -> Result<Vec<u8>> = match self.terminal {
            Terminal::Progress => |output| process::copy_live(output, io::stderr()),
            Terminal::Tests => |output| process::copy_live(output, Brief::new(io::stdout())),
            Terminal::Log | Terminal::Shell => |output| process::copy_live(output, io::stdout()),
        };
        if self.terminal != Terminal::Shell {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
        }
        let mut child = command.spawn().with_context(|| format!("run {QEMU}"))?;
        let output = child.stdout.take().map(|stdout| thread::spawn(move || copy(stdout)));
        Ok(Running { machine: self, child, output })
    }

    fn told(&self) -> Result<Verdict> {
        let told = fs::read(self.verdict()).with_context(|| format!("read {}", self.verdict().display()))?;
        Ok(verdict::read(&String::from_utf8_lossy(&told)))
    }
}

impl Running<'_> {
    /// Waits until the script has ended, at most `limit`.
    pub(super) fn wait(mut self, limit: Duration) -> Result<Ended> {
        let started = Instant::now();
        let end = loop {
            // In this order: what was told before QEMU ended counts.
            let ended = self.ended()?;
            if let Verdict::Exit(status) = self.machine.told()? {
                self.wait_for_reset()?;
                break End::Exit(status);
            }
            if ended.is_some() {
                break End::NoVerdict;
            }
            if started.elapsed() > limit {
                break End::TimeUp;
            }
            thread::sleep(POLL);
        };
        self.child.kill().context("end QEMU")?;
        self.child.wait().context("wait for QEMU")?;
        let output = match self.output.take() {
            Some(copier) => {
                copier.join().map_err(|_| anyhow!("the copying of the guest's output panicked"))??
            }
            None => Vec::new(),
        };
        Ok(Ended { end, output: String::from_utf8_lossy(&output).into_owned() })
    }

    fn wait_for_reset(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < RESET_LIMIT && self.ended()?.is_none() {
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("wait for QEMU")
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Fails only when QEMU has ended, which is the aim.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the guest needs, in MiB.
fn memory(initrd: &[u8]) -> usize {
    const MEBIBYTE: usize = 1 << 20;
    let files = initrd.len() / MEBIBYTE;
    if files < USUAL_FILES { MEMORY } else { MEMORY + 2 * files }
}

/// QEMU's options separate their parts by commas.
fn serial_file(path: &Path) -> String {
    format!("file:{}", path.display().to_string().replace(',', ",,"))
}
