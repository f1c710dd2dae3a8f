//! A bind() asked for a port that another socket has: not a shortage of ports.
//!
//! In: cause, address and port, listeners. Out: whether somebody waits on it. Must not know: other rules.

use super::{ALL_PERMILLE, Evidence, Rule};
use crate::diagnose::advice::{find_who_has_it, reuse_address};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};
use crate::event::Protocol;

pub(super) const RULE: Rule = Rule {
    name: "port-clash",
    finds: "bind() asked for a port that another socket has; with --errno all or EADDRINUSE only",
    needs: "the cause port_taken, the address and port",
    check,
    advice: |facts| [find_who_has_it(facts), reuse_address(facts)].into_iter().flatten().collect(),
    example: || Facts {
        cause: Some(Cause::PortTaken),
        source: Some(([10, 0, 0, 1], 5432).into()),
        destination: None,
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let source = facts.source.filter(|_| facts.cause == Some(Cause::PortTaken))?;
    let (address, port) = (source.ip(), source.port());
    let who = match facts.is_listened_on(port) {
        Some(true) => ": a service waits on it",
        // Of UDP it is not known inside of the range.
        Some(false) if facts.protocol != Protocol::Udp => {
            ": nobody listens there now, so it is one that is bound, or a connection, perhaps in TIME_WAIT"
        }
        _ => "",
    };
    Some(Evidence {
        weight_permille: ALL_PERMILLE,
        sentence: format!(
            "bind() asked for port {port} of {address}, which another socket has{who}. Ports are not short"
        ),
        fragment: format!("port {port} is taken"),
    })
}
