//! Writing the guest's files as the kernel unpacks them at boot: a "newc" cpio archive, not compressed, because
//! unpacking runs on an emulated processor.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

/// The kernel looks for a further archive at a multiple of four bytes; whole blocks are what other tools leave.
const BLOCK: usize = 512;

/// An archive in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder.
    pub(crate) fn folder(&mut self, name: &str, mode: u32) -> Result<()> {
        let builder = Builder::new(name).mode(mode).set_mode_file_type(ModeFileType::Directory);
        self.entry(builder, &[])
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        let builder = Builder::new(name).mode(mode).set_mode_file_type(ModeFileType::Regular);
        self.entry(builder, contents)
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, name: &str, target: &str) -> Result<()> {
        let builder = Builder::new(name).mode(0o777).set_mode_file_type(ModeFileType::Symlink);
        self.entry(builder, target.as_bytes())
    }

    /// Adds a character device.
    pub(crate) fn character_device(&mut self, name: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        let builder = Builder::new(name).mode(mode).set_mode_file_type(ModeFileType::Char);
        self.entry(builder.rdev_major(major).rdev_minor(minor), &[])
    }

    /// Adds what is in `folder`, below `prefix` (empty, or with a slash at its end).
    pub(crate) fn tree(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let mut entries = fs::read_dir(folder)
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .with_context(|| format!("read {}", folder.display()))?;
        // The same files shall give the same archive.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            self.found(&path, &name).with_context(|| format!("pack {}", path.display()))?;
        }
        Ok(())
    }

    fn found(&mut self, path: &Path, name: &str) -> Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let (kind, mode) = (metadata.file_type(), metadata.permissions().mode());
        if kind.is_dir() {
            self.folder(name, mode)?;
            return self.tree(path, &format!("{name}/"));
        }
        if kind.is_symlink() {
            return self.symlink(name, &fs::read_link(path)?.to_string_lossy());
        }
        anyhow::ensure!(
            !kind.is_fifo() && !kind.is_socket() && !kind.is_char_device(),
            "not a file, folder or link"
        );
        self.file(name, mode, &fs::read(path)?)
    }

    /// The archive, to be followed by another one if need be.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        let mut bytes = trailer(self.bytes).context("end an archive")?;
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        Ok(bytes)
    }

    fn entry(&mut self, builder: Builder, contents: &[u8]) -> Result<()> {
        self.entries += 1;
        let size = u32::try_from(contents.len()).context("a file of 4 GiB does not fit in an archive")?;
        let mut writer = builder.ino(self.entries).write(&mut self.bytes, size);
        writer.write_all(contents)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;

    #[test]
    fn what_went_in_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::write(folder.path().join("bin/tool"), "12345").unwrap();
        fs::set_permissions(folder.path().join("bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::symlink("bin/tool", folder.path().join("link")).unwrap();
        let mut archive = Archive::default();
        archive.tree(folder.path(), "").unwrap();
        archive.character_device("dev/console", 0o600, 5, 1).unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);

        let mut rest = bytes.as_slice();
        let mut seen = Vec::new();
        loop {
            let reader = Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                break;
            }
            let mut contents = Vec::new();
            rest = reader.to_writer(&mut contents).unwrap();
            seen.push((entry.name().to_owned(), entry.mode(), String::from_utf8(contents).unwrap()));
        }
        let names: Vec<_> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["bin", "bin/tool", "link", "dev/console"]);
        assert_eq!((seen[1].1, seen[1].2.as_str()), (0o104_755, "12345"));
        assert_eq!((seen[2].1, seen[2].2.as_str()), (0o120_777, "bin/tool"));
        assert_eq!(seen[3].1, 0o020_600);
    }
}
