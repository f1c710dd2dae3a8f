//! A wider `ip_local_port_range`: how many ports it would bring, and whose ports it would take.
//!
//! In: range, reserved ports, listeners, where unprivileged ports begin. Out: advice. Must not know: which rule asks.

use super::{Advice, Facts, setting};
use crate::diagnose::facts::TIME_WAIT_S;
use crate::diagnose::figures::{counted, grouped, per_minute};
use crate::event::PortRange;

const WHAT: &str = "widen net.ipv4.ip_local_port_range";
/// Below, services are too many to be sure that those that listen now are all.
const FLOOR: u16 = 10_000;
/// A part of the range that is worth the change: less is used up by the next growth.
const WORTHWHILE: u32 = 10;
/// Ports that are named in a sentence.
const NAMED: usize = 5;
/// What is often advised instead.
const TOO_WIDE: PortRange = PortRange { low: 1024, high: 65535 };

/// The widest sensible range around this one, with the ports of listeners in it reserved.
pub(in super::super) fn widen(facts: &Facts) -> Option<Advice> {
    let range = facts.range.filter(|_| facts.narrowed().is_none())?;
    let listeners = facts.unreserved_listeners()?;
    let wide = widest(range, facts.settings.ip_unprivileged_port_start);
    let inside: Vec<u16> = listeners.iter().copied().filter(|port| wide.contains(*port)).collect();
    let added: Vec<u16> = inside.iter().copied().filter(|port| !range.contains(*port)).collect();
    let listened = u32::try_from(added.len()).ok()?;
    let (now, then) = (offered(facts, range)?, offered(facts, wide)?);
    let more = then.saturating_sub(now).saturating_sub(listened);
    if more < now / WORTHWHILE || more == 0 {
        let without =
            named(&added).map_or_else(String::new, |ports| format!(" without those of listeners: {ports}"));
        let why = format!("only {} could be added to {range}{without}", counted(more, "port"));
        return Some(Advice::not_here(WHAT, why));
    }
    let rate = if facts.is_mostly_time_wait() {
        format!(": {} more connects/s, as each waits {TIME_WAIT_S} s", per_minute(more))
    } else {
        String::new()
    };
    let without = without(facts.reserved_within(wide)? - facts.reserved_within(range)?, listened);
    let gain = format!("{} for {}{without}{rate}", counted(more, "more port"), facts.whose());
    let taken: Vec<u16> =
        listeners.into_iter().filter(|port| TOO_WIDE.contains(*port) && !wide.contains(*port)).collect();
    let collides = named(&taken).map_or_else(String::new, |ports| {
        format!("; not {TOO_WIDE}, which would take what is listened on now: {ports}")
    });
    let cost = format!(
        "services that do not listen right now are not known here, nor are ports that are only forwarded (NodePorts of \
         Kubernetes are 30000-32767): put them into net.ipv4.ip_local_reserved_ports first{collides}"
    );
    let range = format!("net.ipv4.ip_local_port_range=\"{} {}\"", wide.low, wide.high);
    let assignments = if inside.is_empty() {
        range
    } else {
        let reserved = reserved_with(facts.reserved.as_ref()?, &inside);
        format!("net.ipv4.ip_local_reserved_ports=\"{reserved}\" {range}")
    };
    Some(Advice::helps(WHAT, setting(facts, &assignments), gain, Some(cost)))
}

/// As far as it is sensible, and the kernel allows it (`ipv4_local_port_range`, net/ipv4/sysctl_net_ipv4.c).
fn widest(range: PortRange, unprivileged_start: Option<u16>) -> PortRange {
    let mut low = FLOOR.max(unprivileged_start.unwrap_or(FLOOR)).min(range.low);
    let mut high = u16::MAX;
    // The kernel warns of ends that are both even or both odd.
    if low % 2 == high % 2 {
        if low < range.low {
            low += 1;
        } else if high > range.high {
            high -= 1;
        }
    }
    PortRange { low, high }
}

/// What is reserved and these ports, as `ip_local_reserved_ports` takes them.
fn reserved_with(reserved: &[PortRange], ports: &[u16]) -> String {
    let single = ports.iter().map(|port| PortRange { low: *port, high: *port });
    let mut all: Vec<PortRange> = reserved.iter().copied().chain(single).collect();
    all.sort_unstable_by_key(|part| part.low);
    let mut joined: Vec<PortRange> = Vec::new();
    for part in all {
        match joined.last_mut() {
            Some(last) if part.low <= last.high.saturating_add(1) => last.high = last.high.max(part.high),
            _ => joined.push(part),
        }
    }
    let word = |part: &PortRange| if part.width() == 1 { part.low.to_string() } else { part.to_string() };
    joined.iter().map(word).collect::<Vec<_>>().join(",")
}

/// What the gain is without; a clause to append.
fn without(reserved: u32, listened: u32) -> String {
    let reserved = (reserved > 0).then(|| format!("{} reserved ones", grouped(reserved)));
    let listened = (listened > 0).then(|| format!("{} of listeners", grouped(listened)));
    let words: Vec<String> = reserved.into_iter().chain(listened).collect();
    if words.is_empty() { String::new() } else { format!(", without {}", words.join(" and ")) }
}

fn offered(facts: &Facts, range: PortRange) -> Option<u32> {
    Some(range.width() - facts.reserved_within(range)?)
}

/// Some ports, and how many there are beyond them; none of none.
fn named(ports: &[u16]) -> Option<String> {
    let shown: Vec<String> = ports.iter().take(NAMED).map(ToString::to_string).collect();
    let more = ports.len().saturating_sub(NAMED);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!shown.is_empty()).then(|| format!("{}{rest}", shown.join(", ")))
}
