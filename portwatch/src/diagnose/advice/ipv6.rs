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
            let unknown = facts.settings.ipv6_disabled.is_none();
            let condition = if unknown { "if IPv6 is on there, which portwatch does not see: " } else { "" };
            let gain = format!("{condition}there is something to send from");
            Advice::helps(ASSIGN, How::Arrangement(how), gain, None)
        };
        [may_be_off.then(|| enable_all(facts)), may_be_on.then(assign), Some(ipv4())]
    };
    advice.into_iter().flatten().collect()
}

fn enable_lo(facts: &Facts) -> Advice {
    let how = setting(facts, "net.ipv6.conf.lo.disable_ipv6=0");
    let gain = format!("{}lo has ::1 again", if_off(facts, "on lo"));
    Advice::helps(ENABLE, how, gain, Some("only if lo is up".to_owned()))
}

fn enable_all(facts: &Facts) -> Advice {
    let how = setting(facts, "net.ipv6.conf.all.disable_ipv6=0");
    let gain = format!(
        "{}interfaces that are up get addresses again: of their link at once, others from routers or by hand",
        if_off(facts, "on the way there")
    );
    let cost = "for every interface there, and whoever switched it off may have had reasons";
    Advice::helps(ENABLE, how, gain, Some(cost.to_owned()))
}

/// A clause to put first, where it is not known whether IPv6 is off.
fn if_off(facts: &Facts, place: &str) -> String {
    match facts.settings.ipv6_disabled {
        Some(true) => String::new(),
        _ => format!("if IPv6 is off {place}, which portwatch does not see: "),
    }
}

/// A new network namespace begins with lo down; `addrconf_notify` (net/ipv6/addrconf.c) assigns ::1 when it comes up.
fn bring_lo_up(facts: &Facts) -> Advice {
    let gain = "if lo is down, which portwatch does not see, but `ip link show lo` tells: the kernel assigns ::1 to it when it \
                comes up";
    Advice::helps(UP, within(facts, "ip link set lo up"), gain.to_owned(), None)
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
