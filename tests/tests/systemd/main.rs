//! The Debian package and its unit where systemd is the first process. `cargo xtask test` boots such guests, and runs this
//! file in each as a unit, guest.service.
//!
//! Starting takes seconds where all is emulated, so the unit goes on from test to test where that does not matter; each has
//! units of its own whose failures it counts.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

mod confinement;
mod host;
mod lifetime;
mod package;
mod recording;
