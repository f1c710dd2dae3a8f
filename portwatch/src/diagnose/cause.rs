//! Why a call failed, as far as the failure itself tells.

use crate::event::{Errno, Fault, Protocol, Stage};

/// The causes of `docs/json.md`, in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Every port of the local range is taken for this source and destination.
    RangeExhausted,
    /// The socket's own port makes a 4-tuple that exists already.
    TupleInUse,
    /// There is no address to send from.
    NoSourceAddress,
    /// A bind asked for an address that the host does not have.
    AddressNotLocal,
    /// A bind asked for any port, and every one is bound.
    BindRangeExhausted,
    /// A bind asked for a port that is bound.
    PortTaken,
    /// A UDP socket needed a port, and every one is taken.
    UdpRangeExhausted,
    /// Not a shortage of ports.
    Other,
    /// The kernel gave no certain answer.
    Unknown,
}

impl Cause {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::RangeExhausted,
        Self::TupleInUse,
        Self::NoSourceAddress,
        Self::AddressNotLocal,
        Self::BindRangeExhausted,
        Self::PortTaken,
        Self::UdpRangeExhausted,
        Self::Other,
        Self::Unknown,
    ];

    /// The value in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RangeExhausted => "range_exhausted",
            Self::TupleInUse => "tuple_in_use",
            Self::NoSourceAddress => "no_source_address",
            Self::AddressNotLocal => "address_not_local",
            Self::BindRangeExhausted => "bind_range_exhausted",
            Self::PortTaken => "port_taken",
            Self::UdpRangeExhausted => "udp_range_exhausted",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// What it means, for somebody who sees it for the first time.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::RangeExhausted => {
                "no port of the local range is free for this source and destination; \
                 sockets in TIME_WAIT and ports bound by others count as taken"
            }
            Self::TupleInUse => {
                "the socket was bound to a port, and a connection from there to this destination exists already"
            }
            Self::NoSourceAddress => {
                "the host has no IPv6 address to send from (IPv6 disabled, or none assigned): not a shortage of ports"
            }
            Self::AddressNotLocal => {
                "bind() asked for an address that this host or namespace does not have, or not yet \
                 (an IPv6 address is being checked for duplicates): not a shortage of ports"
            }
            Self::BindRangeExhausted => {
                "bind() asked for any port, and every one of the local range is in use on this address, whatever the \
                 destination; IP_BIND_ADDRESS_NO_PORT would let connect() choose"
            }
            Self::PortTaken => "bind() asked for a port that another socket has",
            Self::UdpRangeExhausted => {
                "every port of the local range is taken by UDP sockets on this address, whatever the destination"
            }
            Self::Other => "not a shortage of ports",
            Self::Unknown => "the kernel's answer does not tell",
        }
    }
}

/// The cause of a failed call.
///
/// `__inet_hash_connect` returns EADDRNOTAVAIL in two places (net/ipv4/inet_hashtables.c): at once where the socket
/// has a port, and after the last port of the range where it has none. An IPv6 connect that fails so without
/// reaching it found no source address (`ipv6_dev_get_saddr`, net/ipv6/addrconf.c). `__inet_bind` and `__inet6_bind`
/// return it for an address that is not local, and EADDRINUSE for what `get_port` refuses (net/ipv4/af_inet.c,
/// net/ipv6/af_inet6.c). `inet_autobind` makes EAGAIN of whatever `get_port` says (net/ipv4/af_inet.c).
#[must_use]
pub fn cause(fault: &Fault) -> Cause {
    let any_port = fault.address.port() == 0;
    match (fault.stage, fault.errno) {
        (Stage::Bind, Errno::EADDRNOTAVAIL) => Cause::AddressNotLocal,
        (Stage::Bind, Errno::EADDRINUSE) if any_port => Cause::BindRangeExhausted,
        (Stage::Bind, Errno::EADDRINUSE) => Cause::PortTaken,
        (Stage::Autobind, _) => Cause::UdpRangeExhausted,
        (Stage::PortSearch, Errno::EADDRNOTAVAIL) if fault.had_port => Cause::TupleInUse,
        (Stage::PortSearch, Errno::EADDRNOTAVAIL) => Cause::RangeExhausted,
        (Stage::OutsidePortSearch, Errno::EADDRNOTAVAIL) => no_source(fault),
        (Stage::SocketLayer, Errno::EADDRNOTAVAIL) if fault.protocol == Protocol::Udp => no_source(fault),
        (Stage::Network, _) => Cause::Other,
        (_, Errno::EADDRNOTAVAIL) => Cause::Unknown,
        _ => Cause::Other,
    }
}

/// IPv4 has no such way to fail.
fn no_source(fault: &Fault) -> Cause {
    if fault.address.is_ipv6() { Cause::NoSourceAddress } else { Cause::Unknown }
}

#[cfg(test)]
mod tests {
    use super::{Cause, cause};
    use crate::event::{Call, Errno, Fault, Protocol, Stage};

    const FAULT: Fault = Fault {
        call: Call::Connect,
        protocol: Protocol::Tcp,
        errno: Errno::EADDRNOTAVAIL,
        stage: Stage::PortSearch,
        had_port: false,
        address: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80),
        v4_mapped: false,
        kernel_socket: false,
    };

    fn at(stage: Stage, errno: u16, address: &str) -> Fault {
        Fault { stage, errno: Errno(errno), address: address.parse().unwrap(), ..FAULT }
    }

    fn bind(errno: u16, address: &str) -> Fault {
        Fault { call: Call::Bind, ..at(Stage::Bind, errno, address) }
    }

    #[test]
    fn a_cause_is_named_only_where_the_kernel_left_no_doubt() {
        use Stage::{Autobind, Network, OutsidePortSearch, PortSearch, SocketLayer, Unknown};
        let bound = |fault| Fault { had_port: true, ..fault };
        let udp = |fault| Fault { protocol: Protocol::Udp, ..fault };
        let cases = [
            ("whole range tried", at(PortSearch, 99, "10.0.0.1:80"), Cause::RangeExhausted),
            ("whole range tried, IPv6", at(PortSearch, 99, "[::1]:80"), Cause::RangeExhausted),
            ("bound port", bound(at(PortSearch, 99, "10.0.0.1:80")), Cause::TupleInUse),
            ("bound port, IPv6", bound(at(PortSearch, 99, "[::1]:80")), Cause::TupleInUse),
            ("IPv6, no address", at(OutsidePortSearch, 99, "[2001:db8::1]:80"), Cause::NoSourceAddress),
            ("IPv4 has no such way to fail", at(OutsidePortSearch, 99, "10.0.0.1:80"), Cause::Unknown),
            ("the hook that would tell did not run", at(Unknown, 99, "[::1]:80"), Cause::Unknown),
            ("another error", at(OutsidePortSearch, 101, "10.0.0.1:80"), Cause::Other),
            ("another error in the search", at(PortSearch, 12, "10.0.0.1:80"), Cause::Other),
            ("another address", bind(99, "192.0.2.1:0"), Cause::AddressNotLocal),
            ("any port", bind(98, "127.0.0.1:0"), Cause::BindRangeExhausted),
            ("one port", bind(98, "[::1]:80"), Cause::PortTaken),
            ("a privileged port", bind(13, "127.0.0.1:80"), Cause::Other),
            ("UDP without a port", udp(at(Autobind, 11, "10.0.0.1:53")), Cause::UdpRangeExhausted),
            ("UDP over IPv6, no address", udp(at(SocketLayer, 99, "[::1]:53")), Cause::NoSourceAddress),
            ("refused by a security module", at(SocketLayer, 99, "[::1]:80"), Cause::Unknown),
            ("refused by the other side", at(Network, 111, "10.0.0.1:80"), Cause::Other),
        ];
        for (what, fault, expected) in cases {
            assert_eq!(cause(&fault), expected, "{what}");
        }
    }
}
