//! Reserved ports leave little of the range.
//!
//! In: range, reserved ports. Out: how many are left. Must not know: other rules.

use super::{Evidence, Rule, weight};
use crate::diagnose::advice::{everything_is_local, widen};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::PortRange;

pub(super) const RULE: Rule = Rule {
    name: "reserved-ports",
    finds: "net.ipv4.ip_local_reserved_ports takes much of the range",
    needs: "a shortage of ports, the range, the reserved ports",
    check,
    advice: |facts| [widen(facts), everything_is_local(facts)].into_iter().flatten().collect(),
    example: || Facts {
        reserved: Some(vec![PortRange { low: 33000, high: 59999 }]),
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let range = facts.range.filter(|_| facts.lacks_ports())?;
    let reserved = facts.reserved_within(range)?;
    Some(Evidence {
        weight_permille: weight(reserved, range.width())?,
        sentence: format!(
            "{} of the {} of {} are reserved (net.ipv4.ip_local_reserved_ports): the kernel may choose among {}; \
             what no service needs may be taken out of it",
            grouped(reserved),
            counted(range.width(), "port"),
            range,
            grouped(range.width() - reserved)
        ),
        fragment: format!("{} reserved", counted(reserved, "port")),
    })
}
