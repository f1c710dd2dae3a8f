//! The inner cargo run that makes an eBPF object.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::Toolchain;

/// One of the objects that `portwatch-ebpf` can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The programs of portwatch.
    Hooks,
    /// The same hooks doing nothing, the floor of the measurements.
    Empty,
}

impl Object {
    fn bin(self) -> &'static str {
        match self {
            Self::Hooks => "portwatch-hooks",
            Self::Empty => "empty-hooks",
        }
    }
}

/// Builds `object` from the checkout at `root` and returns its path.
///
/// `PORTWATCH_BPF_OBJECT` names a ready-made [`Object::Hooks`] instead, for packagers.
///
/// # Errors
/// When no toolchain is found, or the compiler refuses; the compiler's messages are part of the error.
pub fn build(root: &Path, object: Object) -> Result<PathBuf> {
    if let (Object::Hooks, Some(ready)) = (object, env::var_os("PORTWATCH_BPF_OBJECT")) {
        return Ok(ready.into());
    }
    let toolchain = Toolchain::find()?;
    let target_dir = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // Both cargos run in this folder, so a relative one means the same to both.
    let target_dir = root.join(target_dir).join("bpf");
    let (program, words) = toolchain.cargo.split_first().context("empty cargo command")?;
    let mut command = Command::new(program);
    command.current_dir(root).args(words);
    for name in
        env::vars_os().map(|(name, _)| name).filter(|name| is_of_the_outer_build(&name.to_string_lossy()))
    {
        command.env_remove(&name);
    }
    if let Some(rustc) = &toolchain.rustc {
        command.env("RUSTC", rustc);
    }
    let flags = [
        // aya-ebpf chooses the register layout of the traced machine by this.
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        // With 32-bit operations, which kernels have from 5.1 on: a fifth of the instructions less.
        "-Ctarget-cpu=v3".to_owned(),
        format!("-Clinker={}", toolchain.linker.display()),
    ];
    let output = command
        // `-Zbuild-std` is an unstable option; the distribution's compiler is a stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "--package", "portwatch-ebpf", "--features", "kernel", "--bin", object.bin()])
        .args(["--profile", "bpf", "--target", "bpfel-unknown-none", "-Zbuild-std=core", "--target-dir"])
        .arg(&target_dir)
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("build the kernel side\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(target_dir.join("bpfel-unknown-none/bpf").join(object.bin()))
}

/// Whether a variable tells an inner cargo what was meant for the outer one: the compiler, its flags, the profile,
/// the place of its output, the package that is being built. Those about registries and the network stay.
fn is_of_the_outer_build(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "RUSTC",
        "RUSTDOC",
    ];
    const NAMES: [&str; 6] =
        ["CARGO", "CARGO_ENCODED_RUSTFLAGS", "CARGO_MAKEFLAGS", "MAKEFLAGS", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::is_of_the_outer_build;

    #[test]
    fn what_the_network_needs_reaches_the_inner_build() {
        for name in
            ["CARGO_HOME", "CARGO_HTTP_CAINFO", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_X_INDEX", "PATH"]
        {
            assert!(!is_of_the_outer_build(name), "{name}");
        }
        for name in ["CARGO_TARGET_DIR", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO"] {
            assert!(is_of_the_outer_build(name), "{name}");
        }
    }
}
