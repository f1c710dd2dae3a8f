//! This side has closed, and the peer does not: it has the leak.
//!
//! In: states. Out: where the leak is. Must not know: other rules.
//!
//! A socket that its process has closed waits in FIN_WAIT2 for `tcp_fin_timeout` at most, most of the time as the kernel's
//! small socket of TIME_WAIT in this state (`tcp_rcv_state_process`, net/ipv4/tcp_input.c); one that is shut down for writing,
//! and open, for ever.

use super::{Evidence, Rule, weight_in_row};
use crate::diagnose::advice::{close_at_the_end, more_addresses};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::SocketState;

pub(super) const RULE: Rule = Rule {
    name: "peer-keeps-open",
    finds: "this side has closed the connections and the peer does not (CLOSE_WAIT over there): a leak of the peer",
    needs: "who holds the ports",
    check,
    advice: |facts| {
        [close_at_the_end(facts, SocketState::FinWait2), more_addresses(facts)]
            .into_iter()
            .flatten()
            .collect()
    },
    example: || example::exhausted(&[(SocketState::FinWait2, 20_000), (SocketState::Established, 8_232)]),
};

fn check(facts: &Facts) -> Option<Evidence> {
    let row = facts.short_row()?;
    let left = Facts::in_states(row, &[SocketState::FinWait2]);
    Some(Evidence {
        weight_permille: weight_in_row(facts, row, left)?,
        sentence: format!(
            "{} of the {} {} are in FIN_WAIT2: this side has closed, the peer knows and does not close; there they are \
             in CLOSE_WAIT; those that no process has open here end after net.ipv4.tcp_fin_timeout",
            grouped(left),
            counted(row.usable, "port"),
            facts.path()
        ),
        fragment: format!("{} in FIN_WAIT2", counted(left, "port")),
    })
}
