//! portwatch: why a connect() failed, which process asked, and for which destination.
//!
//! ARCHITECTURE.md tells which way data flows and what each module must not know; `cargo xtask check` holds the
//! imports against it.

pub mod capture;
pub mod cli;
pub mod clock;
pub mod decode;
pub mod diagnose;
pub mod enrich;
pub mod event;
pub mod http;
pub mod kernel;
pub mod lines;
pub mod pipeline;
pub mod ports;
pub mod privileges;
pub mod sink;
pub mod source;
pub mod term;
pub mod thread;
