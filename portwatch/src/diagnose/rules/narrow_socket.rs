//! The socket itself allows only a part of the range.
//!
//! In: cause, range, the socket's own, what of it is reserved, the row. Out: what that leaves. Must not know: other rules.
//!
//! A row counts the ports of the whole range; which of them are the socket's own is not known, only the fewest that are.

use super::{Evidence, LEAST_PERMILLE, Rule};
use crate::diagnose::advice::{bound_the_pool, more_addresses, take_over_time_wait, widen_own_range};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::{counted, grouped, permille};
use crate::event::{Occupancy, PortRange, SocketState};

pub(super) const RULE: Rule = Rule {
    name: "narrow-socket",
    finds: "the program narrowed its socket's range with IP_LOCAL_PORT_RANGE",
    needs: "a call that found no port, the range, the socket's own range",
    check,
    advice: |facts| {
        let pool = may_have(facts, SocketState::Established).then(|| bound_the_pool(facts)).flatten();
        let reuse = may_have(facts, SocketState::TimeWait).then(|| take_over_time_wait(facts)).flatten();
        let addresses = || more_addresses(facts).filter(|_| facts.offered() != Some(0));
        [widen_own_range(facts), reuse, pool, addresses()].into_iter().flatten().collect()
    },
    example: || Facts {
        own_range: Some(PortRange { low: 40000, high: 40099 }),
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let (range, left) = (facts.range?, facts.narrowed()?);
    facts.cause.filter(|_| facts.lacks_ports())?;
    let own = facts.offered().unwrap_or(left.width());
    let reserved = match left.width() - own {
        0 => String::new(),
        _ if own == 0 => ", and each of these is reserved (net.ipv4.ip_local_reserved_ports)".to_owned(),
        reserved => format!(", and {} of these are reserved", grouped(reserved)),
    };
    let allows = if own == 0 { "none".to_owned() } else { grouped(own) };
    Some(Evidence {
        // Whatever its share: of this socket's ports nothing else is known.
        weight_permille: permille(range.width() - own, range.width()).max(LEAST_PERMILLE),
        sentence: format!(
            "the socket allows itself {allows} of the range's {}: IP_LOCAL_PORT_RANGE leaves {left} of {range}{reserved}{}",
            counted(range.width(), "port"),
            row(facts).map_or_else(String::new, |row| taken(facts, row)),
        ),
        fragment: format!("the socket's own range has {}", counted(own, "port")),
    })
}

/// The row of a connect(), if the socket has a port that it could be about.
fn row(facts: &Facts) -> Option<&Occupancy> {
    let is_connect = facts.cause == Some(Cause::RangeExhausted) && facts.offered() != Some(0);
    facts.row.as_ref().filter(|row| is_connect && row.used > 0)
}

/// What is known of the row's ports; a clause to append.
fn taken(facts: &Facts, row: &Occupancy) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut others = row.used;
    for (state, name) in [(SocketState::TimeWait, "TIME_WAIT"), (SocketState::Established, "ESTABLISHED")] {
        let count = Facts::in_states(row, &[state]);
        // The few are not worth a name.
        if count >= row.used.div_ceil(10) {
            others = others.saturating_sub(count);
            parts.push(format!("{} in {name}", grouped(count)));
        }
    }
    if others > 0 {
        parts.push(format!("{} in other states", grouped(others)));
    }
    let own = match fewest_own(facts, row) {
        Some(fewest @ 1..) => format!("at least {} of them are its own", grouped(fewest)),
        _ => "how many of them are its own is not seen".to_owned(),
    };
    format!("; taken of the whole range {}: {}; {own}", facts.path(), parts.join(", "))
}

/// So many of the row's ports must be the socket's, as there are not more others.
fn fewest_own(facts: &Facts, row: &Occupancy) -> Option<u32> {
    let range = facts.range?;
    let others = (range.width() - facts.reserved_within(range)?).saturating_sub(facts.offered()?);
    Some(row.used.saturating_sub(others))
}

/// Whether most of the socket's own ports may be in this state.
fn may_have(facts: &Facts, state: SocketState) -> bool {
    let own = facts.offered().unwrap_or(0);
    row(facts).is_some_and(|row| Facts::in_states(row, &[state]) > own / 2)
}
