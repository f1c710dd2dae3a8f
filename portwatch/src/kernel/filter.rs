//! From what is to be reported to the form the kernel side compares with.

use std::net::IpAddr;

use ipnet::IpNet;
use portwatch_ebpf::abi;

use crate::event::{Errno, Errnos, Filter};

/// The filter in the kernel side's form.
pub(super) fn injected(filter: &Filter) -> abi::Filter {
    let mut form = abi::Filter::default();
    match &filter.errnos {
        Errnos::All => form.errnos = [u64::MAX; 3],
        Errnos::Shortage => form.shortage = 1,
        Errnos::These(errnos) => errnos.iter().for_each(|errno| set(&mut form.errnos, *errno)),
    }
    if let Some(tgid) = filter.tgid {
        form.tgid = tgid.0;
    }
    if let Some(comm) = &filter.comm {
        let mut name = [0; abi::COMM_LEN];
        // One byte stays for the terminating NUL.
        for (place, byte) in name.iter_mut().take(abi::COMM_LEN - 1).zip(&comm.0) {
            *place = *byte;
        }
        form.comm = words(name);
    }
    if let Some(destination) = filter.destination {
        if let Some(network) = destination.network {
            (form.destination, form.destination_mask) = mapped(network);
        }
        form.destination_port_be = destination.port.unwrap_or(0).to_be();
    }
    form.netns = filter.netns.map_or(0, |id| id.0);
    form.chooses = (filter.tgid.is_some()
        || filter.comm.is_some()
        || filter.destination.is_some()
        || filter.netns.is_some()
        || filter.cgroup.is_some())
    .into();
    form.cgroup = filter.cgroup.is_some().into();
    form
}

fn set(words: &mut [u64; 3], errno: Errno) {
    if let Some(word) = words.get_mut(usize::from(errno.0 / 64)) {
        *word |= 1 << (errno.0 % 64);
    }
}

/// Network and mask in the form that the kernel side has addresses in.
fn mapped(network: IpNet) -> (abi::Address, abi::Address) {
    let (address, prefix_bits) = match network.network() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), 96 + u32::from(network.prefix_len())),
        IpAddr::V6(v6) => (v6, u32::from(network.prefix_len())),
    };
    let mask = u128::MAX.checked_shl(128 - prefix_bits).unwrap_or(0);
    (words(address.octets()), words(mask.to_be_bytes()))
}

fn words(bytes: [u8; 16]) -> abi::Words {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*chunk);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{injected, words};
    use crate::event::{Destination, Errno, Errnos, Filter};

    /// What the kernel side computes (`portwatch-ebpf/src/report.rs`, `passes`).
    fn inside(filter: &Filter, address: &str) -> bool {
        let form = injected(filter);
        let address: IpAddr = address.parse().unwrap();
        let bytes = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        let destination = words(bytes);
        (0..4).all(|n| destination[n] & form.destination_mask[n] == form.destination[n])
    }

    #[test]
    fn a_destination_is_inside_its_network_only() {
        let cases = [
            ("10.0.0.0/8", "10.9.8.7", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.4", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", true),
        ];
        for (network, address, expected) in cases {
            let destination = Destination { network: Some(network.parse().unwrap()), port: None };
            let filter = Filter { destination: Some(destination), ..Filter::default() };
            assert_eq!(inside(&filter, address), expected, "{address} in {network}");
        }
        assert!(inside(&Filter::default(), "10.0.0.1") && inside(&Filter::default(), "::1"));
    }

    #[test]
    fn each_error_number_has_its_bit() {
        let form = |errnos| {
            let form = injected(&Filter { errnos, ..Filter::default() });
            (form.shortage, form.errnos)
        };
        assert_eq!(form(Errnos::Shortage), (1, [0; 3]));
        assert_eq!(form(Errnos::All), (0, [u64::MAX; 3]));
        let some = Errnos::These(vec![Errno(1), Errno(101), Errno(133)]);
        assert_eq!(form(some), (0, [1 << 1, 1 << 37, 1 << 5]));
    }
}
