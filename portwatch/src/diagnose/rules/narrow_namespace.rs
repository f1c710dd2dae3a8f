//! A network namespace, such as a container's, has a narrower range than the host.
//!
//! In: both ranges. Out: what the namespace lacks. Must not know: other rules.
//!
//! The range is kept per namespace; a new one begins with the default, not with the host's (net/ipv4/af_inet.c,
//! `inet_init_net`).

use super::{Evidence, Rule, weight};
use crate::diagnose::advice::{everything_is_local, widen};
use crate::diagnose::facts::{Facts, example};
use crate::diagnose::figures::counted;
use crate::event::{PortRange, SocketState};

pub(super) const RULE: Rule = Rule {
    name: "narrow-namespace",
    finds: "the network namespace, such as a container's, has a narrower range than the host",
    needs: "a shortage of ports, the namespace's range, that it is not the host's, the host's range",
    check,
    advice: |facts| [widen(facts), everything_is_local(facts)].into_iter().flatten().collect(),
    example: || Facts {
        namespace_is_hosts: Some(false),
        hosts_range: Some(PortRange { low: 10_000, high: 65_535 }),
        ..example::exhausted(&[
            (SocketState::Established, 12_500),
            (SocketState::TimeWait, 12_500),
            (SocketState::CloseWait, 3_232),
        ])
    },
};

fn check(facts: &Facts) -> Option<Evidence> {
    let host = facts.wider_on_host().filter(|_| facts.lacks_ports())?;
    let range = facts.range?;
    Some(Evidence {
        weight_permille: weight(host.width() - range.width(), host.width())?,
        sentence: format!(
            "the socket's network namespace has {} ({}), the host {} ({}): the range is kept per namespace, and what is \
             set on the host does not count in it",
            counted(range.width(), "port"),
            range,
            counted(host.width(), "port"),
            host
        ),
        fragment: format!("the namespace has {} of its own", counted(range.width(), "port")),
    })
}
