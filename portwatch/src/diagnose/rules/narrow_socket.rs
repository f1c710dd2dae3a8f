//! The socket itself allows only a part of the range.
//!
//! In: cause, range, the socket's own. Out: what that leaves. Must not know: other rules.

use super::{Evidence, Rule, weight};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::PortRange;

pub(super) const RULE: Rule = Rule {
    name: "narrow-socket",
    finds: "the program narrowed its socket's range with IP_LOCAL_PORT_RANGE",
    needs: "a call that found no port, the range, the socket's own range",
    check,
    advice: |_| Vec::new(),
    example: || Facts {
        own_range: Some(PortRange { low: 40000, high: 40099 }),
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let (range, left) = (facts.range?, facts.narrowed()?);
    facts.cause?;
    let without = range.width() - left.width();
    let weight_permille = weight(without, range.width()).filter(|_| facts.lacks_ports())?;
    Some(Evidence {
        weight_permille,
        sentence: format!(
            "the socket allows itself {} of the range's {}: IP_LOCAL_PORT_RANGE leaves {} of {}; the program must \
             widen that, as settings do not",
            grouped(left.width()),
            counted(range.width(), "port"),
            left,
            range
        ),
        fragment: format!("the socket's own range has {}", counted(left.width(), "port")),
    })
}
