//! Prometheus and its promtool, which tests read metrics with.
//!
//! In: Debian's package. Out: its programs in the cache. Unpacked and never installed, as the package would start a
//! service on the machine of whoever tests. Must not know: what is read.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use ebpf_build::cache_dir;

use crate::apt::{self, Apt};
use crate::process;

/// That of the guest's other programs; its programs need nothing of it but the C library.
const SUITE: &str = "bookworm";
const PACKAGE: &str = "prometheus";
/// Where the package has its programs.
const PROGRAMS: &str = "usr/bin";

/// The server, once [`ensure`] was called.
pub(crate) fn server() -> PathBuf {
    programs().join("prometheus")
}

/// What checks rules and expositions, once [`ensure`] was called.
pub(crate) fn promtool() -> PathBuf {
    programs().join("promtool")
}

/// Fetches them if they are not there.
pub(super) fn ensure() -> Result<()> {
    if programs().is_dir() {
        return Ok(());
    }
    eprintln!("xtask: fetching {PACKAGE} of {SUITE}");
    fs::create_dir_all(cache_dir()).with_context(|| format!("create {}", cache_dir().display()))?;
    let scratch = tempfile::tempdir_in(cache_dir())
        .with_context(|| format!("create a folder in {}", cache_dir().display()))?;
    Apt::open(PACKAGE, &[SUITE])?.download(PACKAGE, scratch.path())?;
    let tree = scratch.path().join("tree");
    for file in apt::package_files(scratch.path())? {
        process::capture(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&tree))?;
    }
    fs::rename(tree.join(PROGRAMS), programs()).with_context(|| format!("create {}", programs().display()))
}

fn programs() -> PathBuf {
    cache_dir().join(format!("{PACKAGE}-{SUITE}"))
}
