//! What the end-to-end tests share: a place of their own to fail in, a portwatch to watch them, and the contract that
//! its output is held against.

pub mod churn;
pub mod contract;
pub mod evenly;
pub mod netns;
pub mod portwatch;
pub mod scrape;
pub mod tally;
pub mod wire;

/// Whether the running kernel is at least that one.
#[must_use]
pub fn kernel_is_since(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}
