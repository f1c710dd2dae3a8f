//! Advice that goes round and does harm, or nothing.
//!
//! In: facts. Out: advice not to follow. Must not know: which rule asks.

use super::{Advice, Facts};
use crate::diagnose::figures::counted;
use crate::event::PortRange;

/// What people set against TIME_WAIT.
///
/// `tcp_tw_recycle` was removed by commit 4396e46187ca; `tcp_fin_timeout` is read for a socket in FIN_WAIT2 that no process
/// has open (`tcp_fin_time`), and `tcp_time_wait` (net/ipv4/tcp_minisocks.c) waits `TCP_TIMEWAIT_LEN`; above
/// `tcp_max_tw_buckets` it does not wait.
pub(in super::super) fn about_time_wait() -> Vec<Advice> {
    vec![
        Advice::harms(
            "net.ipv4.tcp_tw_recycle",
            "gone since Linux 4.12; before, it broke clients behind NAT",
        ),
        Advice::harms(
            "net.ipv4.tcp_fin_timeout",
            "does not touch TIME_WAIT, which takes 60 s whatever it says; it is how long a socket that its process has closed \
             stays in FIN_WAIT2",
        ),
        Advice::harms(
            "net.ipv4.tcp_max_tw_buckets",
            "a lower bound ends TIME_WAIT at once: late packets of one connection may reach the next one",
        ),
    ]
}

/// Every port for outgoing connections: it takes those that services want.
pub(in super::super) fn everything_is_local(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "net.ipv4.ip_local_port_range=\"1024 65535\"";
    let all = PortRange { low: 1024, high: u16::MAX };
    let range = facts.range.filter(|range| *range != all)?;
    let listeners = facts.unreserved_listeners()?;
    let taken = |port: &&u16| all.contains(**port) && !range.contains(**port);
    let taken = u32::try_from(listeners.iter().filter(taken).count()).ok()?;
    let why = format!(
        "outgoing connections then take ports of services, which fail to start or to restart: {} outside of {} here \
         right now, others when they start",
        counted(taken, "listener"),
        range
    );
    Some(Advice::harms(WHAT, why))
}
