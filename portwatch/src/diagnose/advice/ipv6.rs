//! How an IPv6 socket gets an address to send from.
//!
//! In: destination, whether IPv6 is off. Out: advice. Must not know: which rule asks.

use super::{Advice, Facts, How, setting, within};

const ENABLE: &str = "enable IPv6";
const UP: &str = "bring lo up";
const ASSIGN: &str = "have an IPv6 address assigned";
const OTHER: &str = "connect to the IPv4 address";

/// Whether to enable, to bring up or to assign, and how to do without.
pub(in super::super) fn ipv6_source(facts: &Facts) -> Vec<Advice> {
    let Some(destination) = facts.destination else { return Vec::new() };
    let may_be_off = facts.settings.ipv6_disabled != Some(false);
    let may_be_on = facts.settings.ipv6_disabled != Some(true);
    let advice = if destination.ip().is_loopback() {
        [
            may_be_off.then(|| enable_lo(facts)),
            may_be_on.then(|| bring_lo_up(facts)),
            Some(loopback_of_ipv4()),
        ]
    } else {
        let assign = || {
            let how = format!(
                "`ip -6 addr` shows which there are: one is needed whose scope reaches {}, and that is not tentative",
                destination.ip()
            );
            Advice::helps(ASSIGN, How::Arrangement(how), "there is something to send from".to_owned(), None)
        };
        [may_be_off.then(|| enable_all(facts)), may_be_on.then(assign), Some(ipv4())]
    };
    advice.into_iter().flatten().collect()
}

fn enable_lo(facts: &Facts) -> Advice {
    let how = setting(facts, "net.ipv6.conf.lo.disable_ipv6=0");
    Advice::helps(ENABLE, how, "lo has ::1 again".to_owned(), Some("only if lo is up".to_owned()))
}

fn enable_all(facts: &Facts) -> Advice {
    let how = setting(facts, "net.ipv6.conf.all.disable_ipv6=0");
    let gain =
        "interfaces that are up get addresses again: of their link at once, others from routers or by hand";
    let cost = "for every interface there, and whoever switched it off may have had reasons";
    Advice::helps(ENABLE, how, gain.to_owned(), Some(cost.to_owned()))
}

/// A new network namespace begins with lo down; `addrconf_notify` (net/ipv6/addrconf.c) assigns ::1 when it comes up.
fn bring_lo_up(facts: &Facts) -> Advice {
    let gain = "the kernel assigns ::1 to lo when it comes up";
    let cost = "a possibility, as portwatch does not see whether it is: `ip link show lo` does";
    Advice::helps(UP, within(facts, "ip link set lo up"), gain.to_owned(), Some(cost.to_owned()))
}

fn loopback_of_ipv4() -> Advice {
    let how = "let the client connect to 127.0.0.1 instead of localhost or ::1".to_owned();
    let cost = "the service must listen there".to_owned();
    Advice::helps(OTHER, How::Arrangement(how), "needs no IPv6".to_owned(), Some(cost))
}

fn ipv4() -> Advice {
    let how = "let the client use the service's IPv4 address, if it has one".to_owned();
    Advice::helps(OTHER, How::Arrangement(how), "needs no IPv6".to_owned(), None)
}
