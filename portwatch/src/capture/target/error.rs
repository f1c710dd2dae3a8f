//! Why a recording cannot go where it was to go.
//!
//! In: what was found there. Out: sentences, with what can be done about it. Must not know: how it was found.

use std::io;
use std::path::PathBuf;

/// Why a recording cannot go there.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It does not end in a name.
    #[error("record to {}: this names no file", .0.display())]
    NoName(PathBuf),
    /// The folder it would be in cannot be opened, or not be written.
    #[error("record to {}: open the folder {}: {error}", path.display(), folder.display())]
    Folder {
        /// What was asked for.
        path: PathBuf,
        /// The folder it would be in.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Others can put something else in the place of files in this folder.
    #[error(
        "record to {}: others may write to the folder {} (mode {mode:04o})\n\
         hint: `chmod go-w` on the folder, or choose another one",
        path.display(), folder.display()
    )]
    WritableByOthers {
        /// What was asked for.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Whoever owns the folder can put something else in the place of files in it.
    #[error(
        "record to {}: the folder {} belongs to another user (uid {uid})\n\
         hint: choose a folder of root or of your own",
        path.display(), folder.display()
    )]
    OfAnother {
        /// What was asked for.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// There is a capture.
    #[error("record to {}: the file exists\nhint: --force replaces it when recording begins", .0.display())]
    FileExists(PathBuf),
    /// Two would delete each other's parts.
    #[error("record to {}: another recording goes there", .0.display())]
    InUse(PathBuf),
    /// Something else has that name.
    #[error("record to {}: this is {what}, and recordings go to {wanted}", path.display())]
    Other {
        /// What was asked for.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What would do.
        wanted: &'static str,
    },
    /// A call failed.
    #[error("record to {}: {doing}: {error}", path.display())]
    Failed {
        /// What was asked for.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What came of it.
        error: io::Error,
    },
}
