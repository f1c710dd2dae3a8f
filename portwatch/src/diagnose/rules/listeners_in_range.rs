//! Services listen on ports of the range.
//!
//! In: range, listeners. Out: how many overlap. Must not know: other rules.

use super::{Evidence, Rule, weight};
use crate::diagnose::advice::{everything_is_local, widen};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::{Occupancy, SocketState};

pub(super) const RULE: Rule = Rule {
    name: "listeners-in-range",
    finds: "services listen on ports of the range, which no connect() gets then",
    needs: "a shortage of TCP ports, the range, listeners, reserved ports",
    check,
    advice: |facts| [widen(facts), everything_is_local(facts)].into_iter().flatten().collect(),
    example: || {
        let states = [(SocketState::Established, 6_600), (SocketState::TimeWait, 6_632)];
        Facts {
            bound_by_others: Some(15_000),
            listeners: Some((40_000..55_000).collect()),
            row: Some(Occupancy { usable: 13_232, ..example::row(&states) }),
            ..example::exhausted(&[])
        }
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let range = facts.range.filter(|_| facts.is_short())?;
    let inside = facts.listeners_inside()?;
    Some(Evidence {
        weight_permille: weight(inside, range.width())?,
        sentence: format!(
            "services listen on {} of the {} of {}: no connect() gets one of them, wherever it goes; let range and \
             services' ports not overlap",
            grouped(inside),
            counted(range.width(), "port"),
            range
        ),
        fragment: format!("{} inside of the range", counted(inside, "listener")),
    })
}
