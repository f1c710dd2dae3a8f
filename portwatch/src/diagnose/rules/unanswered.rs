//! The destination does not answer, and attempts pile up.
//!
//! In: states, holders. Out: how many attempts wait. Must not know: other rules.

use super::{Evidence, Rule, held_by, weight_in_row};
use crate::diagnose::advice::{bound_the_attempts, reach_the_peer};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::SocketState;

pub(super) const RULE: Rule = Rule {
    name: "unanswered",
    finds: "the destination does not answer, and attempts to connect pile up",
    needs: "who holds the ports",
    check,
    advice: |facts| {
        [reach_the_peer(facts, SocketState::SynSent), bound_the_attempts(facts)]
            .into_iter()
            .flatten()
            .collect()
    },
    example: || example::exhausted(&[(SocketState::SynSent, 28_232)]),
};

fn check(facts: &Facts) -> Option<Evidence> {
    let row = facts.short_row()?;
    let waiting = Facts::in_states(row, &[SocketState::SynSent]);
    Some(Evidence {
        weight_permille: weight_in_row(facts, row, waiting)?,
        sentence: format!(
            "{} of the {} {} are in SYN_SENT: the destination has not answered, and each attempt keeps its port until it \
             is given up{}",
            grouped(waiting),
            counted(row.usable, "port"),
            facts.path(),
            held_by(&row.holders)
        ),
        fragment: counted(waiting, "unanswered attempt"),
    })
}
