//! More source or destination addresses: each pair of them has all ports for itself.
//!
//! In: facts. Out: advice. Must not know: which rule asks.

use super::{Advice, Facts, How};
use crate::diagnose::figures::{counted, grouped, per_minute};

const WHAT: &str = "spread over more source or destination addresses, or destination ports";

/// How many are needed, where the rate is known; else what each brings.
pub(in super::super) fn more_addresses(facts: &Facts) -> Option<Advice> {
    let usable = facts.usable()?;
    let carries = facts.carries_per_minute().filter(|carries| *carries > 0 && facts.is_mostly_time_wait());
    let rate = carries.map_or_else(String::new, |carries| format!(", {} connects/s", per_minute(carries)));
    let needed =
        carries.zip(facts.ends_per_minute).filter(|(carries, rate)| rate > carries).map(|(carries, rate)| {
            format!("; {} connects/s need {} in all", per_minute(rate), grouped(rate.div_ceil(carries)))
        });
    let how = if facts.is_loopback() == Some(true) && facts.destination.is_some_and(|to| to.is_ipv4()) {
        "all of 127.0.0.0/8 is there already: let clients connect to 127.0.0.2 and so on, if the service listens there"
    } else {
        "let the service listen on a second address or port; or give the client another address, bound with \
         IP_BIND_ADDRESS_NO_PORT"
    };
    let gain =
        format!("each further one brings {}{rate}{}", counted(usable, "port"), needed.unwrap_or_default());
    Some(Advice::helps(
        WHAT,
        How::Arrangement(how.to_owned()),
        gain,
        Some("the addresses must be assigned and known to the clients".to_owned()),
    ))
}
