//! Items as JSON Lines, schema 1 (`docs/json.md`), both ways: what `--json` prints, what captures hold.
//!
//! In: items, or lines. Out: lines, or items. Facts only, but for the name of the cause, which is written for those who
//! read lines without portwatch, and never read. Must not know: files, where lines come from and go to.

mod decode;
mod encode;
mod errnos;
mod escape;
mod time;
mod words;
mod write;

pub use decode::{Decoder, NoItem};
pub use encode::{Encoder, rows};
pub use escape::Visible;
pub use words::Word;

/// Readers depend on it; a change of meaning is a new number.
pub const SCHEMA: u32 = 1;

#[cfg(test)]
mod tests;
