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
