//! What to do about a bind() to one address or one port.
//!
//! In: address and port, listeners, `ip_nonlocal_bind`. Out: advice. Must not know: which rule asks.

use super::{Advice, Facts, How, setting, within};
use crate::event::Protocol;

/// Another address.
pub(in super::super) fn bind_to_what_is_there(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "bind to an address that is there";
    let any = if facts.source?.is_ipv6() {
        "[::] stands for all, and one that is tentative counts a second or two later"
    } else {
        "0.0.0.0 stands for all"
    };
    let how = format!("`ip addr` shows which there are, in a container other ones than on the host; {any}");
    Some(Advice::helps(WHAT, How::Arrangement(how), "bind() gets it".to_owned(), None))
}

/// `ip_nonlocal_bind` (`inet_can_nonlocal_bind`, include/net/inet_sock.h).
pub(in super::super) fn let_bind_to_anything(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "let addresses be bound that are not there (ip_nonlocal_bind)";
    let address = facts.source?.ip();
    if facts.lets_bind_to_anything(address)? {
        return Some(Advice::not_here(WHAT, "it is 1 already"));
    }
    let how = setting(facts, &format!("{}=1", facts.nonlocal_bind_key(address)));
    let gain =
        "bind() gets it; traffic flows once the address is there, as one that moves between hosts will be";
    let cost = "for every program there, and none will tell of a wrong address; IP_FREEBIND on the socket is for one alone";
    Some(Advice::helps(WHAT, how, gain.to_owned(), Some(cost.to_owned())))
}

/// Who is in the way.
pub(in super::super) fn find_who_has_it(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "find who has the port, and stop that or choose another one";
    let table = if facts.protocol == Protocol::Udp { "-uanp" } else { "-tanp" };
    let how = within(facts, &format!("ss {table} 'sport = :{}'", facts.source?.port()));
    let cost = "sockets that are bound and neither connected nor listening are not in the list".to_owned();
    Some(Advice::helps(WHAT, how, "it names the process".to_owned(), Some(cost)))
}

/// `SO_REUSEADDR` (socket(7)), where a listener is not what is in the way (`inet_csk_bind_conflict`,
/// net/ipv4/inet_connection_sock.c).
pub(in super::super) fn reuse_address(facts: &Facts) -> Option<Advice> {
    const WHAT: &str = "set SO_REUSEADDR before bind()";
    let is_free = facts.protocol != Protocol::Udp && !facts.is_listened_on(facts.source?.port())?;
    let how = How::Code("setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int))");
    let gain = "if only former connections of a service have the port, in TIME_WAIT too, which portwatch does not see: the \
                service gets it when it is restarted";
    let cost = "not one of a socket that was bound without it, and is not in TIME_WAIT";
    is_free.then(|| Advice::helps(WHAT, how, gain.to_owned(), Some(cost.to_owned())))
}
