//! Ports were short, and when one looked they were not.
//!
//! In: cause, row, what is usable. Out: what may have had them. Must not know: other rules.
//!
//! A socket that was bound before connect() looks like any other connection to sock_diag, but its port is refused to
//! every connect() (`__inet_hash_connect`, net/ipv4/inet_hashtables.c). Before Linux 6.8 sockets that are bound only are
//! not shown at all.

use super::{Evidence, Rule, weight};
use crate::diagnose::advice::bind_without_port;
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped};
use crate::event::SocketState;

pub(super) const RULE: Rule = Rule {
    name: "unseen-holders",
    finds: "far fewer ports are seen taken than would explain the failure",
    needs: "the cause range_exhausted, the range, reserved ports, how many are bound; who holds the ports",
    check,
    // Only where somebody is seen to bind.
    advice: |facts| {
        facts.bound_only().filter(|bound| *bound > 0).and(bind_without_port(facts)).into_iter().collect()
    },
    example: || example::exhausted(&[(SocketState::Established, 12)]),
};

fn check(facts: &Facts) -> Option<Evidence> {
    if facts.cause != Some(Cause::RangeExhausted) || facts.narrowed().is_some() {
        return None;
    }
    // Whoever looked has counted these.
    facts.bound_by_others?;
    let range = facts.range?;
    let (used, usable) = (facts.row.as_ref().map_or(0, |row| row.used), facts.usable()?);
    // Of an odd number the kernel leaves out one in each search, unless there is no other.
    let left_out = if range.width() > 1 { range.width() % 2 } else { 0 };
    let missing = usable.saturating_sub(used + left_out);
    let hidden = if facts.bound_visible == Some(false) {
        "; this kernel does not show sockets that are bound only, which may have them, too (Linux 6.8 and newer do): if \
         that is so, IP_BIND_ADDRESS_NO_PORT helps"
    } else {
        ""
    };
    Some(Evidence {
        weight_permille: weight(missing, range.width())?,
        sentence: format!(
            "only {} of {} {} were seen taken: the others came back before portwatch looked, or belong to sockets that \
             were bound before they connected, to wherever, whose ports no connect() gets{hidden}",
            grouped(used),
            counted(usable, "port"),
            facts.path()
        ),
        fragment: format!("only {} seen taken", counted(used, "port")),
    })
}
