//! UDP sockets have every port of an address, wherever they send.
//!
//! In: cause, protocol, row of UDP. Out: who has them. Must not know: other rules.

use super::{ALL_PERMILLE, Evidence, Rule, held_by, weight_in_row};
use crate::diagnose::advice::{everything_is_local, widen};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::{Protocol, SocketState};

pub(super) const RULE: Rule = Rule {
    name: "udp-sockets",
    finds: "UDP sockets have every port, and each has its own wherever it sends; the error is EAGAIN or EADDRINUSE",
    needs: "the cause udp_range_exhausted, or bind_range_exhausted of UDP, or before anything failed who holds the ports; the range",
    check,
    advice: |facts| [widen(facts), everything_is_local(facts)].into_iter().flatten().collect(),
    example: || Facts {
        cause: Some(Cause::UdpRangeExhausted),
        protocol: Protocol::Udp,
        destination: None,
        ..example::exhausted(&[(SocketState::Established, 28_232)])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    if !facts.lacks_udp_ports() {
        return None;
    }
    // Where each port is reserved, none has a socket.
    let choice = facts.choice().filter(|_| facts.offered() != Some(0))?;
    let row = facts.row.as_ref();
    let (weight_permille, found, fragment) = match row.filter(|_| facts.cause.is_none()) {
        None => (
            ALL_PERMILLE,
            format!("a UDP socket found none of the {choice} free on its address"),
            "UDP sockets have every port".to_owned(),
        ),
        Some(row) => (
            weight_in_row(facts, row, row.used)?,
            format!("UDP sockets have {} of the {choice}", grouped(row.used)),
            format!("{} of UDP taken", counted(row.used, "port")),
        ),
    };
    let who = row.map_or_else(String::new, |row| held_by(&row.holders));
    Some(Evidence {
        weight_permille,
        sentence: format!(
            "{found}: a UDP port is taken wherever its socket sends, so one socket for many requests serves better than \
             one for each{who}"
        ),
        fragment,
    })
}
