//! `cargo xtask setup`: what building and testing need and this machine lacks.
//!
//! In: what a command needs. Out: installed packages and bpf-linker, or the commands that install them.
//! Asking costs a few file lookups, so that each command can ask before it starts.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use ebpf_build::{BPF_LINKER_VERSION, LLVM_MAJOR, Toolchain, linker_root};

use crate::checkout::cargo_program;
use crate::process;

pub(crate) mod duckdb;
pub(crate) mod prometheus;

/// A compiler with the sources of `core`, of the same version.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const QEMU: &str = "qemu-system-x86_64";
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// Programs that read captures and reports, each in a package of its name.
const READERS: [&str; 3] = ["jq", "zstd", "chromium"];
const CXX: &str = "g++";

/// What a command cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Compiler and linker of the kernel side.
    Toolchain,
    /// The machine emulator.
    Qemu,
    /// rustfmt and clippy.
    Components,
    /// What other people read captures, reports and metrics with, which tests do too.
    Reading,
    /// A compiler for libFuzzer, which comes as C++.
    Fuzzing,
}

/// Sees to all needs.
pub(crate) fn run() -> Result<ExitCode> {
    ensure(&[Need::Components, Need::Toolchain, Need::Qemu, Need::Reading, Need::Fuzzing])?;
    println!("everything that building and testing need is here");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing of `needs`.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    if needs.contains(&Need::Components) {
        require_components()?;
    }
    let packages = missing_packages(needs);
    if !packages.is_empty() {
        install(&packages)?;
    }
    if needs.contains(&Need::Toolchain) && !Toolchain::has_linker() {
        install_linker()?;
    }
    if needs.contains(&Need::Reading) {
        duckdb::ensure()?;
        prometheus::ensure()?;
    }
    Ok(())
}

fn missing_packages(needs: &[Need]) -> Vec<String> {
    let mut packages = Vec::new();
    if needs.contains(&Need::Toolchain) {
        if !Toolchain::has_compiler() {
            packages.extend(COMPILER_PACKAGES.map(str::to_owned));
        }
        // A linker that came from elsewhere brings its LLVM; the one built here needs the distribution's.
        if (!Toolchain::has_linker() || linker_root().exists()) && !llvm_prefix().join("lib").exists() {
            packages.push(format!("llvm-{LLVM_MAJOR}-dev"));
        }
    }
    if needs.contains(&Need::Qemu) && !process::on_path(QEMU) {
        packages.push(QEMU_PACKAGE.to_owned());
    }
    if needs.contains(&Need::Reading) {
        packages.extend(READERS.into_iter().filter(|reader| !process::on_path(reader)).map(str::to_owned));
        packages.extend(duckdb::missing_packages().into_iter().map(str::to_owned));
    }
    if needs.contains(&Need::Fuzzing) && !process::on_path(CXX) {
        packages.push(CXX.to_owned());
    }
    packages
}

fn install(packages: &[String]) -> Result<()> {
    let names = packages.join(" ");
    if !process::on_path("apt-get") {
        bail!(
            "missing: {names} (the names of Debian's packages)\n\
             hint: there is no apt-get here: install these by your system's means; for the compiler of the kernel side \
             a rustup nightly with rust-src and bpf-linker {BPF_LINKER_VERSION}"
        );
    }
    if !is_root()? {
        bail!(
            "missing packages: {names}\nhint: run\n  sudo apt-get update\n  \
             sudo apt-get install -y --no-install-recommends {names}"
        );
    }
    eprintln!("xtask: installing the packages {names}");
    process::capture(Command::new("apt-get").args(["-q", "update"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    process::capture(install.args(["-q", "install", "-y", "--no-install-recommends"]).args(packages))?;
    Ok(())
}

fn install_linker() -> Result<()> {
    eprintln!("xtask: building bpf-linker {BPF_LINKER_VERSION} (about a minute)");
    let mut command = Command::new(cargo_program());
    command
        .env("LLVM_PREFIX", llvm_prefix())
        .args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked", "--no-default-features"])
        .args(["--features", &format!("llvm-{LLVM_MAJOR}"), "--root"])
        .arg(linker_root());
    process::capture(&mut command).context("install bpf-linker")?;
    Ok(())
}

fn llvm_prefix() -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{LLVM_MAJOR}"))
}

fn require_components() -> Result<()> {
    let cargo = cargo_program();
    for (program, component) in [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")] {
        let beside_cargo = Path::new(&cargo).with_file_name(program);
        if !beside_cargo.is_file() && !process::on_path(program) {
            bail!("{component} is missing\nhint: run `rustup component add {component}`");
        }
    }
    Ok(())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(std::fs::metadata("/proc/self").context("read /proc/self")?.uid() == 0)
}
