//! Which files are to be read.
//!
//! In: files and folders. Out: files, in the order in which they are read. Must not know: what they hold.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::ENDING;

/// Stands for standard input.
pub const STDIN: &str = "-";

/// How the names of lines without compression end.
const PLAIN_ENDING: &str = ".jsonl";

/// Captures, in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Their paths; `-` is stdin.
    pub paths: Vec<PathBuf>,
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It cannot be looked at.
    #[error("read the capture {}: {error}", path.display())]
    Failed {
        /// What was asked for.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is no capture in the folder.
    #[error("read the captures in {}: none is there whose name ends in {ENDING} or {PLAIN_ENDING}", .0.display())]
    EmptyFolder(PathBuf),
}

impl Files {
    /// Files stand for themselves, folders for the captures that are directly in them, `-` for stdin.
    ///
    /// # Errors
    /// When there is nothing of that name, or no capture in a folder.
    pub fn find(paths: &[PathBuf]) -> Result<Self, FindError> {
        let mut found = Vec::new();
        for path in paths {
            let failed = |error| FindError::Failed { path: path.clone(), error };
            if path.as_path() == Path::new(STDIN) || !path.metadata().map_err(failed)?.is_dir() {
                found.push(path.clone());
                continue;
            }
            let mut captures = in_folder(path).map_err(failed)?;
            if captures.is_empty() {
                return Err(FindError::EmptyFolder(path.clone()));
            }
            captures.sort_by_cached_key(|path| order(path));
            found.append(&mut captures);
        }
        Ok(Self { paths: found })
    }
}

fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_encoded_bytes();
        let is_capture = name.ends_with(ENDING.as_bytes()) || name.ends_with(PLAIN_ENDING.as_bytes());
        // Links in it are followed; folders of sealed parts hold what is here already.
        if is_capture && entry.path().is_file() {
            captures.push(entry.path());
        }
    }
    Ok(captures)
}

/// By name; parts by their number, which may have more digits than six.
fn order(path: &Path) -> (Option<u32>, OsString) {
    let name = path.file_name().unwrap_or_default();
    (name.to_str().and_then(super::part_number), name.to_owned())
}
