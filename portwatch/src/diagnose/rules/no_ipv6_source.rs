//! No IPv6 address to send from: not a shortage of ports.
//!
//! In: cause, destination. Out: what is missing. Must not know: other rules.

use super::{ALL_PERMILLE, Evidence, Rule};
use crate::diagnose::advice::ipv6_source;
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};
use crate::event::Settings;

pub(super) const RULE: Rule = Rule {
    name: "no-ipv6-source",
    finds: "there is no IPv6 address to send from, which gives the same error as a shortage of ports",
    needs: "the cause no_source_address, the destination",
    check,
    advice: ipv6_source,
    example: || {
        let facts = example::exhausted(&[]);
        Facts {
            cause: Some(Cause::NoSourceAddress),
            source: None,
            destination: Some((std::net::Ipv6Addr::LOCALHOST, 8080).into()),
            row: None,
            settings: Settings { ipv6_disabled: Some(true), ..facts.settings },
            ..facts
        }
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let destination = facts.destination.filter(|_| facts.cause == Some(Cause::NoSourceAddress))?;
    let why = match facts.settings.ipv6_disabled {
        Some(true) => "IPv6 is disabled (net.ipv6.conf.*.disable_ipv6 is 1)",
        Some(false) if destination.ip().is_loopback() => {
            "IPv6 is enabled, but ::1 is not assigned: lo may be down, as it is in a new network namespace"
        }
        Some(false) => {
            "IPv6 is enabled, but no address is assigned, or it is being checked for duplicates still"
        }
        None => "IPv6 is disabled, or no address is assigned",
    };
    Some(Evidence {
        weight_permille: ALL_PERMILLE,
        sentence: format!("no IPv6 address to send from to {destination}: {why}. Ports are not short"),
        fragment: "no IPv6 address to send from".to_owned(),
    })
}
