//! A bind() asked for an address that is not there: not a shortage of ports.
//!
//! In: cause, address, `ip_nonlocal_bind`. Out: what is missing. Must not know: other rules.

use super::{ALL_PERMILLE, Evidence, Rule};
use crate::diagnose::advice::{bind_to_what_is_there, let_bind_to_anything};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::{Facts, example};

pub(super) const RULE: Rule = Rule {
    name: "foreign-address",
    finds: "bind() asked for an address that the network namespace does not have, which gives the same error as a shortage",
    needs: "the cause address_not_local, the address",
    check,
    advice: |facts| {
        [bind_to_what_is_there(facts), let_bind_to_anything(facts)].into_iter().flatten().collect()
    },
    example: || Facts {
        cause: Some(Cause::AddressNotLocal),
        source: Some(([192, 0, 2, 7], 0).into()),
        destination: None,
        row: None,
        ..example::exhausted(&[])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let address = facts.source.filter(|_| facts.cause == Some(Cause::AddressNotLocal))?.ip();
    let tentative = if address.is_ipv6() { ", or is being checked for duplicates still" } else { "" };
    let key = facts.nonlocal_bind_key(address);
    let setting = match facts.lets_bind_to_anything(address) {
        Some(false) => format!("; {key} is 0, so that bind() refuses it"),
        Some(true) => format!("; {key} is 1 now, which would let it"),
        None => String::new(),
    };
    Some(Evidence {
        weight_permille: ALL_PERMILLE,
        sentence: format!(
            "bind() asked for {address}, which is on no interface of the network namespace{tentative}{setting}. Ports are \
             not short"
        ),
        fragment: format!("{address} is not there"),
    })
}
