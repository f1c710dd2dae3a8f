//! What QEMU runs the guest's instructions with.
//!
//! In: a kernel to try. Out: options for QEMU. That KVM is there does not say that it boots a kernel: it is tried
//! once after each start of this machine, with a time limit.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ebpf_build::cache_dir;

use super::Terminal;
use super::overlay::Overlay;
use super::qemu::{Boot, End, Machine};
use crate::kernels::Kernel;

/// A choice of QEMU options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accelerator {
    /// For people.
    pub(super) name: &'static str,
    /// For QEMU.
    pub(super) options: &'static [&'static str],
    /// For the kernel's command line.
    pub(super) kernel_options: &'static str,
}

const KVM: Accelerator =
    Accelerator { name: "kvm", options: &["-accel", "kvm", "-smp", "2"], kernel_options: "" };
/// Two processors at a time, by two threads, may run an instruction of the kernel that one of them has just replaced
/// (QEMU 7.2: an int3 that is not in memory any more). The kernel dies of it. Attaching to many functions at once switches
/// the tracepoint that runs most often; one that is always on is not switched.
const EMULATION: Accelerator = Accelerator {
    name: "emulated",
    options: &["-accel", "tcg,thread=multi", "-smp", "2"],
    kernel_options: "trace_event=sched:sched_switch",
};
/// Emulation that counts: the guest's clock advances by one nanosecond with each instruction, and jumps when the
/// guest sleeps.
pub(super) const COUNTING: Accelerator = Accelerator {
    name: "emulated, counting instructions",
    options: &["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1"],
    kernel_options: "",
};

/// A usable KVM takes one or two seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
const KVM_DEVICE: &str = "/dev/kvm";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The fastest that works here.
pub(super) fn fastest(kernel: &Kernel, root: &Path, folder: &Path) -> Result<Accelerator> {
    if !Path::new(KVM_DEVICE).exists() {
        return Ok(EMULATION);
    }
    let boot_id = fs::read_to_string(BOOT_ID).with_context(|| format!("read {BOOT_ID}"))?;
    let path = cache_dir().join("accelerator");
    let remembered = fs::read_to_string(&path).unwrap_or_default();
    let known = [KVM, EMULATION].into_iter().find(|known| remembered == note(&boot_id, *known));
    if let Some(known) = known {
        return Ok(known);
    }
    let found = if kvm_boots(kernel, root, folder)? { KVM } else { EMULATION };
    fs::write(&path, note(&boot_id, found)).with_context(|| format!("write {}", path.display()))?;
    Ok(found)
}

fn note(boot_id: &str, found: Accelerator) -> String {
    format!("{} {}\n", boot_id.trim(), found.name)
}

fn kvm_boots(kernel: &Kernel, root: &Path, folder: &Path) -> Result<bool> {
    eprintln!("xtask: trying whether KVM boots a kernel here");
    let initrd = super::with_root(root, &Overlay::default().pack("exit 0\n", Terminal::Log)?)?;
    let machine = Machine::new(folder, "probe", kernel, &initrd, KVM, Terminal::Log)?;
    Ok(match machine.boot(PROBE_LIMIT)? {
        Boot::Up(running) => running.wait(PROBE_LIMIT)?.end == End::Exit(0),
        Boot::Dead(_) => false,
    })
}
