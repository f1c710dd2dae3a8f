//! Open connections hold the ports: a leak, or a pool without a bound.
//!
//! In: states, holders, age. Out: who has how many. Must not know: other rules.

use std::time::Duration;

use super::{Evidence, Rule, called, held_by, only_process, process, weight_in_row};
use crate::diagnose::advice::{
    bound_the_pool, everything_is_local, more_addresses, whole_range_on_socket, widen,
};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped, lasting};
use crate::event::{Holding, Occupancy, Process, SocketState};

pub(super) const RULE: Rule = Rule {
    name: "live-connections",
    finds: "open connections have the ports: a leak, or a pool without a bound",
    needs: "who holds the ports",
    check,
    advice: |facts| {
        [
            bound_the_pool(facts),
            more_addresses(facts),
            widen(facts),
            whole_range_on_socket(facts),
            everything_is_local(facts),
        ]
        .into_iter()
        .flatten()
        .collect()
    },
    example: || Facts {
        open_for: Some(Duration::from_secs(7_500)),
        ..example::exhausted(&[(SocketState::Established, 28_200), (SocketState::TimeWait, 32)])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let row = facts.short_row()?;
    let open = Facts::in_states(row, &[SocketState::Established]);
    let age =
        facts.open_for.map_or_else(String::new, |age| format!(", the oldest for {} or longer", lasting(age)));
    Some(Evidence {
        weight_permille: weight_in_row(facts, row, open)?,
        sentence: format!(
            "{} of the {} {} belong to open connections{age}: a leak, or a pool without a bound{}{}",
            grouped(open),
            counted(row.usable, "port"),
            facts.path(),
            held_by(&row.holders),
            since_its_start(facts, row)
        ),
        fragment: counted(open, "open connection"),
    })
}

/// How long they had to open them, as far as it is known; a clause to append.
fn since_its_start(facts: &Facts, row: &Occupancy) -> String {
    let age = |process: &Process| {
        let start = Some(process.start.0).filter(|start| *start != 0)?;
        Some(lasting(Duration::from_nanos(facts.at?.0.checked_sub(start)?)))
    };
    if let Some(only) = only_process(row) {
        return age(only).map_or_else(String::new, |age| format!(", and was started {age} ago"));
    }
    let has_open = |holding: &&Holding| holding.count > holding.time_wait;
    let known = row.holders.iter().filter(has_open).filter_map(process);
    let first = known.filter(|process| process.start.0 != 0).min_by_key(|process| process.start);
    let Some((first, age)) = first.and_then(|first| Some((first, age(first)?))) else { return String::new() };
    let is_all = row.holders.iter().filter(has_open).all(|holding| process(holding).is_some());
    let among = if is_all { "them" } else { "those known" };
    format!("; the first of {among}, {}, was started {age} ago", called(first))
}
