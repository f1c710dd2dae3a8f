//! A bind() asked for any port, and the whole range is in use on its address.
//!
//! In: cause, protocol, range. Out: why the destination did not matter. Must not know: other rules.

use super::{ALL_PERMILLE, Evidence, Rule, held_by};
use crate::diagnose::advice::{bind_without_port, everything_is_local, widen};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};
use crate::event::Protocol;

pub(super) const RULE: Rule = Rule {
    name: "bind-before-connect",
    finds: "bind() with port 0 found none, as a bound port counts for every destination",
    needs: "the cause bind_range_exhausted, TCP, the range; who holds ports of the address",
    check,
    advice: |facts| {
        [bind_without_port(facts), widen(facts), everything_is_local(facts)].into_iter().flatten().collect()
    },
    example: || Facts {
        cause: Some(Cause::BindRangeExhausted),
        destination: None,
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    if facts.cause != Some(Cause::BindRangeExhausted) || facts.protocol == Protocol::Udp {
        return None;
    }
    // Where each port is reserved, none is in use.
    let choice = facts.choice().filter(|_| facts.offered() != Some(0))?;
    let address = facts.source.map_or_else(|| "its address".to_owned(), |source| source.ip().to_string());
    Some(Evidence {
        weight_permille: ALL_PERMILLE,
        sentence: format!(
            "bind() asked for any port of {address}, and each of the {choice} is in use there: a port that bind() \
             chooses counts for all destinations at once, by connections to anywhere too{}",
            facts.row.as_ref().map_or_else(String::new, |row| held_by(&row.holders))
        ),
        fragment: format!("bind() without IP_BIND_ADDRESS_NO_PORT needs one of {choice} for itself"),
    })
}
