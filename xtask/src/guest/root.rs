//! The guest's own files: a shell, a web server, a client, the network tools.
//!
//! In: programs from packages. Out: an archive in the cache, made once.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::archive::Archive;
use super::programs;

/// To be raised when [`pack`] changes.
const FORMAT: u32 = 1;
const PACKAGES: [&str; 5] = ["busybox-static", "nginx-light", "curl", "iproute2", "bash"];
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
    let decides = (FORMAT, FOLDERS, PASSWD, GROUP, HOSTS);
    programs::cached("root", &PACKAGES, decides, |unpacked| pack(&unpacked.tree))
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
