//! What only a kernel can answer. `cargo xtask test` boots guests and runs this file in each.
//!
//! Each test enters a network namespace of its own. Expected counts come from the load generator's own tally.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

mod attribution;
mod captures;
mod causes;
mod churn;
mod confinement;
mod container;
mod curl;
mod doctor;
mod environments;
mod filters;
mod holders;
mod kills;
mod losses;
mod memory;
mod metrics;
mod names;
mod package;
mod ports;
mod privileges;
mod refusals;
mod runtimes;
mod scale;
mod session;
mod settings;
mod shortages;
mod storms;
mod tables;
mod text;
mod verdicts;
mod warnings;
mod ways;
mod within_integrity;
mod within_lockdown;
