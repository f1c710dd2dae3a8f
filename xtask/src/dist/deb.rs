//! The format of Debian packages, deb(5): an archive of ar with two compressed archives of tar.
//!
//! In: files, and what dpkg is to know. Out: the bytes of a package; for the same files always the same, whoever makes
//! it and where, with or without dpkg. Must not know: what is packaged.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

const FOLDER_MODE: u32 = 0o755;
/// What a header of tar has room for; longer names need extensions that dpkg does not all know.
const LONGEST_NAME: usize = 100;

/// Files by their paths, without a slash at the start.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Tree {
    /// Adds a file with these permissions.
    pub(super) fn file(&mut self, path: &str, mode: u32, contents: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), (mode, contents.into()));
    }

    /// What it takes on a disk, in KiB as dpkg counts them: each file rounded up, and one for each folder.
    pub(super) fn size_kib(&self) -> usize {
        let files: usize = self.files.values().map(|(_, contents)| contents.len().div_ceil(1024)).sum();
        files + self.folders().len()
    }

    /// The folders of all files, each before what is in it.
    fn folders(&self) -> Vec<&str> {
        let mut folders: Vec<&str> = self
            .files
            .keys()
            .flat_map(|path| path.match_indices('/').filter_map(|(end, _)| path.get(..end)))
            .collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    /// As tar, all of it root's, as of `time` (seconds since 1970).
    fn tar(&self, time: u64) -> Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        append(&mut archive, EntryType::Directory, "./", FOLDER_MODE, time, &[])?;
        for folder in self.folders() {
            append(&mut archive, EntryType::Directory, &format!("./{folder}/"), FOLDER_MODE, time, &[])?;
        }
        for (path, (mode, contents)) in &self.files {
            append(&mut archive, EntryType::Regular, &format!("./{path}"), *mode, time, contents)?;
        }
        archive.into_inner().context("end an archive of tar")
    }
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    kind: EntryType,
    name: &str,
    mode: u32,
    time: u64,
    contents: &[u8],
) -> Result<()> {
    let mut header = Header::new_gnu();
    ensure!(name.len() < LONGEST_NAME, "{name} is longer than a name in a package may be");
    // Not by `set_path`, which drops the point that dpkg's own packages begin with.
    let room = header.as_old_mut().name.iter_mut();
    room.zip(name.bytes()).for_each(|(room, byte)| *room = byte);
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root").and_then(|()| header.set_groupname("root")).context("name root")?;
    header.set_mtime(time);
    header.set_size(contents.len().try_into().context("a file is too large")?);
    header.set_cksum();
    archive.append(&header, contents).with_context(|| format!("pack {name}"))
}

/// Compressed as `gzip -9n` does it: nothing tells when, and of which file.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
    writer.write_all(bytes).and_then(|()| writer.finish()).context("compress")
}

/// A package with what dpkg is to know, and the files; all of it as of `time`, in seconds since 1970.
pub(super) fn package(control: &Tree, data: &Tree, time: u64) -> Result<Vec<u8>> {
    let control = gzip(&control.tar(time)?)?;
    let data = gzip(&data.tar(time)?)?;
    let mut package = b"!<arch>\n".to_vec();
    let members = [("debian-binary", b"2.0\n".to_vec()), ("control.tar.gz", control), ("data.tar.gz", data)];
    for (name, contents) in members {
        // Name, time, owner, group, mode, length: ar(5).
        writeln!(package, "{name:<16}{time:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 100_644, contents.len())
            .context("write the head of a member")?;
        package.extend(&contents);
        if contents.len() % 2 == 1 {
            package.push(b'\n');
        }
    }
    Ok(package)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Tree, package};
    use crate::process;

    const TIME: u64 = 1_767_225_600;

    fn small() -> Vec<u8> {
        let (mut control, mut data) = (Tree::default(), Tree::default());
        let text = "Package: small\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n";
        control.file("control", 0o644, text);
        data.file("usr/bin/small", 0o755, "#!/bin/sh\n");
        data.file("usr/share/doc/small/odd", 0o644, "1");
        assert_eq!(data.size_kib(), 2 + 5);
        package(&control, &data, TIME).unwrap()
    }

    #[test]
    fn the_same_files_make_the_same_package() {
        assert_eq!(small(), small());
    }

    #[test]
    fn dpkg_reads_it() {
        if !process::on_path("dpkg-deb") {
            println!("skipped: no dpkg-deb is installed here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("small.deb");
        std::fs::write(&path, small()).unwrap();
        let dpkg = |what| {
            process::capture(Command::new("dpkg-deb").env("TZ", "UTC").args([what]).arg(&path)).unwrap()
        };
        assert!(dpkg("--info").contains("Package: small"));
        let listed = dpkg("--contents");
        let lines: Vec<&str> = listed.lines().collect();
        let expected = [
            ("drwxr-xr-x root/root", "./"),
            ("drwxr-xr-x root/root", "./usr/"),
            ("drwxr-xr-x root/root", "./usr/bin/"),
            ("drwxr-xr-x root/root", "./usr/share/"),
            ("drwxr-xr-x root/root", "./usr/share/doc/"),
            ("drwxr-xr-x root/root", "./usr/share/doc/small/"),
            ("-rwxr-xr-x root/root", "./usr/bin/small"),
            ("-rw-r--r-- root/root", "./usr/share/doc/small/odd"),
        ];
        assert_eq!(lines.len(), expected.len(), "{listed}");
        for (line, (start, end)) in lines.iter().zip(expected) {
            assert!(line.starts_with(start) && line.ends_with(&format!(" 2026-01-01 00:00 {end}")), "{line}");
        }
    }
}
