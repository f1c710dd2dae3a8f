//! `cargo xtask dist`: the executable that is handed out.
//!
//! In: the checkout. Out: `target/dist/portwatch`, static, with the eBPF object inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::elf;
use crate::packages;
use crate::setup::{self, Need};

/// Builds the executable and tells where it is.
pub(crate) fn run(checkout: &Checkout) -> Result<ExitCode> {
    let path = build(checkout)?;
    print_size(&path)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the executable and returns its path.
pub(crate) fn build(checkout: &Checkout) -> Result<PathBuf> {
    setup::ensure(&[Need::Toolchain])?;
    eprintln!("xtask: building portwatch");
    let built = packages::portwatch(checkout)?;
    let image = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    if !elf::is_static(&image).with_context(|| format!("read {}", built.display()))? {
        bail!("{} is not static: it names a dynamic loader", built.display());
    }
    let folder = checkout.target().join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join("portwatch");
    // Through a rename: the file may be running.
    let fresh = folder.join(".portwatch");
    fs::copy(&built, &fresh).with_context(|| format!("copy {} to {}", built.display(), fresh.display()))?;
    fs::rename(&fresh, &path).with_context(|| format!("replace {}", path.display()))?;
    Ok(path)
}

/// Prints the size of the file `path` and where it is.
pub(crate) fn print_size(path: &Path) -> Result<()> {
    let bytes = fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len();
    println!("{bytes} bytes  {}", path.display());
    Ok(())
}
