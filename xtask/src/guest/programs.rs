//! Programs for the guest from Debian packages, unpacked but never installed.
//!
//! In: names of packages. Out: a tree with them and all that they depend on; or an archive of it in the cache, made
//! once. Must not know: what they are for.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use ebpf_build::cache_dir;

use super::archive::Archive;
use crate::apt::{self, Apt};
use crate::process;

/// To be raised when something here changes that decides what is in an archive.
const FORMAT: u32 = 1;
const SUITE: &str = "bookworm";
const VERSIONS_FOLDER: &str = "etc/portwatch";
const VERSIONS: &str = "etc/portwatch/versions";
const SHOW: &str = "--showformat=${Package} ${Version}\n";
/// Nothing in the guest reads these, and each megabyte is unpacked at each boot.
const BALLAST: [&str; 13] = [
    "boot",
    "home",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/locale",
    "usr/share/bash-completion",
    "usr/share/debconf",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/i18n",
];
/// What manages services, and the folder of it and of its units, which only it reads.
const MANAGER: (&str, &str) = ("systemd", "lib/systemd");

/// Packages, unpacked.
pub(super) struct Unpacked {
    /// The folder with their files.
    pub(super) tree: PathBuf,
    /// Name and version, a line for each that was asked for.
    versions: String,
}

/// The archive of `packages`, to be added to the guest's own files, with their names and versions in
/// `/etc/portwatch/versions`.
pub(crate) fn archive(name: &str, packages: &[&str]) -> Result<PathBuf> {
    cached(name, packages, VERSIONS, |unpacked| {
        let mut archive = Archive::default();
        archive.tree(&unpacked.tree, "")?;
        archive.folder(VERSIONS_FOLDER, 0o755)?;
        archive.file(VERSIONS, 0o644, unpacked.versions.as_bytes())?;
        archive.finish()
    })
}

/// What `pack` makes of `packages`; made again when the packages change, or what else decides.
pub(super) fn cached(
    name: &str,
    packages: &[&str],
    decides: impl Hash,
    pack: impl FnOnce(&Unpacked) -> Result<Vec<u8>>,
) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    (FORMAT, SUITE, packages, BALLAST, MANAGER, decides).hash(&mut hasher);
    let folder = cache_dir().join("guest");
    let path = folder.join(format!("{name}-{:016x}.cpio", hasher.finish()));
    if !path.exists() {
        eprintln!("xtask: fetching programs for the guest ({})", packages.join(", "));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let scratch = tempfile::tempdir_in(&folder)
            .with_context(|| format!("create a folder in {}", folder.display()))?;
        let fresh = scratch.path().join("archive");
        let bytes = unpack(packages, scratch.path())
            .and_then(|unpacked| pack(&unpacked))
            .with_context(|| format!("make the guest's files of {}", packages.join(", ")))?;
        fs::write(&fresh, bytes).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("create {}", path.display()))?;
    }
    Ok(path)
}

fn unpack(packages: &[&str], scratch: &Path) -> Result<Unpacked> {
    let (downloads, tree) = (scratch.join("packages"), scratch.join("root"));
    for folder in [&downloads, &tree] {
        fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    Apt::open("guest", &[SUITE])?.download_with_dependencies(packages, &downloads)?;
    let mut versions = String::new();
    for file in apt::package_files(&downloads)? {
        process::capture(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&tree))?;
        let shown = process::capture(Command::new("dpkg-deb").args(["--show", SHOW]).arg(&file))?;
        if shown.split_whitespace().next().is_some_and(|name| packages.contains(&name)) {
            versions.push_str(&shown);
        }
    }
    let (manager, units) = MANAGER;
    let unread = (!packages.contains(&manager)).then_some(units);
    for ballast in BALLAST.into_iter().chain(unread).map(|name| tree.join(name)) {
        if ballast.exists() {
            fs::remove_dir_all(&ballast).with_context(|| format!("remove {}", ballast.display()))?;
        }
    }
    Ok(Unpacked { tree, versions })
}
