//! What facts mean. Pure: no I/O, no clock.
//!
//! In: a [`crate::event::Fault`], or [`Facts`] about one shortage. Out: opinions, computed whenever they are needed and
//! never stored: a [`Cause`], or every [`Diagnosis`] that explains the shortage, with advice that fits this host.

mod advice;
mod cause;
mod document;
mod facts;
mod figures;
mod rules;
mod verdict;

pub use advice::{Advice, How, Standing};
pub use cause::{Cause, cause};
pub use document::document;
pub use facts::{Facts, HostSettings};
pub use rules::{Evidence, RULES, Rule};
pub use verdict::{Diagnosis, verdict};
