//! Before captures are read, which may be anybody's: all else is given up.

use std::path::PathBuf;

use anyhow::Result;

use crate::capture::Files;
use crate::privileges::{self, Duty};

/// The captures that were named, and those in folders that were.
///
/// # Errors
/// When one is not there.
pub(super) fn find(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    // A link in a folder leads to a file elsewhere, so its files are named, too.
    Ok([named, &Files::find(named)?.paths].concat())
}

/// From here on this thread, and those that it starts, read these and write to what is open.
pub(super) fn confine(found: &[PathBuf]) {
    privileges::confine(&Duty::Read(found));
}
