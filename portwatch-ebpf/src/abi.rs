//! Everything that crosses the kernel boundary, in both directions.
//!
//! In: nothing. Out: fixed layouts. Must not know: user space, file formats. A record is private to one build:
//! both sides are compiled from this file and a capture file never contains these bytes.
//!
//! Rules: fixed-width integers and byte arrays, largest first, no implicit padding, no enum, bool, Option or
//! usize. Byte order stands in the name where it is not the machine's own (`_be`); units do too.

use core::mem::{offset_of, size_of};

/// Bytes of a thread name, terminating NUL included: `TASK_COMM_LEN`, include/linux/sched.h.
pub const COMM_LEN: usize = 16;

/// Sixteen bytes as they lie in memory, in words because the kernel side copies and compares them so.
pub type Words = [u32; 4];
/// An IPv6 address, or an IPv4 one in its mapped form `::ffff:a.b.c.d`: the bytes on the wire.
pub type Address = Words;
/// A task's name: [`COMM_LEN`] bytes, NUL-terminated; what follows the NUL is arbitrary.
pub type Comm = Words;

/// [`FailureKey::hook`]: `__inet_hash_connect`, which searches a local port, returned the error.
pub const HOOK_PORT_SEARCH: u8 = 1;
/// [`FailureKey::hook`]: `tcp_v4_connect` returned an error that no port-search hook had seen.
pub const HOOK_TCP_V4_CONNECT: u8 = 2;
/// [`FailureKey::hook`]: `tcp_v6_connect` returned an error that no port-search hook had seen.
pub const HOOK_TCP_V6_CONNECT: u8 = 3;

/// [`FailureKey::flags`]: the socket had a local port of its own when the search began.
pub const FLAG_HAD_PORT: u8 = 1;
/// [`FailureKey::flags`]: an `AF_INET6` socket was used with an IPv4 address.
pub const FLAG_V4_MAPPED: u8 = 2;

/// What failures are counted by: the process, where it wanted to go, and how that failed.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FailureKey {
    /// Start of the thread group's leader, boot-clock nanoseconds; with `tgid` the identity of a process.
    pub start_boot_ns: u64,
    /// Destination; unspecified where the caller gave none that could be read.
    pub destination: Address,
    /// Thread-group id in the initial pid namespace: what operators call the pid.
    pub tgid: u32,
    /// Inode number of the socket's network namespace.
    pub netns: u32,
    /// Destination port, network byte order.
    pub destination_port_be: u16,
    /// Positive error number.
    pub errno: u16,
    /// One of the `HOOK_` constants.
    pub hook: u8,
    /// `FLAG_` bits.
    pub flags: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

/// The count of one [`FailureKey`], and what the summary says about its process.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureCount {
    /// Failures so far; only ever grows.
    pub count: u64,
    /// The first, boot-clock nanoseconds.
    pub first_boot_ns: u64,
    /// The latest, boot-clock nanoseconds; racing processors may store a slightly older one.
    pub last_boot_ns: u64,
    /// Version 2 control group of the first.
    pub cgroup_id: u64,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Group id in the initial user namespace.
    pub gid: u32,
    /// Name of the thread-group leader.
    pub leader_comm: Comm,
}

/// One failed connect, in detail.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureRecord {
    /// When the hook ran, boot-clock nanoseconds.
    pub boot_ns: u64,
    /// Version 2 control group of the caller.
    pub cgroup_id: u64,
    /// What the failure is counted by.
    pub key: FailureKey,
    /// Source address; unspecified where the kernel had none or had already dropped it.
    pub source: Address,
    /// Name of the calling thread; after its NUL only NULs.
    pub comm: Comm,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Group id in the initial user namespace.
    pub gid: u32,
    /// Local port, host byte order; 0 where the socket had none.
    pub source_port: u16,
    /// Lowest port of the namespace's local port range.
    pub range_low: u16,
    /// Highest port of the namespace's local port range.
    pub range_high: u16,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Index into the map of losses: the ring refused a record.
pub const LOSS_RING_FULL: u32 = 0;
/// Index into the map of losses: the table of counts refused a new key; here its failure is counted instead.
pub const LOSS_COUNTS_FULL: u32 = 1;
/// Number of loss counters.
pub const LOSSES: u32 = 2;

/// Keys that the table of counts holds.
pub const COUNTS_MAX_KEYS: u32 = 16 * 1024;
/// Bytes of the ring: 8,738 records of 112 bytes with their 8-byte headers, what a storm makes while the reader is
/// not scheduled.
pub const RING_BYTES: u32 = 1024 * 1024;

/// Byte offsets of kernel members, resolved from the running kernel's BTF, and what to report.
///
/// Injected before load as read-only data, so the verifier sees constants and removes what is switched off.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// Where kernel members are.
    pub layout: Layout,
    /// What to report.
    pub filter: Filter,
}

/// Byte offsets of kernel members.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// `sock_common.skc_family`, u16.
    pub sock_family: u32,
    /// `sock.sk_protocol`, u16.
    pub sock_protocol: u32,
    /// `sock_common.skc_daddr`, 4 bytes on the wire.
    pub sock_destination_v4: u32,
    /// `sock_common.skc_rcv_saddr`, 4 bytes on the wire.
    pub sock_source_v4: u32,
    /// `sock_common.skc_v6_daddr`, 16 bytes on the wire.
    pub sock_destination_v6: u32,
    /// `sock_common.skc_v6_rcv_saddr`, 16 bytes on the wire.
    pub sock_source_v6: u32,
    /// `sock_common.skc_dport`, u16, network byte order.
    pub sock_destination_port: u32,
    /// `sock_common.skc_num`, u16, host byte order.
    pub sock_source_port: u32,
    /// `sock_common.skc_net.net`, pointer to `struct net`.
    pub sock_net: u32,
    /// `net.ns.inum`, u32.
    pub net_inum: u32,
    /// `net.ipv4.ip_local_ports.range`.
    pub net_port_range: u32,
    /// 1 where the range is one u32 `high << 16 | low` (6.8 and newer), 0 where it is `int[2]`.
    pub net_port_range_packed: u32,
    /// `task_struct.group_leader`, pointer.
    pub task_group_leader: u32,
    /// `task_struct.start_boottime`, u64 nanoseconds.
    pub task_start_boot_ns: u32,
    /// `task_struct.comm`, [`COMM_LEN`] bytes.
    pub task_comm: u32,
    /// Zero.
    pub reserved: u32,
}

/// Which failures are reported and counted; a zero field lets everything pass.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Bit n of word n / 64 set: error number n is reported.
    pub errnos: [u64; 3],
    /// Network of the destination, in the form of [`Address`].
    pub destination: Address,
    /// Mask of `destination`.
    pub destination_mask: Address,
    /// Name of the calling thread, padded with NULs; all zero for every name.
    pub comm: Comm,
    /// Thread-group id.
    pub tgid: u32,
    /// Destination port, network byte order.
    pub destination_port_be: u16,
    /// Zero.
    pub reserved: [u8; 2],
}

// Sizes and a few offsets, so that a change of layout is a change of this file.
const _: () = {
    assert!(size_of::<FailureKey>() == 8 + 16 + 4 + 4 + 2 + 2 + 1 + 1 + 2);
    assert!(size_of::<FailureCount>() == 4 * 8 + 2 * 4 + 16);
    assert!(size_of::<FailureRecord>() == 8 + 8 + 40 + 16 + 16 + 12 + 6 + 6);
    assert!(offset_of!(FailureRecord, reserved) + 6 == size_of::<FailureRecord>());
    assert!(size_of::<Layout>() == 16 * 4);
    assert!(size_of::<Filter>() == 3 * 8 + 3 * 16 + 4 + 2 + 2);
    assert!(size_of::<Comm>() == COMM_LEN);
    assert!(size_of::<Settings>() == size_of::<Layout>() + size_of::<Filter>());
    assert!(LOSS_RING_FULL < LOSSES && LOSS_COUNTS_FULL < LOSSES);
};
