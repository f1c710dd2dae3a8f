//! A wider `ip_local_port_range`: how many ports it would bring, and whose ports it would take.
//!
//! In: range, reserved ports, listeners. Out: advice. Must not know: which rule asks.

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

/// The widest range around this one that takes no listener's port.
pub(in super::super) fn widen(facts: &Facts) -> Option<Advice> {
    let range = facts.range.filter(|_| facts.narrowed().is_none())?;
    let listeners = facts.unreserved_listeners()?;
    let wide = between_listeners(range, &listeners);
    let (now, then) = (offered(facts, range)?, offered(facts, wide)?);
    let more = then.saturating_sub(now);
    let taken: Vec<u16> =
        listeners.into_iter().filter(|port| TOO_WIDE.contains(*port) && !range.contains(*port)).collect();
    if more < now / WORTHWHILE || more == 0 {
        let more = counted(more, "port");
        let why = match named(&taken) {
            Some(ports) => {
                format!("only {more} could be added to {range} without those of listeners: {ports}")
            }
            None => format!("only {more} could be added to {range}"),
        };
        return Some(Advice::not_here(WHAT, why));
    }
    let reserved = facts.reserved_within(wide)? - facts.reserved_within(range)?;
    let without =
        if reserved == 0 { String::new() } else { format!(", without {} reserved ones", grouped(reserved)) };
    let rate = if facts.is_mostly_time_wait() {
        format!(": {} more connects/s, as each waits {TIME_WAIT_S} s", per_minute(more))
    } else {
        String::new()
    };
    let gain = format!("{} for {}{without}{rate}", counted(more, "more port"), facts.whose());
    let collides = named(&taken).map_or_else(String::new, |ports| {
        format!("; not {TOO_WIDE}, which would take what is listened on now: {ports}")
    });
    let cost = format!(
        "services that do not listen right now are not known here, nor are ports that are only forwarded (NodePorts of \
         Kubernetes are 30000-32767): put them into net.ipv4.ip_local_reserved_ports first{collides}"
    );
    let how = setting(facts, &format!("net.ipv4.ip_local_port_range=\"{} {}\"", wide.low, wide.high));
    Some(Advice::helps(WHAT, how, gain, Some(cost)))
}

/// From the next listener below to the next one above.
fn between_listeners(range: PortRange, listeners: &[u16]) -> PortRange {
    let below = listeners.iter().rfind(|port| **port < range.low);
    let above = listeners.iter().find(|port| **port > range.high);
    let mut low = below.map_or(FLOOR, |port| FLOOR.max(port + 1)).min(range.low);
    let mut high = above.map_or(u16::MAX, |port| port - 1);
    // The kernel warns of ends that are both even or both odd (`ipv4_local_port_range`, net/ipv4/sysctl_net_ipv4.c).
    if low % 2 == high % 2 {
        if low < range.low {
            low += 1;
        } else if high > range.high {
            high -= 1;
        }
    }
    PortRange { low, high }
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
