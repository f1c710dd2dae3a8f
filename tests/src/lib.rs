//! What the end-to-end tests share: a place of their own to fail in, a portwatch to watch them, and the contract that
//! its output is held against.

pub mod churn;
pub mod contract;
pub mod netns;
pub mod portwatch;
pub mod tally;
