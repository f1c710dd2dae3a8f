//! What could be done, each piece checked against the facts before it is given.
//!
//! In: facts. Out: [`Advice`]: what helps here, what does not and why, and what circulates and harms. A piece whose
//! facts are missing is not given at all. Must not know: which rule asks.

mod addresses;
mod bind;
mod circulating;
mod ipv6;
mod program;
mod time_wait;
mod widen;

pub(super) use addresses::more_addresses;
pub(super) use bind::{bind_to_what_is_there, find_who_has_it, let_bind_to_anything, reuse_address};
pub(super) use circulating::{about_time_wait, everything_is_local};
pub(super) use ipv6::ipv6_source;
pub(super) use program::{
    bind_without_port, bound_the_attempts, bound_the_pool, close_at_the_end, reach_the_peer,
    reuse_connections, whole_range_on_socket, widen_own_range,
};
pub(super) use time_wait::take_over_time_wait;
pub(super) use widen::widen;

use super::facts::Facts;
use crate::event::Tgid;

/// One thing to do, or not to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// What.
    pub what: &'static str,
    /// Whether.
    pub standing: Standing,
}

/// What became of a piece of advice when it was held against the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It helps here.
    Helps {
        /// In which way.
        how: How,
        /// What comes of it, in numbers where they are known; begins with `if` where it depends on what cannot be seen.
        gain: String,
        /// What it costs or collides with.
        cost: Option<String>,
    },
    /// It brings nothing here.
    NotHere {
        /// Why.
        why: String,
    },
    /// It is often given and does harm, or nothing at all.
    Harms {
        /// What it does.
        why: String,
    },
}

/// In which way something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By this command, as root.
    Command(String),
    /// By these lines in the program.
    Code(&'static str),
    /// By arranging it so.
    Arrangement(String),
}

impl Advice {
    fn helps(what: &'static str, how: How, gain: String, cost: Option<String>) -> Self {
        Self { what, standing: Standing::Helps { how, gain, cost } }
    }

    fn not_here(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, standing: Standing::NotHere { why: why.into() } }
    }

    fn harms(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, standing: Standing::Harms { why: why.into() } }
    }
}

/// A command that sets something which each network namespace has for itself.
fn setting(facts: &Facts, assignment: &str) -> How {
    within(facts, &format!("sysctl -w {assignment}"))
}

/// A command that is run in the namespace; in words where no way into that is known, as one by a process that has ended
/// leads nowhere, or to another namespace.
fn within(facts: &Facts, command: &str) -> How {
    if facts.namespace_is_own || facts.namespace_is_hosts == Some(true) {
        return How::Command(command.to_owned());
    }
    if let Some(Tgid(pid)) = facts.inside {
        return How::Command(format!("nsenter -t {pid} -n {command}"));
    }
    let which = facts
        .netns
        .map_or_else(|| "its network namespace".to_owned(), |id| format!("network namespace {}", id.0));
    How::Arrangement(format!(
        "inside of {which} (`lsns -t net` names a process there, for nsenter): {command}"
    ))
}

#[cfg(test)]
mod tests;
