//! What facts mean. Pure: no I/O, no clock.
//!
//! In: a [`crate::event::Fault`], [`Facts`] about one shortage, or every item as it goes by. Out: opinions, computed
//! whenever they are needed and never stored: a [`Cause`], every [`Diagnosis`] that explains the shortage, with advice
//! that fits this host, and what is to be expected.

mod advice;
mod cause;
mod document;
mod facts;
mod figures;
mod forecast;
mod observer;
mod path;
mod pressure;
mod rules;
mod slowness;
mod trouble;
mod verdict;

pub use advice::{Advice, How, Standing};
pub use cause::{Cause, cause};
pub use document::document;
pub use facts::Facts;
pub(crate) use figures::{counted, grouped, lasting};
pub use forecast::Forecast;
pub use observer::{Observer, Opinion, Pressure, Sight, Verdict, Warn};
pub use path::Path;
pub use rules::{Evidence, RULES, Rule};
pub use slowness::Slowness;
pub use verdict::{Diagnosis, verdict};
