//! From type information to the offsets that the kernel side is given.

use portwatch_ebpf::abi::Layout;

use super::btf::{Btf, BtfError};

/// Where the members are that hooks read.
pub(super) fn resolve(btf: &Btf) -> Result<Layout, BtfError> {
    let sock = |member: &str| btf.member("sock_common", member).map(|found| found.offset);
    let task = |member: &str| btf.member("task_struct", member).map(|found| found.offset);
    // `int[2]` behind a seqlock up to 6.7, one u32 since (include/net/netns/ipv4.h, struct local_ports).
    let range = btf.member("net", "ipv4.ip_local_ports.range")?;
    Ok(Layout {
        sock_family: sock("skc_family")?,
        sock_protocol: btf.member("sock", "sk_protocol")?.offset,
        sock_destination_v4: sock("skc_daddr")?,
        sock_source_v4: sock("skc_rcv_saddr")?,
        sock_destination_v6: sock("skc_v6_daddr")?,
        sock_source_v6: sock("skc_v6_rcv_saddr")?,
        sock_destination_port: sock("skc_dport")?,
        sock_source_port: sock("skc_num")?,
        sock_net: sock("skc_net.net")?,
        net_inum: btf.member("net", "ns.inum")?.offset,
        net_port_range: range.offset,
        net_port_range_packed: u32::from(!range.is_array),
        task_group_leader: task("group_leader")?,
        task_start_boot_ns: task("start_boottime")?,
        task_comm: task("comm")?,
        reserved: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use crate::kernel::btf::Btf;
    use crate::kernel::btf::tests::{Builder, kind};

    /// A kernel whose port range has the type with this id: 1 is an int, 2 an array of them.
    fn kernel(range_type: u32, without: &str) -> Vec<u8> {
        let mut btf = Builder::new();
        btf.add("int", kind::INT, 0, 4, &[32]); // 1
        btf.add("", kind::ARRAY, 0, 0, &[1, 1, 2]); // 2
        btf.record("local_ports", kind::STRUCT, &[("lock", 1, 0), ("range", range_type, 64)]); // 3
        btf.record("netns_ipv4", kind::STRUCT, &[("ip_local_ports", 3, 128)]); // 4
        btf.record("ns_common", kind::STRUCT, &[("inum", 1, 32)]); // 5
        btf.record("net", kind::STRUCT, &[("ns", 5, 320), ("ipv4", 4, 1024)]); // 6
        btf.record("possible_net_t", kind::STRUCT, &[("net", 1, 0)]); // 7
        let common = [
            "skc_daddr",
            "skc_rcv_saddr",
            "skc_dport",
            "skc_num",
            "skc_family",
            "skc_v6_daddr",
            "skc_v6_rcv_saddr",
        ];
        let mut members: Vec<_> =
            (0..).map(|n| n * 32).zip(common).map(|(bits, name)| (name, 1, bits)).collect();
        members.push(("skc_net", 7, 384));
        members.retain(|(name, ..)| *name != without);
        btf.record("sock_common", kind::STRUCT, &members);
        btf.record("sock", kind::STRUCT, &[("sk_protocol", 1, 4096)]);
        let task = [("group_leader", 1, 8 * 100), ("start_boottime", 1, 8 * 200), ("comm", 1, 8 * 300)];
        btf.record("task_struct", kind::STRUCT, &task);
        btf.bytes()
    }

    #[test]
    fn offsets_are_those_of_the_kernel_that_runs() {
        let layout = resolve(&Btf::parse(kernel(1, "")).unwrap()).unwrap();
        assert_eq!((layout.sock_destination_v4, layout.sock_family, layout.sock_net), (0, 16, 48));
        assert_eq!((layout.net_inum, layout.sock_protocol), (40 + 4, 512));
        assert_eq!((layout.task_group_leader, layout.task_start_boot_ns, layout.task_comm), (100, 200, 300));
    }

    #[test]
    fn a_port_range_is_one_word_or_two() {
        let packed = resolve(&Btf::parse(kernel(1, "")).unwrap()).unwrap();
        let array = resolve(&Btf::parse(kernel(2, "")).unwrap()).unwrap();
        assert_eq!((packed.net_port_range, packed.net_port_range_packed), (128 + 16 + 8, 1));
        assert_eq!((array.net_port_range, array.net_port_range_packed), (128 + 16 + 8, 0));
    }

    #[test]
    fn a_member_that_is_missing_is_named() {
        let error = resolve(&Btf::parse(kernel(1, "skc_num")).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no member sock_common.skc_num");
    }
}
