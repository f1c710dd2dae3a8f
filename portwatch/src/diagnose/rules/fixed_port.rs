//! The socket was bound to a port, and its connection exists already.
//!
//! In: cause, source with port, destination. Out: which connection. Must not know: other rules.

use super::{ALL_PERMILLE, Evidence, Rule};
use crate::diagnose::advice::bind_without_port;
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};

pub(super) const RULE: Rule = Rule {
    name: "fixed-port",
    finds: "the socket's own port and the destination make a connection that exists already",
    needs: "the cause tuple_in_use, source with its port, destination",
    check,
    advice: |facts| bind_without_port(facts).into_iter().collect(),
    example: || {
        let facts = example::exhausted(&[]);
        let mut source = facts.source;
        if let Some(source) = &mut source {
            source.set_port(41000);
        }
        Facts { cause: Some(Cause::TupleInUse), source, row: None, ..facts }
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    if facts.cause != Some(Cause::TupleInUse) {
        return None;
    }
    let source = facts.source.filter(|source| source.port() != 0)?;
    let destination = facts.destination?;
    Some(Evidence {
        weight_permille: ALL_PERMILLE,
        sentence: format!(
            "the socket was bound to port {}, and a connection from {source} to {destination} exists already, in \
             whatever state: no other port was tried",
            source.port()
        ),
        fragment: format!("port {} is taken for this destination", source.port()),
    })
}
