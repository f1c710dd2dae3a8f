//! This side wants to close, and nobody answers: the kernel keeps the ports while it tries again.
//!
//! In: states. Out: how many wait. Must not know: other rules.

use super::{Evidence, Rule, weight_in_row};
use crate::diagnose::advice::{more_addresses, reach_the_peer};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::SocketState;

/// A FIN was sent and is not acknowledged (include/net/tcp_states.h).
const STATES: [SocketState; 3] = [SocketState::FinWait1, SocketState::LastAck, SocketState::Closing];

pub(super) const RULE: Rule = Rule {
    name: "unfinished-close",
    finds: "connections were closed here, and the other side does not acknowledge it: it is gone, or something drops packets",
    needs: "who holds the ports",
    check,
    advice: |facts| {
        [reach_the_peer(facts, SocketState::LastAck), more_addresses(facts)].into_iter().flatten().collect()
    },
    example: || {
        example::exhausted(&[
            (SocketState::FinWait1, 20_000),
            (SocketState::LastAck, 6_000),
            (SocketState::Established, 2_232),
        ])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let row = facts.short_row()?;
    let left = Facts::in_states(row, &STATES);
    Some(Evidence {
        weight_permille: weight_in_row(facts, row, left)?,
        sentence: format!(
            "{} of the {} {} are in FIN_WAIT1, LAST_ACK or CLOSING: the connections were closed here and the other side \
             does not acknowledge it; the kernel tries again, with longer and longer pauses, and keeps each port for a \
             minute or more",
            grouped(left),
            counted(row.usable, "port"),
            facts.path()
        ),
        fragment: format!("{} closed here and not acknowledged", counted(left, "port")),
    })
}
