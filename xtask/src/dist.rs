//! `cargo xtask dist`: what is handed out.
//!
//! In: the checkout. Out, in `target/dist`: `portwatch`, static, with the eBPF object inside; `man/` and `completions/`;
//! a Debian package with all of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::elf;
use crate::packages;
use crate::process;
use crate::setup::{self, Need};

mod deb;
mod package;

/// Builds all of it and tells where the executable and the package are.
pub(crate) fn run(checkout: &Checkout) -> Result<ExitCode> {
    let executable = build(checkout)?;
    let package = package(checkout)?;
    print_size(&executable)?;
    print_size(&package)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the Debian package with all that is in it, and returns its path.
pub(crate) fn package(checkout: &Checkout) -> Result<PathBuf> {
    build(checkout)?;
    let manual = packages::example(checkout, "manual").context("build what writes the manual pages")?;
    let folder = folder(checkout)?;
    // A page of a command that is gone is not to be packaged.
    for made in ["man", "completions"].map(|made| folder.join(made)) {
        if made.exists() {
            fs::remove_dir_all(&made).with_context(|| format!("remove {}", made.display()))?;
        }
    }
    process::capture(Command::new(manual).arg(&folder)).context("write the manual pages")?;
    package::build(checkout, &folder)
}

/// Where everything is left.
fn folder(checkout: &Checkout) -> Result<PathBuf> {
    let folder = checkout.target().join("dist");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
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
    let folder = folder(checkout)?;
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
