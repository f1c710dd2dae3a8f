//! Where items go. One trait, one file a form; they never import each other.
//!
//! In: [`Item`]s, and [`Opinion`]s on them. Must not know: where items come from.

pub mod capture;
pub mod exec;
pub mod json;
pub mod metrics;
pub mod report;
pub mod text;
mod words;

use std::io;

pub use words::GroupBy;

use crate::diagnose::Opinion;
use crate::event::Item;

/// Shows or keeps items.
pub trait Sink {
    /// Takes the next item, and what is to be said of it: often nothing.
    ///
    /// # Errors
    /// When the output refuses; `BrokenPipe` means that nobody reads any more.
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()>;

    /// Makes everything taken so far visible.
    ///
    /// # Errors
    /// As for [`Sink::item`].
    fn flush(&mut self) -> io::Result<()>;
}
