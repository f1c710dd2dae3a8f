//! Sockets of others are bound to ports of the range.
//!
//! In: how many ports are bound, listeners. Out: who has them. Must not know: other rules.
//!
//! `__inet_hash_connect` (net/ipv4/inet_hashtables.c) passes over every port that a socket was bound to, whatever its
//! address.

use super::{Evidence, Rule, held_by, weight};
use crate::diagnose::advice::{bind_without_port, everything_is_local, widen};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};

pub(super) const RULE: Rule = Rule {
    name: "foreign-binds",
    finds: "sockets that are bound and do not listen have ports of the range, which no connect() gets then",
    needs: "a shortage of TCP ports, the range, how many are bound, listeners, reserved ports",
    check,
    advice: |facts| {
        [bind_without_port(facts), widen(facts), everything_is_local(facts)].into_iter().flatten().collect()
    },
    example: || Facts {
        bound_by_others: Some(27_000),
        binders: vec![example::holding("proxy", 955, 27_000)],
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let range = facts.range.filter(|_| facts.is_short())?;
    let bound = facts.bound_only()?;
    Some(Evidence {
        weight_permille: weight(bound, range.width())?,
        sentence: format!(
            "{} of the {} of {} have a socket that is bound and does not listen: no connect() gets one of them, \
             wherever it goes and whatever address they are bound to{}",
            grouped(bound),
            counted(range.width(), "port"),
            range,
            held_by(&facts.binders)
        ),
        fragment: format!("{} bound by others", counted(bound, "port")),
    })
}
