//! From type information to the offsets that the kernel side is given.

use portwatch_ebpf::abi::{Duties, Layout, TASK_BY_PROBE, TASK_BY_TYPE, TASK_NOT_READ};

use super::btf::{Btf, BtfError};

/// `THREAD_SIZE` of x86-64 (arch/x86/include/asm/page_64_types.h), where the stack of a system call begins. Only
/// needed where `bpf_task_pt_regs` does not tell (before 5.15).
const STACK_BYTES: u32 = 16 * 1024;

/// Where the members are that programs read.
///
/// Those that only say more about a failure, and those that only some programs read, are 0 where the kernel has none: the
/// kernel side does without the former, and `plan` attaches no program that needs one of the latter.
pub(super) fn resolve(btf: &Btf) -> Result<Layout, BtfError> {
    let member = |name: &str, path: &str| {
        let found = btf.member(name, path)?;
        // Only those that are read as bits may be some.
        let whole = BtfError::Missing { what: "whole member", name: format!("{name}.{path}") };
        if found.bit == 0 { Ok(found.offset) } else { Err(whole) }
    };
    let optional = |name: &str, path: &str| member(name, path).unwrap_or(0);
    let common = |path: &str| member("sock_common", path);
    // `int[2]` behind a seqlock up to 6.7, one u32 since (include/net/netns/ipv4.h, struct local_ports).
    let range = btf.member("net", "ipv4.ip_local_ports.range")?;
    let bits = |name: &str| btf.member("sock", name).map_or((0, 0), |found| (found.offset, found.bit));
    let (kernel, locks) = (bits("sk_kern_sock"), bits("sk_userlocks"));
    Ok(Layout {
        sock_family: common("skc_family")?,
        sock_protocol: member("sock", "sk_protocol")?,
        sock_destination_v4: common("skc_daddr")?,
        sock_source_v4: common("skc_rcv_saddr")?,
        sock_destination_v6: common("skc_v6_daddr")?,
        sock_source_v6: common("skc_v6_rcv_saddr")?,
        sock_destination_port: common("skc_dport")?,
        sock_source_port: common("skc_num")?,
        sock_net: common("skc_net.net")?,
        sock_error: optional("sock", "sk_err"),
        sock_hash: optional("sock", "sk_txhash"),
        sock_kernel: kernel.0,
        sock_kernel_bit: kernel.1,
        sock_locks: locks.0,
        sock_locks_shift: locks.1,
        sock_own_range: optional("inet_sock", "local_port_range"),
        sock_sent_port: optional("inet_sock", "inet_sport"),
        sock_cookie: optional("sock_common", "skc_cookie"),
        tcp_fastopen_request: optional("tcp_sock", "fastopen_req"),
        tcp_is_mptcp: optional("tcp_sock", "is_mptcp"),
        socket_sock: member("socket", "sk")?,
        net_inum: member("net", "ns.inum")?,
        net_port_range: range.offset,
        net_port_range_packed: u32::from(!range.is_array),
        task_group_leader: member("task_struct", "group_leader")?,
        task_start_boot_ns: member("task_struct", "start_boottime")?,
        task_comm: member("task_struct", "comm")?,
        task_flags: member("task_struct", "flags")?,
        task_stack: optional("task_struct", "stack"),
        stack_registers: STACK_BYTES.saturating_sub(btf.size("pt_regs")?),
        registers_syscall: member("pt_regs", "orig_ax")?,
        registers_argument_2: member("pt_regs", "si")?,
        registers_argument_5: member("pt_regs", "r8")?,
        registers_argument_1: member("pt_regs", "di")?,
        task_files: optional("task_struct", "files"),
        files_table: optional("files_struct", "fdt"),
        table_files: optional("fdtable", "fd"),
        table_size: optional("fdtable", "max_fds"),
        file_private: optional("file", "private_data"),
        sock_socket: optional("sock", "sk_socket"),
        mptcp_first: optional("mptcp_sock", "first"),
        // From 6.2 on a socket of MPTCP connects as others do; up to 6.5 so does its path, then.
        mptcp_passes_twice: (btf.function("mptcp_connect").is_some()
            && btf.member("mptcp_sock", "subflow").is_ok())
        .into(),
    })
}

/// The means that this kernel offers to look at the task that runs. `probe_reads`: whether `bpf_probe_read_kernel` is
/// allowed.
pub(super) fn duties(btf: &Btf, probe_reads: bool) -> Duties {
    let helper = |name: &str| btf.has_enumerator("bpf_func_id", &format!("BPF_FUNC_{name}"));
    let typed = helper("get_current_task_btf");
    Duties {
        task_by: match (typed, probe_reads) {
            (true, _) => TASK_BY_TYPE,
            (false, true) => TASK_BY_PROBE,
            (false, false) => TASK_NOT_READ,
        },
        probe_reads: probe_reads.into(),
        task_registers: (typed && helper("task_pt_regs")).into(),
        // The helper is older, but only for other programs; this is what came with it for those here.
        cookies: (btf.function("bpf_get_socket_ptr_cookie").is_some()
            && btf.member("sock_common", "skc_cookie").is_ok())
        .into(),
        ..Duties::default()
    }
}

#[cfg(test)]
mod tests {
    use portwatch_ebpf::abi::{TASK_BY_PROBE, TASK_BY_TYPE, TASK_NOT_READ};

    use super::{duties, resolve};
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
            "skc_cookie",
        ];
        let mut members: Vec<_> =
            (0..).map(|n| n * 32).zip(common).map(|(bits, name)| (name, 1, bits)).collect();
        members.push(("skc_net", 7, 384));
        members.retain(|(name, ..)| *name != without);
        btf.record("sock_common", kind::STRUCT, &members);
        let sock = [
            ("sk_protocol", 1, 4096),
            ("sk_err", 1, 5000 * 8),
            ("sk_txhash", 1, 5004 * 8),
            ("sk_kern_sock", 1, 6000 * 8 + 1),
            ("sk_userlocks", 1, 6001 * 8 + 4),
        ];
        let sock: Vec<_> = sock.into_iter().filter(|(name, ..)| *name != without).collect();
        btf.record("sock", kind::STRUCT, &sock);
        btf.record("inet_sock", kind::STRUCT, &[("inet_sport", 1, 800)]);
        btf.record("socket", kind::STRUCT, &[("sk", 1, 192)]);
        let registers = [("orig_ax", 1, 8 * 120), ("si", 1, 8 * 104), ("r8", 1, 8 * 72), ("di", 1, 8 * 112)];
        btf.record("pt_regs", kind::STRUCT, &registers);
        let task = [
            ("group_leader", 1, 8 * 100),
            ("start_boottime", 1, 8 * 200),
            ("comm", 1, 8 * 300),
            ("flags", 1, 8 * 44),
        ];
        btf.record("task_struct", kind::STRUCT, &task);
        let helpers = [("BPF_FUNC_map_lookup_elem", 1), ("BPF_FUNC_get_current_task_btf", 158)];
        btf.enumeration("bpf_func_id", &helpers);
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
    fn a_bit_has_a_byte_and_a_place_in_it() {
        let layout = resolve(&Btf::parse(kernel(1, "")).unwrap()).unwrap();
        assert_eq!((layout.sock_kernel, layout.sock_kernel_bit), (6000, 1));
        assert_eq!((layout.sock_locks, layout.sock_locks_shift), (6001, 4));
    }

    #[test]
    fn what_a_kernel_need_not_have_is_nowhere_where_it_has_not() {
        let layout = resolve(&Btf::parse(kernel(1, "")).unwrap()).unwrap();
        assert_eq!((layout.sock_own_range, layout.tcp_is_mptcp), (0, 0));
        for member in ["sk_err", "sk_txhash", "sk_kern_sock", "sk_userlocks", "skc_cookie"] {
            let layout = resolve(&Btf::parse(kernel(1, member)).unwrap()).unwrap();
            let offsets = [
                ("sk_err", layout.sock_error),
                ("sk_txhash", layout.sock_hash),
                ("sk_kern_sock", layout.sock_kernel),
                ("sk_userlocks", layout.sock_locks),
                ("skc_cookie", layout.sock_cookie),
            ];
            for (name, offset) in offsets {
                assert_eq!(offset != 0, name != member, "{name} without {member}");
            }
        }
    }

    #[test]
    fn a_task_is_looked_at_by_the_best_means_there_are() {
        let btf = Btf::parse(kernel(1, "")).unwrap();
        let known = duties(&btf, true);
        assert_eq!((known.task_by, known.probe_reads, known.task_registers), (TASK_BY_TYPE, 1, 0));
        let old = Btf::parse(Builder::new().bytes()).unwrap();
        assert_eq!(duties(&old, true).task_by, TASK_BY_PROBE);
        assert_eq!(duties(&old, false).task_by, TASK_NOT_READ);
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
