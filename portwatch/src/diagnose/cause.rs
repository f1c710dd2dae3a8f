//! Why a call failed, as far as the failure itself tells.

use crate::event::{Call, Errno, Fault, Stage};

/// The causes of `docs/json.md`, in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Every port of the local range is taken for this source and destination.
    RangeExhausted,
    /// The socket's own port makes a 4-tuple that exists already.
    TupleInUse,
    /// There is no address to send from.
    NoSourceAddress,
    /// Not a shortage of ports.
    Other,
    /// The kernel gave no certain answer.
    Unknown,
}

impl Cause {
    /// The value in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RangeExhausted => "range_exhausted",
            Self::TupleInUse => "tuple_in_use",
            Self::NoSourceAddress => "no_source_address",
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
            Self::Other => "not a shortage of ports",
            Self::Unknown => "the kernel's answer does not tell",
        }
    }
}

/// The cause of a failed call.
///
/// `__inet_hash_connect` returns EADDRNOTAVAIL in two places (net/ipv4/inet_hashtables.c): at once where the socket
/// has a port, and after the last port of the range where it has none. An IPv6 connect that fails so without
/// reaching it found no source address (`ipv6_dev_get_saddr`, net/ipv6/addrconf.c).
#[must_use]
pub fn cause(fault: &Fault) -> Cause {
    let Fault { call: Call::Connect, errno, stage, had_port, destination, .. } = fault;
    if *errno != Errno::EADDRNOTAVAIL {
        return Cause::Other;
    }
    match stage {
        Stage::PortSearch if *had_port => Cause::TupleInUse,
        Stage::PortSearch => Cause::RangeExhausted,
        Stage::OutsidePortSearch if destination.is_ipv6() => Cause::NoSourceAddress,
        Stage::OutsidePortSearch | Stage::Unknown => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, cause};
    use crate::event::{Call, Errno, Fault, Protocol, Stage};

    #[test]
    fn a_cause_is_named_only_where_the_kernel_left_no_doubt() {
        use Stage::{OutsidePortSearch, PortSearch, Unknown};
        let cases = [
            ("whole range tried", 99, PortSearch, false, "10.0.0.1:80", Cause::RangeExhausted),
            ("whole range tried, IPv6", 99, PortSearch, false, "[::1]:80", Cause::RangeExhausted),
            ("bound port", 99, PortSearch, true, "10.0.0.1:80", Cause::TupleInUse),
            ("bound port, IPv6", 99, PortSearch, true, "[::1]:80", Cause::TupleInUse),
            (
                "IPv6 without an address",
                99,
                OutsidePortSearch,
                false,
                "[2001:db8::1]:80",
                Cause::NoSourceAddress,
            ),
            ("IPv4 has no such way to fail", 99, OutsidePortSearch, false, "10.0.0.1:80", Cause::Unknown),
            ("the hook that would tell did not run", 99, Unknown, false, "[::1]:80", Cause::Unknown),
            ("another error", 101, OutsidePortSearch, false, "10.0.0.1:80", Cause::Other),
            ("another error in the search", 12, PortSearch, false, "10.0.0.1:80", Cause::Other),
        ];
        for (what, errno, stage, had_port, destination, expected) in cases {
            let fault = Fault {
                call: Call::Connect,
                protocol: Protocol::Tcp,
                errno: Errno(errno),
                stage,
                had_port,
                destination: destination.parse().unwrap(),
                v4_mapped: false,
            };
            assert_eq!(cause(&fault), expected, "{what}");
        }
    }
}
