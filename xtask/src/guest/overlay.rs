//! The files that one job adds to the guest.
//!
//! In: programs and texts of the checkout, environment variables. Out: an archive with them, with init, and with
//! the job's script as `/command`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::Terminal;
use super::archive::Archive;
use crate::process::quoted;

const INIT: &str = include_str!("../../guest/init");
/// Has init run again, where systemd has taken its place.
const UNIT: &str = include_str!("../../guest/guest.service");
const UNIT_NAME: &str = "etc/systemd/system/guest.service";
const FOLDERS: [&str; 4] = ["etc/portwatch", "etc/systemd", "etc/systemd/system", "modules"];
const EXECUTABLE: u32 = 0o755;
const TEXT: u32 = 0o644;

/// Files and environment of a job.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    archives: Vec<PathBuf>,
    files: Vec<(String, u32, Vec<u8>)>,
    environment: Vec<(String, String)>,
}

impl Overlay {
    /// Adds the program `from` as `name`, without a slash at its start, and tells where it is in the variable
    /// `variable`.
    pub(crate) fn program(&mut self, name: &str, from: &Path, variable: &str) -> Result<()> {
        let contents = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        self.files.push((name.to_owned(), EXECUTABLE, contents));
        self.environment.push((variable.to_owned(), format!("/{name}")));
        Ok(())
    }

    /// Adds a script that can be run.
    pub(crate) fn script(&mut self, name: &str, contents: &str) {
        self.files.push((name.to_owned(), EXECUTABLE, contents.into()));
    }

    /// Adds a file to read.
    pub(crate) fn text(&mut self, name: &str, contents: &str) {
        self.files.push((name.to_owned(), TEXT, contents.into()));
    }

    /// Adds the modules in `files`, and returns the line of a script that loads them in their order.
    pub(crate) fn modules(&mut self, files: &[PathBuf]) -> Result<String> {
        let mut line = String::new();
        for file in files {
            let contents = fs::read(file).with_context(|| format!("read {}", file.display()))?;
            let name = format!("modules/{}", file.file_name().unwrap_or_default().to_string_lossy());
            line.push_str(&format!("insmod {}\n", quoted(&format!("/{name}"))));
            self.files.push((name, TEXT, contents));
        }
        Ok(line)
    }

    /// Adds what is in an archive.
    pub(crate) fn archive(&mut self, path: PathBuf) {
        self.archives.push(path);
    }

    /// Sets an environment variable for the job's script.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The archive; several of them behind each other, if archives were added.
    pub(super) fn pack(mut self, script: &str, terminal: Terminal) -> Result<Vec<u8>> {
        let exports =
            self.environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        let command: String = exports.chain([script.to_owned()]).collect();
        self.script("init", INIT);
        self.text(UNIT_NAME, UNIT);
        self.text("command", &command);
        self.text(
            "terminal",
            match terminal {
                Terminal::Log | Terminal::Tests | Terminal::Progress => "log",
                Terminal::Shell => "shell",
            },
        );
        let mut archive = Archive::default();
        for folder in FOLDERS {
            archive.folder(folder, EXECUTABLE)?;
        }
        for (name, mode, contents) in &self.files {
            archive.file(name, *mode, contents)?;
        }
        let mut bytes = Vec::new();
        for path in &self.archives {
            bytes.extend(fs::read(path).with_context(|| format!("read {}", path.display()))?);
        }
        bytes.extend(archive.finish()?);
        Ok(bytes)
    }
}
