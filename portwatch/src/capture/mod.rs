//! Capture files: lines in checksummed Zstandard frames (`docs/capture-format.md`).
//!
//! In: lines to keep, or files to read. Out: files, or the lines of frames that are whole. Must not know: what lines
//! mean.
//!
//! Writing: [`Target`] says where to, a [`Recorder`] takes lines, a [`Sealer`] keeps what there is from being rotated
//! away. Reading: [`Files`] finds captures, a [`Reader`] hands out their lines and says what is damaged.

mod copying;
mod decoder;
mod files;
mod frame;
mod input;
mod part;
mod pool;
mod reader;
mod recorder;
mod seal;
mod store;
mod target;
#[cfg(test)]
mod tests;
mod unpacker;
mod waiting;
mod writer;

pub use files::{Files, FindError, STDIN};
pub use reader::{Chunk, Damage, DamageKind, OpenError, Reader};
pub use recorder::{Loss, Outcome, Recorder, Sealer, State};
pub use target::{Keep, Target, TargetError};

/// How the names of captures end: of JSON Lines in Zstandard frames.
pub const ENDING: &str = ".jsonl.zst";

/// The name of a part of a recording in a folder. As many digits as make names sort for 999,999 parts, which take years.
fn part_name(number: u32) -> String {
    format!("{number:06}{ENDING}")
}

/// The number of a part with this name; none where it is no part's.
fn part_number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(ENDING)?;
    let number = digits.parse().ok()?;
    // Nothing but what a recorder writes: no `+1`, no `1`.
    (part_name(number) == name).then_some(number)
}
