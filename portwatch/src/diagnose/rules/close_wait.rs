//! The other side has closed, and the program here does not.
//!
//! In: states, holders. Out: who does not close. Must not know: other rules.

use super::{Evidence, Rule, called, held_by, only_process, weight_in_row};
use crate::diagnose::advice::close_at_the_end;
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::SocketState;

pub(super) const RULE: Rule = Rule {
    name: "close-wait",
    finds: "the other side has closed the connections and the local process keeps its sockets: a leak there",
    needs: "who holds the ports",
    check,
    advice: |facts| close_at_the_end(facts, SocketState::CloseWait).into_iter().collect(),
    example: || example::exhausted(&[(SocketState::CloseWait, 27_000), (SocketState::Established, 1_232)]),
};

fn check(facts: &Facts) -> Option<Evidence> {
    let row = facts.short_row()?;
    let left = Facts::in_states(row, &[SocketState::CloseWait]);
    let who = match only_process(row) {
        Some(process) => format!("{} has not", called(process)),
        // Which of several has those in this state is not known.
        None => format!("the process here has not{}", held_by(&row.holders)),
    };
    Some(Evidence {
        weight_permille: weight_in_row(facts, row, left)?,
        sentence: format!(
            "{} of the {} {} are in CLOSE_WAIT: the other side has closed, {who}; they stay until it does, and no \
             setting ends them",
            grouped(left),
            counted(row.usable, "port"),
            facts.path()
        ),
        fragment: format!("{} in CLOSE_WAIT", counted(left, "port")),
    })
}
