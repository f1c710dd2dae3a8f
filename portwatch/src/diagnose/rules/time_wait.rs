//! Short connections leave their ports in TIME_WAIT faster than these come back.
//!
//! In: states, rate, settings. Out: how many connects/s the ports can carry. Must not know: other rules.

use super::{Evidence, Rule, left_by, weight_in_row};
use crate::diagnose::advice::{
    about_time_wait, everything_is_local, more_addresses, reuse_connections, take_over_time_wait,
    whole_range_on_socket, widen,
};
use crate::diagnose::facts::{Facts, TIME_WAIT_S, example};
use crate::diagnose::figures::{counted, grouped, per_minute};
use crate::event::SocketState;

pub(super) const RULE: Rule = Rule {
    name: "time-wait",
    finds: "the ports are in TIME_WAIT, left by short connections",
    needs: "who holds the ports; before anything failed also tcp_tw_reuse and tcp_timestamps",
    check,
    advice: |facts| {
        let checked = [
            Some(reuse_connections(facts)),
            take_over_time_wait(facts),
            more_addresses(facts),
            widen(facts),
            whole_range_on_socket(facts),
        ];
        checked.into_iter().flatten().chain(about_time_wait()).chain(everything_is_local(facts)).collect()
    },
    example: || Facts {
        ends_per_minute: Some(27_900),
        failures_per_minute: Some(7_200),
        ..example::exhausted(&[(SocketState::TimeWait, 28_100), (SocketState::Established, 132)])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let row = facts.short_row()?;
    let waiting = Facts::in_states(row, &[SocketState::TimeWait]);
    let weight_permille = weight_in_row(facts, row, waiting)?;
    let reused = facts.reuses_time_wait();
    // Where they are taken over when somebody asks, there is no shortage before one is felt.
    if facts.cause.is_none() && reused != Some(false) {
        return None;
    }
    let refused =
        if facts.refused_time_wait().is_some() { ", although tcp_tw_reuse allows less" } else { "" };
    let most = match reused {
        _ if facts.waits_in_full() => format!(
            "; {} connects/s are the most {} can carry, as each waits {TIME_WAIT_S} s{refused}",
            per_minute(row.usable),
            counted(row.usable, "port")
        ),
        Some(true) => format!(
            "; tcp_tw_reuse would give them out again after {} ms, if both ends use timestamps",
            facts.reuse_delay().as_millis()
        ),
        Some(false) | None => String::new(),
    };
    let fails = facts.failures_per_minute.map_or_else(String::new, |rate| {
        format!(", and at least {} calls fail, retries included", per_minute(rate))
    });
    // A port that is taken over is counted once, however many connections it has had meanwhile.
    let at_least = if facts.waits_in_full() { "" } else { "at least " };
    let rate = facts.ends_per_minute.map_or_else(String::new, |rate| {
        format!("; {at_least}{} connections end in a second{fails}", per_minute(rate))
    });
    Some(Evidence {
        weight_permille,
        sentence: format!(
            "{} of the {} {} are in TIME_WAIT, left by connections that are over{}{rate}{most}",
            grouped(waiting),
            counted(row.usable, "port"),
            facts.path(),
            left_by(&row.holders)
        ),
        fragment: format!("{} in TIME_WAIT", counted(waiting, "port")),
    })
}
