//! Builds the kernel side and hands its object to `include_bytes!`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set")?);
    let root = here.parent().context("the package has no parent folder")?;
    for input in ["portwatch-ebpf/src", "portwatch-ebpf/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    for variable in ["PORTWATCH_BPF_OBJECT", "PORTWATCH_CACHE"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let object = ebpf_build::build(root, ebpf_build::Object::Hooks)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let copy = Path::new(&out).join("portwatch-hooks.o");
    println!("cargo::rerun-if-changed={}", object.display());
    std::fs::copy(&object, &copy)
        .with_context(|| format!("copy {} to {}", object.display(), copy.display()))?;
    Ok(())
}
