//! Modules of a kernel, from the package that its image came from, or from the one beside it.
//!
//! In: a kernel of the cache, names of modules. Out: their files in the cache, not compressed, in the order of the
//! names. Must not know: what they are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use ebpf_build::cache_dir;

use super::{Kernel, Kernels, NEWEST_SUITE, SUITES, Series, numbers, untar};
use crate::apt;
use crate::process;

/// sock_diag: in Debian's kernels modules, in the order in which they need each other.
pub(crate) const SOCK_DIAG: [&str; 3] = ["inet_diag", "tcp_diag", "udp_diag"];

const PACKAGE_PATTERN: &str = "^linux-(image|modules)-[0-9].*-cloud-amd64$";
/// In this order: since about 6.19 modules have a package of their own.
const PACKAGE_PREFIXES: [&str; 2] = ["linux-modules-", "linux-image-"];

impl Kernels {
    /// The modules `names` of `kernel`; none if the archive has this version of it no more.
    pub(crate) fn modules(&mut self, kernel: &Kernel, names: &[&str]) -> Result<Vec<PathBuf>> {
        let folder = kernel.image.parent().context("the image has no folder")?.join("modules");
        let files: Vec<PathBuf> = names.iter().map(|name| folder.join(format!("{name}.ko"))).collect();
        if !files.iter().all(|file| file.exists()) && !self.fetch_modules(kernel, names, &folder)? {
            return Ok(Vec::new());
        }
        Ok(files)
    }

    fn fetch_modules(&mut self, kernel: &Kernel, names: &[&str], folder: &Path) -> Result<bool> {
        let version = folder.parent().and_then(Path::file_name).context("a kernel without a version")?;
        let version = version.to_string_lossy();
        eprintln!("xtask: fetching modules of linux {version}");
        let newest = kernel.series == Series::Newest;
        for suite in SUITES.iter().filter(|suite| !newest || **suite == NEWEST_SUITE) {
            let apt = self.suite(suite)?;
            let packages = apt.names(PACKAGE_PATTERN)?;
            for prefix in PACKAGE_PREFIXES {
                let of_series = |name: &&String| {
                    name.strip_prefix(prefix).is_some_and(|rest| newest || kernel.series.has(&numbers(rest)))
                };
                for package in packages.iter().filter(of_series) {
                    if apt.version(package)? != version {
                        continue;
                    }
                    let scratch =
                        tempfile::tempdir_in(cache_dir()).context("create a folder in the cache")?;
                    apt.download(package, scratch.path())?;
                    let deb = apt::package_files(scratch.path())?;
                    let deb = deb.first().with_context(|| format!("{package} left no file"))?;
                    if extract(deb, names, &scratch.path().join("tree"), folder)
                        .with_context(|| format!("take modules out of {package}"))?
                    {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

/// Tells whether the package has them.
fn extract(package: &Path, names: &[&str], tree: &Path, folder: &Path) -> Result<bool> {
    for folder in [tree, folder] {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    let patterns = names.iter().map(|name| format!("*/{name}.ko*"));
    // Flat; a pattern without a match makes it fail, as a package without modules has none.
    let unpacked = untar(
        package,
        Command::new("tar")
            .args(["--extract", "--wildcards", "--transform", "s:.*/::", "--directory"])
            .arg(tree)
            .args(patterns)
            .stderr(Stdio::null()),
    )?;
    if !unpacked.success() {
        return Ok(false);
    }
    for name in names {
        decompress(tree, name, folder)?;
    }
    Ok(true)
}

/// Older kernels cannot load compressed modules, and the guest's insmod neither.
fn decompress(tree: &Path, name: &str, folder: &Path) -> Result<()> {
    let plain = tree.join(format!("{name}.ko"));
    if !plain.exists() {
        let compressed = tree.join(format!("{name}.ko.xz"));
        if !compressed.exists() {
            bail!("{name} is compressed in a way that is not known here");
        }
        process::capture(Command::new("xz").arg("--decompress").arg(compressed))?;
    }
    let place = folder.join(format!("{name}.ko"));
    fs::copy(&plain, &place).with_context(|| format!("create {}", place.display()))?;
    Ok(())
}
