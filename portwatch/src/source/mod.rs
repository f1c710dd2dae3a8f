//! Where items come from.
//!
//! In: the kernel, now; a capture file, later. Out: [`Item`]s, first a start, last an end; or snapshots only. Must not
//! know: what items mean, who shows them.

mod clocks;
pub mod live;
mod memory;
mod own_settings;
pub mod replay;
pub mod snapshots;
mod survey;

use anyhow::Result;

use crate::event::Item;

/// How watching is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody waits for it.
    AtOnce,
    /// All that was asked for is there.
    InTime,
}

/// Yields items until there are no more.
pub trait Source {
    /// The next item, waiting for it; none after the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Item>>>;

    /// Whether the next item is there already, so that showing this one may wait for it.
    fn has_more(&self) -> bool;
}
