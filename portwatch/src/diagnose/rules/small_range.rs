//! The range is smaller than what Linux begins with.
//!
//! In: range. Out: by how much. Must not know: other rules.

use super::{Evidence, Rule, weight};
use crate::diagnose::advice::{everything_is_local, widen};
use crate::diagnose::facts::{Facts, example, example::DEFAULT_RANGE};
use crate::diagnose::figures::counted;
use crate::event::SocketState;

pub(super) const RULE: Rule = Rule {
    name: "small-range",
    finds: "net.ipv4.ip_local_port_range is much smaller than the default of 28,232 ports",
    needs: "a shortage of ports, the range",
    check,
    advice: |facts| [widen(facts), everything_is_local(facts)].into_iter().flatten().collect(),
    example: || example::shared_range(40_000, 40_999, [SocketState::Established, SocketState::TimeWait]),
};

fn check(facts: &Facts) -> Option<Evidence> {
    let range = facts.range.filter(|_| facts.lacks_ports() && facts.wider_on_host().is_none())?;
    let missing = DEFAULT_RANGE.width().saturating_sub(range.width());
    Some(Evidence {
        weight_permille: weight(missing, DEFAULT_RANGE.width())?,
        sentence: format!(
            "net.ipv4.ip_local_port_range is {}: {} for {}, where Linux begins with {}",
            range,
            counted(range.width(), "port"),
            facts.whose(),
            counted(DEFAULT_RANGE.width(), "port")
        ),
        fragment: format!("the range has {}", counted(range.width(), "port")),
    })
}
