//! The guest's own files: a shell, a web server, a client, the network tools.
//!
//! In: Debian packages, unpacked but never installed. Out: an archive in the cache, made once.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use ebpf_build::cache_dir;

use super::archive::Archive;
use crate::apt::{self, Apt};
use crate::process;

/// To be raised when [`pack`] changes.
const FORMAT: u32 = 1;
const SUITE: &str = "bookworm";
const PACKAGES: [&str; 5] = ["busybox-static", "nginx-light", "curl", "iproute2", "bash"];
/// Nothing in the guest reads these, and each megabyte is unpacked at each boot.
const BALLAST: [&str; 14] = [
    "boot",
    "home",
    "lib/systemd",
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
/// Name, permissions.
const FOLDERS: [(&str, u32); 15] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("run", 0o755),
    ("root", 0o700),
    ("busybox", 0o755),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/log/nginx", 0o755),
    ("var/lib", 0o755),
    ("var/lib/nginx", 0o755),
];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                      www-data:x:33:33:www-data:/var/www:/bin/false\n\
                      nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// The archive of the guest's files.
pub(super) fn archive() -> Result<PathBuf> {
    let folder = cache_dir().join("guest");
    let path = folder.join(format!("root-{:016x}.cpio", fingerprint()));
    if !path.exists() {
        eprintln!("xtask: fetching the guest's programs ({})", PACKAGES.join(", "));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let scratch = tempfile::tempdir_in(&folder)
            .with_context(|| format!("create a folder in {}", folder.display()))?;
        make(scratch.path(), &path).context("make the guest's files")?;
    }
    Ok(path)
}

/// Changes with all that decides what is in the archive.
fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    (FORMAT, SUITE, PACKAGES, BALLAST, FOLDERS).hash(&mut hasher);
    (PASSWD, GROUP, HOSTS).hash(&mut hasher);
    hasher.finish()
}

fn make(scratch: &Path, path: &Path) -> Result<()> {
    let (downloads, tree) = (scratch.join("packages"), scratch.join("root"));
    for folder in [&downloads, &tree] {
        fs::create_dir(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    Apt::open("guest", &[SUITE])?.download_with_dependencies(&PACKAGES, &downloads)?;
    for package in apt::package_files(&downloads)? {
        process::capture(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&tree))?;
    }
    for ballast in BALLAST.map(|name| tree.join(name)) {
        if ballast.exists() {
            fs::remove_dir_all(&ballast).with_context(|| format!("remove {}", ballast.display()))?;
        }
    }
    let fresh = scratch.join("root.cpio");
    fs::write(&fresh, pack(&tree)?).with_context(|| format!("write {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("create {}", path.display()))
}

fn pack(tree: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.tree(tree, "")?;
    for (name, mode) in FOLDERS {
        archive.folder(name, mode)?;
    }
    // The kernel opens it for init before anything is mounted.
    archive.character_device("dev/console", 0o600, 5, 1)?;
    archive.symlink("bin/sh", "busybox")?;
    archive.file("etc/passwd", 0o644, PASSWD.as_bytes())?;
    archive.file("etc/group", 0o644, GROUP.as_bytes())?;
    archive.file("etc/hosts", 0o644, HOSTS.as_bytes())?;
    archive.finish()
}
