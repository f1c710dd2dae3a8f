//! DuckDB's package for Python, which tests read captures with.
//!
//! In: a Python that can make virtual environments. Out: one in the cache that has the package, installed by pip from
//! where this machine's pip looks. Must not know: what is read.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use ebpf_build::cache_dir;

use crate::process;

/// What the examples of docs/capture-format.md were written with.
const VERSION: &str = "1.5.4";
/// That of the host's choice, and that of the distribution, should the first be one without `venv`.
const PYTHONS: [&str; 2] = ["python3", "/usr/bin/python3"];
const PACKAGES: [&str; 2] = ["python3", "python3-venv"];

/// A Python that has DuckDB, once [`ensure`] was called.
pub(crate) fn python() -> PathBuf {
    environment().join("bin/python")
}

/// What is missing to make the environment; nothing where it is there.
pub(super) fn missing_packages() -> Vec<&'static str> {
    if python().is_file() || maker().is_some() { Vec::new() } else { PACKAGES.to_vec() }
}

/// Makes the environment if it is not there.
pub(super) fn ensure() -> Result<()> {
    if python().is_file() {
        return Ok(());
    }
    let maker =
        maker().context("python3 makes no virtual environments, although its packages are installed")?;
    eprintln!("xtask: installing duckdb {VERSION} for Python into {}", environment().display());
    // Under another name until it is whole.
    let fresh = environment().with_extension("fresh");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("remove {}", fresh.display()))?;
    }
    process::capture(Command::new(maker).args(["-m", "venv"]).arg(&fresh))?;
    let mut pip = Command::new(fresh.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", &format!("duckdb=={VERSION}")]);
    process::capture(&mut pip)?;
    fs::rename(&fresh, environment()).with_context(|| format!("rename {}", fresh.display()))
}

fn environment() -> PathBuf {
    cache_dir().join(format!("duckdb-{}", VERSION.replace('.', "_")))
}

/// A Python that can make virtual environments.
fn maker() -> Option<&'static str> {
    let can = |python: &&str| {
        let mut command = Command::new(python);
        command.args(["-c", "import venv, ensurepip"]).stdin(Stdio::null());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    PYTHONS.into_iter().find(can)
}
