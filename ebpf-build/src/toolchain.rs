//! Where a compiler and a linker for the kernel side may be.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The bpf-linker that is installed where none is on `PATH`.
pub const BPF_LINKER_VERSION: &str = "0.13.0";
/// The LLVM that [`BPF_LINKER_VERSION`] is built against: the one of the distribution's rustc.
pub const LLVM_MAJOR: u32 = 22;

/// A compiler that can build `core` for a BPF target, and its linker.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The cargo to run, with the words that select a toolchain.
    pub cargo: Vec<String>,
    /// The compiler for `RUSTC`, where cargo would not find the right one by itself.
    pub rustc: Option<PathBuf>,
    /// bpf-linker.
    pub linker: PathBuf,
}

impl Toolchain {
    /// The first usable one: the distribution's rustc with its library sources, else a rustup nightly with
    /// `rust-src`.
    ///
    /// # Errors
    /// Says what is missing and which command installs it.
    pub fn find() -> Result<Self> {
        let Some((cargo, rustc)) = distribution().or_else(nightly) else {
            bail!(
                "no compiler for the kernel side: neither the distribution's rustc with its library sources \
                 (/usr/bin/rustc) nor a rustup nightly with rust-src\nhint: run `cargo xtask setup`"
            );
        };
        let Some(linker) = linker() else {
            bail!(
                "no bpf-linker, neither on PATH nor in {}\nhint: run `cargo xtask setup`",
                linker_root().display()
            );
        };
        Ok(Self { cargo, rustc, linker })
    }

    /// Whether a compiler is there, whatever the linker.
    #[must_use]
    pub fn has_compiler() -> bool {
        distribution().or_else(nightly).is_some()
    }

    /// Whether a linker is there, whatever the compiler.
    #[must_use]
    pub fn has_linker() -> bool {
        linker().is_some()
    }
}

/// Where developer commands keep what they fetched or built and `cargo clean` shall not remove:
/// `$PORTWATCH_CACHE`, else `portwatch-dev` in the user's cache folder.
#[must_use]
pub fn cache_dir() -> PathBuf {
    if let Some(dir) = env::var_os("PORTWATCH_CACHE") {
        return dir.into();
    }
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    base.or(home).unwrap_or_else(env::temp_dir).join("portwatch-dev")
}

/// The `--root` under which `cargo xtask setup` installs bpf-linker.
#[must_use]
pub fn linker_root() -> PathBuf {
    cache_dir().join(format!("bpf-linker-{BPF_LINKER_VERSION}"))
}

fn distribution() -> Option<(Vec<String>, Option<PathBuf>)> {
    let present = ["/usr/bin/cargo", "/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library/core"]
        .map(|path| Path::new(path).exists());
    // Distributions have older compilers too, whose LLVM is not the linker's.
    let usable = present.iter().all(|present| *present) && llvm_major("/usr/bin/rustc") == Some(LLVM_MAJOR);
    usable.then(|| (vec!["/usr/bin/cargo".to_owned()], Some("/usr/bin/rustc".into())))
}

/// The LLVM inside a compiler.
fn llvm_major(rustc: &str) -> Option<u32> {
    let output = Command::new(rustc).arg("-vV").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.split('.').next()?.parse().ok()
}

fn nightly() -> Option<(Vec<String>, Option<PathBuf>)> {
    let output =
        Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let sources = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    (output.status.success() && sources.exists())
        .then(|| (["rustup", "run", "nightly", "cargo"].map(str::to_owned).to_vec(), None))
}

fn linker() -> Option<PathBuf> {
    let installed = linker_root().join("bin/bpf-linker");
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|dir| dir.join("bpf-linker"));
    std::iter::once(installed).chain(on_path).find(|path| path.is_file())
}
