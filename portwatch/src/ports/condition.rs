//! Conditions that the kernel checks before it copies a socket out (`inet_diag_bc_run`, net/ipv4/inet_diag.c).
//!
//! In: ports, destinations. Out: the bytes of `INET_DIAG_REQ_BYTECODE`. Must not know: sockets, namespaces.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::dump::Family;
use crate::event::{Destination, PortRange};

/// `INET_DIAG_BC_S_GE`, `_S_LE`, `_D_GE` and `_D_COND`, include/uapi/linux/inet_diag.h.
const LOCAL_PORT_AT_LEAST: u8 = 2;
const LOCAL_PORT_AT_MOST: u8 = 3;
const DESTINATION_PORT_AT_LEAST: u8 = 4;
const DESTINATION: u8 = 8;
/// Bytes of `struct inet_diag_bc_op`: code, what to skip if it holds, what to skip if not.
const OPERATION_BYTES: u8 = 4;
/// `::ffff:0:0/96`, where IPv4 addresses stand in IPv6 sockets.
const MAPPED_BITS: u8 = 96;

/// One condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// On the local port, host order.
    AtLeast(u16),
    /// On the local port, host order.
    AtMost(u16),
    /// On the destination. An IPv4 network holds for IPv4-mapped addresses of IPv6 sockets too.
    Towards(Option<IpNet>, Option<u16>),
}

/// Local ports of this range.
pub(super) fn local_ports(range: PortRange) -> [Condition; 2] {
    [Condition::AtLeast(range.low), Condition::AtMost(range.high)]
}

/// To this destination, for the sockets of one family; none if no socket of that family can have it.
pub(super) fn towards(destination: &Destination, family: Family) -> Option<Condition> {
    let network = match (family, destination.network) {
        (Family::V4, Some(IpNet::V6(network))) => of_ipv4(network)?,
        (_, network) => network,
    };
    Some(Condition::Towards(network, destination.port))
}

/// What of an IPv6 network means IPv4 destinations: nothing, a network, or, as `Some(None)`, all of them.
fn of_ipv4(network: Ipv6Net) -> Option<Option<IpNet>> {
    let first = IpAddr::from(network.network()).to_canonical();
    if let (IpAddr::V4(first), Some(bits)) = (first, network.prefix_len().checked_sub(MAPPED_BITS)) {
        return Some(Some(IpNet::new(first.into(), bits).ok()?));
    }
    let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0, 0]);
    IpNet::V6(network).contains(&mapped).then_some(None)
}

/// The program of which all conditions must hold.
pub(super) fn all_of(conditions: &[Condition]) -> Vec<u8> {
    let operations: Vec<(u8, Vec<u8>)> = conditions.iter().map(operation).collect();
    let mut left: usize = operations.iter().map(|(_, rest)| usize::from(OPERATION_BYTES) + rest.len()).sum();
    let mut program = Vec::with_capacity(left);
    for (code, rest) in operations {
        // One operation behind the end means no.
        let operation = encoded(code, &rest, left + usize::from(OPERATION_BYTES));
        left -= operation.len();
        program.extend(operation);
    }
    program
}

/// Holds for what `program` holds for, and for each socket without a peer, whose destination port is 0.
pub(super) fn or_no_peer(program: &[u8]) -> Vec<u8> {
    let has_peer = compared_with(1);
    // The end itself means yes.
    let accept = usize::from(OPERATION_BYTES) + has_peer.len() + program.len();
    [encoded(DESTINATION_PORT_AT_LEAST, &has_peer, accept), program.to_vec()].concat()
}

/// An operation, behind which it goes on if it holds; if not so many bytes are skipped from its beginning.
fn encoded(code: u8, rest: &[u8], otherwise: usize) -> Vec<u8> {
    let length = u8::try_from(usize::from(OPERATION_BYTES) + rest.len()).unwrap_or(u8::MAX);
    let otherwise = u16::try_from(otherwise).unwrap_or(u16::MAX).to_ne_bytes();
    [&[code, length], &otherwise[..], rest].concat()
}

/// The port stands in the place for jumps of a second operation (`valid_port_comparison`).
fn compared_with(port: u16) -> Vec<u8> {
    [[0, 0], port.to_ne_bytes()].concat()
}

/// Its code, and what stands behind its head.
fn operation(condition: &Condition) -> (u8, Vec<u8>) {
    match *condition {
        Condition::AtLeast(port) => (LOCAL_PORT_AT_LEAST, compared_with(port)),
        Condition::AtMost(port) => (LOCAL_PORT_AT_MOST, compared_with(port)),
        Condition::Towards(network, port) => (DESTINATION, host(network, port)),
    }
}

/// `struct inet_diag_hostcond`: family, bits, two bytes of padding, the port in host order or -1, the address.
fn host(network: Option<IpNet>, port: Option<u16>) -> Vec<u8> {
    let (family, address) = match network.map(|network| network.network()) {
        None => (0, Vec::new()),
        Some(IpAddr::V4(address)) => (Family::V4 as u8, address.octets().to_vec()),
        Some(IpAddr::V6(address)) => (Family::V6 as u8, address.octets().to_vec()),
    };
    let bits = network.map_or(0, |network| network.prefix_len());
    let mut bytes = vec![family, bits, 0, 0];
    bytes.extend(port.map_or(-1, i32::from).to_ne_bytes());
    bytes.extend(address);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Condition, Destination, Family, all_of, local_ports, or_no_peer, towards};
    use crate::event::PortRange;

    #[test]
    fn a_program_skips_behind_its_end_where_a_condition_does_not_hold() {
        let range = local_ports(PortRange { low: 0x1234, high: 0x5678 });
        let at_most = [3, 8, 12, 0, 0, 0, 0x78, 0x56];
        assert_eq!(all_of(&range), [&[2, 8, 20, 0, 0, 0, 0x34, 0x12][..], &at_most].concat());
        let port = Condition::Towards(None, Some(80));
        assert_eq!(all_of(&[port]), [8, 12, 16, 0, 0, 0, 0, 0, 80, 0, 0, 0]);
        let network = Condition::Towards(Some("10.0.0.0/8".parse().unwrap()), None);
        let expected = [8, 16, 20, 0, 2, 8, 0, 0, 0xff, 0xff, 0xff, 0xff, 10, 0, 0, 0];
        assert_eq!(all_of(&[network]), expected);
        assert!(all_of(&[]).is_empty());
        assert_eq!(or_no_peer(&at_most), [&[4, 8, 16, 0, 0, 0, 1, 0][..], &at_most].concat());
    }

    #[test]
    fn each_family_is_asked_for_what_of_a_destination_it_can_have() {
        let cases = [
            ("an IPv4 network: mapped ones too", "10.0.0.0/8", Some("10.0.0.0/8"), Some("10.0.0.0/8")),
            ("an IPv6 network", "2001:db8::/32", None, Some("2001:db8::/32")),
            ("all of IPv6, IPv4 in it", "::/0", Some(""), Some("::/0")),
            ("mapped addresses only", "::ffff:10.0.0.0/104", Some("10.0.0.0/8"), Some("::ffff:10.0.0.0/104")),
        ];
        for (what, network, v4, v6) in cases {
            let destination = Destination { network: Some(network.parse().unwrap()), port: None };
            let asked =
                |network: Option<&str>| network.map(|network| Condition::Towards(network.parse().ok(), None));
            assert_eq!(towards(&destination, Family::V4), asked(v4), "{what}");
            assert_eq!(towards(&destination, Family::V6), asked(v6), "{what}");
        }
    }
}
