//! What the program itself could do.
//!
//! In: facts. Out: advice. Must not know: which rule asks.

use super::{Advice, Facts, How};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::TIME_WAIT_S;
use crate::diagnose::figures::{counted, grouped, per_minute};
use crate::event::{Protocol, SocketState};

/// Connection reuse: what the ports can carry.
pub(in super::super) fn reuse_connections(facts: &Facts) -> Advice {
    const WHAT: &str = "keep connections open and reuse them (keep-alive, a pool with a bound)";
    let gain = match (facts.carries_per_minute(), facts.ends_per_minute) {
        (Some(carries), Some(ended)) if ended > carries => format!(
            "the ports can carry {} of the {} connects/s that end now: {} must be saved",
            per_minute(carries),
            per_minute(ended),
            per_minute(ended - carries)
        ),
        (Some(carries), ended) => {
            let limit = format!("new connections must stay below {} connects/s", per_minute(carries));
            let more = ended.zip(facts.failures_per_minute).map(|(ended, failed)| {
                let excess = ended.saturating_add(failed).saturating_sub(carries);
                (failed, excess)
            });
            match (ended, more) {
                (Some(ended), Some((failed, excess @ 1..))) => format!(
                    "{limit}; {} end and {} fail now: at most {} must be saved, fewer if those that fail are retries",
                    per_minute(ended),
                    per_minute(failed),
                    per_minute(excess)
                ),
                (Some(ended), _) => format!("{limit}; {} end now", per_minute(ended)),
                (None, _) => limit,
            }
        }
        (None, _) => "each connect that is saved is a port less in TIME_WAIT".to_owned(),
    };
    let how = "in the client: one connection for many requests; the end that closes first has the TIME_WAIT";
    Advice::helps(WHAT, How::Arrangement(how.to_owned()), gain, None)
}

/// `IP_BIND_ADDRESS_NO_PORT` (ip(7)): a bind to an address leaves the port to connect().
pub(in super::super) fn bind_without_port(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "set IP_BIND_ADDRESS_NO_PORT before bind()";
    if facts.protocol == Protocol::Udp {
        return Some(Advice::not_here(WHAT, "a UDP socket has a port for itself, wherever it sends"));
    }
    let ports = facts.offered().map_or_else(|| "all ports".to_owned(), |offered| counted(offered, "port"));
    let gain = if facts.cause == Some(Cause::TupleInUse) {
        format!("connect() chooses among {ports} instead of trying one")
    } else {
        format!("{ports} for each destination, instead of once for all of them together")
    };
    let how = "setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)), then bind() with port 0";
    let cost = "for sockets that connect() afterwards; getsockname() tells no port before that".to_owned();
    Some(Advice::helps(WHAT, How::Code(how), gain, Some(cost)))
}

/// `IP_LOCAL_PORT_RANGE` (ip(7)): narrows the range for a socket, and since Linux 6.8 searches it evenly.
pub(in super::super) fn whole_range_on_socket(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "set IP_LOCAL_PORT_RANGE on the socket";
    let why = format!(
        "it only narrows {}, and brings no port; what the whole range in it brings since Linux 6.8 is a fast search \
         when more than half is taken",
        facts.range?
    );
    facts.narrowed().is_none().then(|| Advice::not_here(WHAT, why))
}

/// `IP_LOCAL_PORT_RANGE` (ip(7)) of a socket that has it: 0 leaves the namespace's range as it is.
pub(in super::super) fn widen_own_range(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "widen the socket's IP_LOCAL_PORT_RANGE";
    let (range, own) = (facts.range?, facts.narrowed()?);
    let all = facts.reserved_within(range).map(|reserved| range.width() - reserved);
    let gain = match all.zip(facts.offered()).map(|(all, own)| all.saturating_sub(own)) {
        Some(0) => {
            let why = format!("each port of {range} outside of {own} is reserved");
            return Some(Advice::not_here(WHAT, why));
        }
        Some(more) => format!("up to {} for {}", counted(more, "more port"), facts.whose()),
        None => format!("ports of {range} outside of {own}"),
    };
    let how = "setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &(uint32_t){0}, sizeof(uint32_t))";
    let cost = "or leave it out; where several hosts or programs share one address by parts of the range, each must keep to its own"
        .to_owned();
    Some(Advice::helps(WHAT, How::Code(how), gain, Some(cost)))
}

/// A pool that cannot grow into a shortage.
pub(in super::super) fn bound_the_pool(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "bound the pool, or close what is no longer needed";
    let usable = facts.usable()?;
    let how = format!(
        "fewer than {} connections for each destination address and port, over all processes",
        grouped(usable)
    );
    let gain = "callers wait for a connection instead of failing".to_owned();
    Some(Advice::helps(WHAT, How::Arrangement(how), gain, None))
}

/// Attempts to connect that cannot pile up into a shortage. A socket that is closed in SYN_SENT is gone at once
/// (`__tcp_close`, net/ipv4/tcp.c).
pub(in super::super) fn bound_the_attempts(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "give up attempts earlier, and make fewer at a time";
    let how = format!(
        "a timeout of the program's own for connect(), then close(); fewer than {} attempts at a time for each destination. \
         By itself the kernel gives up after net.ipv4.tcp_syn_retries, six of which take two minutes",
        grouped(facts.usable()?)
    );
    let gain = "an attempt that is closed gives its port back at once".to_owned();
    Some(Advice::helps(WHAT, How::Arrangement(how), gain, None))
}

/// What keeps answers away: to SYNs, or to FINs. A FIN that is acknowledged ends LAST_ACK; FIN_WAIT1 goes on to FIN_WAIT2,
/// CLOSING to TIME_WAIT (`tcp_rcv_state_process`, net/ipv4/tcp_input.c).
pub(in super::super) fn reach_the_peer(facts: &Facts, state: SocketState) -> Option<Advice> {
    const WHAT: &str = "let the other side's answers through";
    let destination = facts.destination?;
    let (who, packets, gain) = if state == SocketState::SynSent {
        let who = "a firewall, a wrong route, a host that is down";
        (who, "SYNs", "an attempt that is answered, or refused, no longer waits")
    } else {
        let who = "a firewall or load balancer that has forgotten the connections, a host that is gone";
        let gain = "once its FIN is acknowledged, a port in LAST_ACK comes back; one in CLOSING goes on to 60 s of TIME_WAIT, \
                    and one in FIN_WAIT1 does when the other side has closed, too";
        (who, "FINs", gain)
    };
    let how = format!(
        "look for what drops packets of {destination}: {who}; tcpdump shows {packets} sent again and again"
    );
    Some(Advice::helps(WHAT, How::Arrangement(how), gain.to_owned(), None))
}

/// The end that leaks closes: in CLOSE_WAIT this one, in FIN_WAIT2 the other one. Who closed first has the TIME_WAIT then.
pub(in super::super) fn close_at_the_end(facts: &Facts, state: SocketState) -> Option<Advice> {
    const WHAT: &str = "close connections that the other side has closed";
    let held = Facts::in_states(facts.row.as_ref()?, &[state]);
    let ports = counted(held, "port");
    let (how, gain) = if state == SocketState::CloseWait {
        let how = "in the process here: close() when recv() returns 0, on the ways out after errors too";
        (how, format!("{ports} come back"))
    } else {
        let how = "in the process over there: close() when recv() returns 0";
        (how, format!("{ports} go on to TIME_WAIT, and come back {TIME_WAIT_S} s later"))
    };
    Some(Advice::helps(WHAT, How::Arrangement(how.to_owned()), gain, None))
}
