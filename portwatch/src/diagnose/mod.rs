//! What facts mean. Pure: no I/O, no clock.
//!
//! In: a [`crate::event::Fault`]. Out: opinions, computed whenever they are needed and never stored.

mod cause;

pub use cause::{Cause, cause};
