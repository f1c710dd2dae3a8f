//! `tcp_tw_reuse`: what it is now, and whether another value helps.
//!
//! In: settings and addresses. Out: advice. Must not know: which rule asks.
//!
//! `tcp_twsk_unique` (net/ipv4/tcp_ipv4.c) lets an outgoing connection take a port in TIME_WAIT if the old one used
//! timestamps, the setting is 1, or 2 and an address is of loopback, and a second has passed.

use super::{Advice, Facts, setting};
use crate::diagnose::facts::{COUNTED, TIME_WAIT_S};
use crate::diagnose::figures::{grouped, per_minute};

const WHAT: &str = "let outgoing connections take over ports in TIME_WAIT (net.ipv4.tcp_tw_reuse)";

/// Whether the setting helps here.
pub(in super::super) fn take_over_time_wait(facts: &Facts) -> Option<Advice> {
    let now = facts.settings.tcp_tw_reuse?;
    let loopback = facts.is_loopback()?;
    if !facts.settings.tcp_timestamps? {
        let why = format!("it needs net.ipv4.tcp_timestamps, which is 0; tcp_tw_reuse is {now}");
        return Some(Advice::not_here(WHAT, why));
    }
    let delay = facts.reuse_delay().as_millis();
    let already = match (now, loopback) {
        (1, _) => Some("it is 1 already"),
        (2, true) => Some("it is 2, which covers loopback already"),
        _ => None,
    };
    if let Some(already) = already {
        let why = match facts.refused_time_wait() {
            Some(old) => format!(
                "{already}, and yet {} of the ports have been in TIME_WAIT for {} s or longer, where {delay} ms would do: \
                 most likely the other end uses no TCP timestamps, or the sockets were bound before they connected",
                grouped(old),
                COUNTED.as_secs()
            ),
            None => {
                format!("{already}: a port comes back after {delay} ms if the other end uses TCP timestamps")
            }
        };
        return Some(Advice::not_here(WHAT, why));
    }
    let value = if loopback { 2 } else { 1 };
    let usable = facts.usable()?;
    let most = u128::from(usable) * 60_000 / delay.max(1);
    let gain = format!(
        "it is {now} now; a port comes back after {delay} ms instead of {TIME_WAIT_S} s: at most {} connects/s \
         instead of {}",
        per_minute(u64::try_from(most).unwrap_or(u64::MAX)),
        per_minute(usable)
    );
    let cost = "for outgoing connections only, and only if the other end uses TCP timestamps too; \
                up to Linux 6.13 it may take until the second whole second";
    Some(Advice::helps(
        WHAT,
        setting(facts, &format!("net.ipv4.tcp_tw_reuse={value}")),
        gain,
        Some(cost.to_owned()),
    ))
}
