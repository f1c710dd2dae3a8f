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

/// [`FailureKey::place`]: the search for a local port, `__inet_hash_connect`, returned the error.
pub const PLACE_PORT_SEARCH: u8 = 1;
/// [`FailureKey::place`]: TCP's connect returned an error that no hook on the port search had seen.
pub const PLACE_CONNECT: u8 = 2;
/// [`FailureKey::place`]: `__inet_bind` or `__inet6_bind` returned the error.
pub const PLACE_BIND: u8 = 3;
/// [`FailureKey::place`]: a socket that was used without a port got none, `inet_autobind`.
pub const PLACE_AUTOBIND: u8 = 4;
/// [`FailureKey::place`]: the socket layer, a security module or a control group refused before the transport was
/// asked, or the transport is not TCP.
pub const PLACE_SOCKET: u8 = 5;
/// [`FailureKey::place`]: the network answered, or did not, after connect() had sent its packet.
pub const PLACE_NETWORK: u8 = 6;

/// [`FailureKey::place`]: the system call returned the error, and no hook tells where it came from.
pub const PLACE_SYSCALL: u8 = 7;

/// [`FailureKey::call`]: connect(2), or what in the kernel does the same.
pub const CALL_CONNECT: u8 = 1;
/// [`FailureKey::call`]: bind(2).
pub const CALL_BIND: u8 = 2;
/// [`FailureKey::call`]: sendto(2) or another call that sends.
pub const CALL_SENDTO: u8 = 3;

/// [`FailureKey::protocol`]: TCP.
pub const PROTOCOL_TCP: u8 = 1;
/// [`FailureKey::protocol`]: UDP.
pub const PROTOCOL_UDP: u8 = 2;
/// [`FailureKey::protocol`]: TCP as a path of an MPTCP connection, or MPTCP itself.
pub const PROTOCOL_MPTCP: u8 = 3;

/// [`FailureKey::flags`]: the socket had a local port of its own when the search began.
pub const FLAG_HAD_PORT: u8 = 1;
/// [`FailureKey::flags`]: an `AF_INET6` socket was used with an IPv4 address.
pub const FLAG_V4_MAPPED: u8 = 2;
/// [`FailureKey::flags`]: the socket is the kernel's own, or a thread of the kernel called.
pub const FLAG_KERNEL_SOCKET: u8 = 4;

/// What failures are counted by: the process, what it wanted, and how that failed.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FailureKey {
    /// Start of the thread group's leader, boot-clock nanoseconds; with `tgid` the identity of a process. 0 where
    /// the kernel side cannot know it.
    pub start_boot_ns: u64,
    /// Destination, or for [`CALL_BIND`] the local address; unspecified where the caller gave none that could be
    /// read.
    pub address: Address,
    /// Thread-group id in the initial pid namespace: what operators call the pid. 0 where the caller is not known.
    pub tgid: u32,
    /// Inode number of the socket's network namespace.
    pub netns: u32,
    /// Port that goes with `address`, network byte order.
    pub port_be: u16,
    /// Positive error number.
    pub errno: u16,
    /// One of the `PLACE_` constants.
    pub place: u8,
    /// `FLAG_` bits.
    pub flags: u8,
    /// One of the `PROTOCOL_` constants.
    pub protocol: u8,
    /// One of the `CALL_` constants.
    pub call: u8,
}

/// The count of one [`FailureKey`], and what the summary says about its process.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureCount {
    /// Failures so far; only ever grows.
    pub count: u64,
    /// The first, boot-clock nanoseconds.
    pub first_boot_ns: u64,
    /// The latest, boot-clock nanoseconds. Racing processors may store a slightly older one, and of failures whose
    /// detail is suppressed the first of each timer tick stands for all.
    pub last_boot_ns: u64,
    /// Version 2 control group of the first.
    pub cgroup_id: u64,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Group id in the initial user namespace.
    pub gid: u32,
    /// Name of the thread-group leader.
    pub leader_comm: Comm,
    /// How much detail this key has sent lately.
    pub budget: Budget,
}

/// A place in the table of counts. It is read from its beginning, and [`FailureCount::count`] is zero until all of it
/// is there.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountPlace {
    /// The count of the failures of `key`.
    pub count: FailureCount,
    /// What is counted here, for good. Where threads meet a new key at one moment, it may come to have two places.
    pub key: FailureKey,
    /// The hash of `key`; 0 while the place is free.
    pub hash: u64,
}

/// How many records were sent in the present window of [`WINDOW_SHIFT`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Budget {
    /// The timer tick (`jiffies`) in which the budget was last found spent; 0 since it was not.
    pub spent_at: u64,
    /// Which window: boot-clock nanoseconds, shifted right.
    pub window: u32,
    /// Records in it; racing processors may forget one another's.
    pub sent: u32,
}

/// Boot-clock nanoseconds are counted in windows of 2 to this power: 1.07 s.
pub const WINDOW_SHIFT: u32 = 30;
/// Records that one key may send in one window unless the user says otherwise: more than anybody reads, and little
/// to the ring.
pub const DETAIL_PER_WINDOW: u32 = 2000;

/// A caller who may have to answer for an error that the network has yet to send.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Start of the thread group's leader, boot-clock nanoseconds.
    pub start_boot_ns: u64,
    /// Version 2 control group.
    pub cgroup_id: u64,
    /// The socket's cookie; 0 where it has none. Another socket may come to have the same address.
    pub cookie: u64,
    /// Name of the calling thread.
    pub comm: Comm,
    /// Name of the thread-group leader.
    pub leader_comm: Comm,
    /// Thread-group id in the initial pid namespace.
    pub tgid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Group id in the initial user namespace.
    pub gid: u32,
    /// 1 for a thread of the kernel.
    pub kernel_thread: u32,
    /// 1 where the control group is one of those that [`Filter::cgroup`] asks for.
    pub in_cgroup: u32,
}

/// Who connected a socket that lives, or is in TIME_WAIT.
///
/// A place is written while others may read or write it: who finds that [`Owner::check`] does not hold has read what does
/// not belong together.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The socket's cookie; 0 while the place is free.
    pub cookie: u64,
    /// When it connected, boot-clock nanoseconds.
    pub connected_boot_ns: u64,
    /// Start of the thread group's leader, boot-clock nanoseconds.
    pub start_boot_ns: u64,
    /// Version 2 control group.
    pub cgroup_id: u64,
    /// Name of the thread-group leader.
    pub leader_comm: Comm,
    /// Thread-group id in the initial pid namespace.
    pub tgid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Group id in the initial user namespace.
    pub gid: u32,
    /// Zero.
    pub reserved: u32,
    /// [`Owner::check`] of the others.
    pub check: u64,
}

impl Owner {
    /// What depends on every field but `check`.
    #[must_use]
    #[inline(always)]
    pub fn check(&self) -> u64 {
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        let [a, b, c, d] = self.leader_comm;
        let words = [
            self.connected_boot_ns,
            self.start_boot_ns,
            self.cgroup_id,
            pair(a, b),
            pair(c, d),
            pair(self.tgid, self.uid),
            pair(self.gid, 0),
        ];
        words.into_iter().fold(self.cookie, |sum, word| sum.rotate_left(9) ^ word)
    }
}

/// Places that one socket's owner may have.
pub const OWNERS_GROUP: u32 = 8;
/// One value of the map of owners.
pub type OwnerGroup = [Owner; OWNERS_GROUP as usize];

/// Which of `owners` / [`OWNERS_GROUP`] groups has the places of a socket with this cookie. Cookies come in portions, one for each processor: they are scattered, so that no two processors share places.
#[must_use]
#[inline(always)]
pub fn owner_group(cookie: u64, owners: u32) -> u32 {
    // Knuth, multiplicative hashing: 2^64 / the golden ratio. Its upper bits are what is even.
    let scattered = cookie.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    ((scattered * u64::from(owners / OWNERS_GROUP)) >> 32) as u32
}

/// How long a socket is in TIME_WAIT: `TCP_TIMEWAIT_LEN`, include/net/tcp.h (5.10 to 7.3), nanoseconds.
pub const TIME_WAIT_NS: u64 = 60 * 1_000_000_000;

/// One failed call, in detail.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureRecord {
    /// When the hook ran, boot-clock nanoseconds.
    pub boot_ns: u64,
    /// Version 2 control group of the caller.
    pub cgroup_id: u64,
    /// Nanoseconds spent looking for a port; 0 where that was not measured.
    pub search_ns: u64,
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
    /// Lowest port that the socket itself allows (`IP_LOCAL_PORT_RANGE`); 0 where it sets none.
    pub own_low: u16,
    /// Highest port that the socket itself allows; 0 where it sets none.
    pub own_high: u16,
    /// Zero.
    pub reserved: [u8; 2],
}

/// Bytes of a setting's name, terminating NUL included: as many as the longest that is watched needs, and some.
pub const SYSCTL_NAME_LEN: usize = 32;
/// A setting's name as the last part of its path below /proc/sys, padded with NULs.
pub type SysctlName = [u32; SYSCTL_NAME_LEN / 4];

/// A setting whose changes are told, by its [`SysctlName`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchedSysctl {
    /// Which of the settings that user space knows; the kernel side only hands it on.
    pub which: u32,
    /// How its value lies in memory, `SYSCTL_`.
    pub form: u32,
}

/// [`WatchedSysctl::form`]: an int, or an unsigned number of one byte; the kernel says which.
pub const SYSCTL_NUMBER: u32 = 1;
/// [`WatchedSysctl::form`]: an unsigned int.
pub const SYSCTL_UNSIGNED: u32 = 2;
/// [`WatchedSysctl::form`]: an int of timer ticks, told in seconds.
pub const SYSCTL_TICKS: u32 = 3;
/// [`WatchedSysctl::form`]: the namespace's port range, `high << 16 | low` in a record.
pub const SYSCTL_PORT_RANGE: u32 = 4;
/// [`WatchedSysctl::form`]: a pointer to [`Ports`].
pub const SYSCTL_PORTS: u32 = 5;

/// All ports, one bit each, as the kernel's bitmaps have them (`struct ctl_table.data` of `proc_do_large_bitmap`).
pub type Ports = [u64; 1024];

/// A setting that was changed. Records in the ring are told apart by their sizes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysctlRecord {
    /// When the write returned, boot-clock nanoseconds.
    pub boot_ns: u64,
    /// Version 2 control group of the writer.
    pub cgroup_id: u64,
    /// Start of the writer's thread-group leader, as in [`FailureKey::start_boot_ns`].
    pub start_boot_ns: u64,
    /// Name of the writing thread; after its NUL only NULs.
    pub comm: Comm,
    /// Name of the folder that the setting lies in, NUL-terminated: for a setting of an interface that interface.
    pub folder: Words,
    /// Thread-group id in the initial pid namespace.
    pub tgid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// User id in the initial user namespace.
    pub uid: u32,
    /// Group id in the initial user namespace.
    pub gid: u32,
    /// Inode number of the network namespace that the setting belongs to.
    pub netns: u32,
    /// [`WatchedSysctl::which`].
    pub which: u32,
    /// [`WatchedSysctl::form`].
    pub form: u32,
    /// 1 where `old` is known.
    pub has_old: u32,
    /// Value before the write; with [`SYSCTL_PORTS`] zero.
    pub old: u32,
    /// Value after it, likewise.
    pub new: u32,
}

/// A setting of the form [`SYSCTL_PORTS`] that was written; it may have had that value before.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortsSysctlRecord {
    /// Who, where and which.
    pub sysctl: SysctlRecord,
    /// Before the write, if [`SysctlRecord::has_old`].
    pub old: Ports,
    /// After it.
    pub new: Ports,
}

/// Records of changed numbers that are sent in one window of [`WINDOW_SHIFT`] from one group of namespaces: any user may
/// write settings of a namespace of their own, and must not fill the ring, nor hide what others change.
pub const SYSCTLS_PER_WINDOW: u32 = 64;
/// The same of [`PortsSysctlRecord`]s; from all groups they take a quarter of the ring.
pub const PORTS_SYSCTLS_PER_WINDOW: u32 = 2;
/// Groups of namespaces: [`SysctlLayout::own_netns`] alone, and the others by their numbers.
pub const SYSCTL_GROUPS: u32 = 8;

/// Whose searches for a port are measured together.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SearchKey {
    /// Source address.
    pub source: Address,
    /// Destination.
    pub destination: Address,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Destination port, network byte order.
    pub destination_port_be: u16,
    /// Zero.
    pub reserved: [u8; 2],
}

/// How long the searches of one [`SearchKey`] took.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SearchTimes {
    /// Searches.
    pub count: u64,
    /// Those that took [`SLOW_SEARCH_NS`] or longer.
    pub slow: u64,
    /// Nanoseconds of all.
    pub total_ns: u64,
    /// Nanoseconds of the longest; racing processors may forget one.
    pub longest_ns: u64,
}

/// From here on a search for a port is called slow, nanoseconds. With half of the range in use towards one
/// destination a search takes about a millisecond, before that some microseconds.
pub const SLOW_SEARCH_NS: u64 = 100_000;

/// Index into the map of counters: the ring refused a record.
pub const COUNTER_RING_FULL: u32 = 0;
/// Index into the map of counters: a failure whose detail was not sent because its key had sent enough.
pub const COUNTER_SUPPRESSED: u32 = 1;
/// Index into the map of counters: the port-search hook did not run for a failure of the port search, and the witness
/// or the connect hook reported it.
pub const COUNTER_SEARCH_MADE_UP: u32 = 2;
/// Index into the map of counters: the connect hook did not run for a failure that a hook further in reported.
pub const COUNTER_CONNECT_MADE_UP: u32 = 3;
/// Index into the map of counters: a failure that the port-search hook did not run for, and whose witness cannot tell
/// whether it was one of the search.
pub const COUNTER_UNPROVEN: u32 = 4;
/// Index into the map of counters: a call that returned while nothing was known of its beginning, or whose socket was closed
/// by another thread as it returned: if it failed, it is in no count.
pub const COUNTER_CALLS_UNKNOWN: u32 = 5;
/// Index into the map of counters: a connect under way whose caller found no room: if the network answers with an
/// error, nobody will know who called.
pub const COUNTER_CALLERS_FULL: u32 = 6;
/// Index into the map of counters: what a hook further in knew of a failure found no room, and another reported it with
/// less detail.
pub const COUNTER_DETAILS_FULL: u32 = 7;
/// Index into the map of counters: that a failure was reported found no room, or has been forgotten, so the hook of the
/// socket layer may have reported it again.
pub const COUNTER_REPORTED_FULL: u32 = 8;
/// Index into the map of counters: a search for a port that was not measured, as its beginning was not seen, or
/// another thread had its place.
pub const COUNTER_SEARCH_UNMEASURED: u32 = 9;
/// Index into the map of counters: a socket whose owner, who connected it, was remembered.
pub const COUNTER_OWNERS: u32 = 10;
/// Index into the map of counters: an owner who was forgotten for a newer one within [`TIME_WAIT_NS`] of the connect.
pub const COUNTER_OWNERS_FORGOTTEN: u32 = 11;
/// Index into the map of counters: a setting that was changed, without a record: the ring was full, or too many were
/// changed at one time.
pub const COUNTER_SYSCTLS_LOST: u32 = 12;
/// Index into the map of counters: an answer of the network that was reported. Only the kernel side reads it.
pub const COUNTER_ANSWERS: u32 = 13;
/// Index into the map of counters: a bind, or a socket of UDP that got no port, whose fexit program did not run, and which
/// the return of the system call told of.
pub const COUNTER_CALLS_MADE_UP: u32 = 14;
/// Number of counters.
pub const COUNTERS: u32 = 15;

/// Places for owners unless the user says otherwise, 9 MiB. While no more than half of them are needed, as by 1,092 connects
/// a second for as long as [`TIME_WAIT_NS`], 99 in 100 keep theirs: of a group of 8 more than 8 are needed seldom.
pub const OWNERS: u32 = 128 * 1024;
/// The fewest, of which a power of two is made.
pub const OWNERS_LEAST: u32 = 1024;
/// The most: 72 MiB.
pub const OWNERS_MOST: u32 = 1024 * 1024;

/// Rows of searches; what goes beyond is measured together.
pub const SEARCHES_MAX_KEYS: u32 = 4096;
/// Places that are one value of the map of counts: less than a page, as user space calls the kernel for each.
pub const COUNTS_GROUP: u32 = 32;
/// One value of the map of counts.
pub type CountGroup = [CountPlace; COUNTS_GROUP as usize];
/// Groups in which keys find their places: 24,576 places in all, one a key.
pub const COUNTS_GROUPS: u32 = 768;
/// Places in these groups.
pub const COUNTS_PLACES: u32 = COUNTS_GROUPS * COUNTS_GROUP;
/// The group behind them: what is counted there has no place of its own, and no key.
pub const COUNTS_OVERFLOW: u32 = COUNTS_GROUPS;
/// Bytes of the ring: 8,192 records of 120 bytes with their 8-byte headers, what a storm makes while the reader is
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
    /// What to do besides.
    pub duties: Duties,
}

/// Byte offsets of kernel members. Where a kernel lacks one that is called optional, 0 stands: no optional member is
/// the first of its structure.
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
    /// `sock.sk_err`, int.
    pub sock_error: u32,
    /// `sock.sk_txhash`, u32.
    pub sock_hash: u32,
    /// Byte of `sock` that holds `sk_kern_sock`, a bit.
    pub sock_kernel: u32,
    /// That bit.
    pub sock_kernel_bit: u32,
    /// Byte of `sock` that holds `sk_userlocks`.
    pub sock_locks: u32,
    /// How far its bits are shifted left in there.
    pub sock_locks_shift: u32,
    /// `inet_sock.local_port_range`, two u16 or one u32, lowest port first; optional (6.3).
    pub sock_own_range: u32,
    /// `inet_sock.inet_sport`, u16, network byte order.
    pub sock_sent_port: u32,
    /// `sock_common.skc_cookie`, u64.
    pub sock_cookie: u32,
    /// `tcp_sock.fastopen_req`, pointer; optional.
    pub tcp_fastopen_request: u32,
    /// `tcp_sock.is_mptcp`, bool; optional (`CONFIG_MPTCP`).
    pub tcp_is_mptcp: u32,
    /// `socket.sk`, pointer to `struct sock`.
    pub socket_sock: u32,
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
    /// `task_struct.flags`, unsigned int.
    pub task_flags: u32,
    /// `task_struct.stack`, pointer; its top holds the registers of the system call.
    pub task_stack: u32,
    /// Bytes from there to the registers of the system call: `THREAD_SIZE` less `struct pt_regs`.
    pub stack_registers: u32,
    /// `pt_regs.orig_ax`, the number of the system call.
    pub registers_syscall: u32,
    /// `pt_regs.si`, second argument of a system call.
    pub registers_argument_2: u32,
    /// `pt_regs.r8`, fifth argument of a system call.
    pub registers_argument_5: u32,
    /// `pt_regs.di`, first argument of a system call.
    pub registers_argument_1: u32,
    /// `task_struct.files`, pointer.
    pub task_files: u32,
    /// `files_struct.fdt`, pointer.
    pub files_table: u32,
    /// `fdtable.fd`, pointer to an array of pointers to `struct file`.
    pub table_files: u32,
    /// `fdtable.max_fds`, unsigned int.
    pub table_size: u32,
    /// `file.private_data`, pointer; of a socket's file to its `struct socket`.
    pub file_private: u32,
    /// `sock.sk_socket`, pointer; null of a socket that no process has, as one that waits to be accepted.
    pub sock_socket: u32,
    /// `mptcp_sock.first`: the path by which a socket of MPTCP connects.
    pub mptcp_first: u32,
    /// 1 where connect goes through `__inet_stream_connect` for a path of MPTCP, and for the socket itself (6.2 to 6.5).
    pub mptcp_passes_twice: u32,
}

/// Byte offsets of what leads from a write below /proc/sys to the setting, all 0 where a kernel lacks one; and what else
/// the programs about settings must know.
///
/// Injected like [`Settings`], and apart from them: only programs that failing calls never pass read these.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SysctlLayout {
    /// `kiocb.ki_filp`, pointer to `struct file`.
    pub call_file: u32,
    /// `file.f_inode`, pointer to `struct inode`.
    pub file_inode: u32,
    /// `file.f_path.dentry`, pointer to `struct dentry`.
    pub file_entry: u32,
    /// `dentry.d_parent`, pointer to `struct dentry`.
    pub entry_parent: u32,
    /// `dentry.d_name.name`, pointer to its name.
    pub entry_name: u32,
    /// Where the inode lies in its `struct proc_inode`: `proc_inode.vfs_inode`.
    pub inode_vfs: u32,
    /// `proc_inode.sysctl`, pointer to `struct ctl_table_header`.
    pub inode_header: u32,
    /// `proc_inode.sysctl_entry`, pointer to `struct ctl_table`.
    pub inode_table: u32,
    /// `ctl_table_header.set`, pointer to `struct ctl_table_set`.
    pub header_set: u32,
    /// `net.sysctls`, the set of a network namespace.
    pub net_set: u32,
    /// `ctl_table.procname`, pointer to the setting's name.
    pub table_name: u32,
    /// `ctl_table.data`, pointer to the value.
    pub table_data: u32,
    /// `ctl_table.maxlen`, int: bytes of the value.
    pub table_bytes: u32,
    /// Not an offset: the number of the network namespace that portwatch runs in, or of the only one that is wanted.
    pub own_netns: u32,
}

/// [`Duties::task_by`]: members of tasks are read through the BTF pointer of `bpf_get_current_task_btf` (5.11).
pub const TASK_BY_TYPE: u32 = 0;
/// [`Duties::task_by`]: members of tasks are read by `bpf_probe_read_kernel`.
pub const TASK_BY_PROBE: u32 = 1;
/// [`Duties::task_by`]: neither is allowed: start time and name of the leader stay unknown.
pub const TASK_NOT_READ: u32 = 2;

/// [`Duties::tracepoints`]: they alone see what fails: fexit programs cannot be attached.
pub const TRACEPOINTS_ALONE: u32 = 1;
/// [`Duties::tracepoints`]: at the return of system calls it is looked for binds, and sockets of UDP without a port, whose
/// fexit program the kernel skipped.
pub const TRACEPOINTS_MAKE_UP: u32 = 2;

/// What the programs do besides reporting, and by which means.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Duties {
    /// One of [`TASK_BY_TYPE`], [`TASK_BY_PROBE`], [`TASK_NOT_READ`].
    pub task_by: u32,
    /// 1 where `bpf_probe_read_kernel` and `bpf_probe_read_user` may be used.
    pub probe_reads: u32,
    /// 1 where `bpf_task_pt_regs` exists (5.15).
    pub task_registers: u32,
    /// 1 to remember who connects, for the errors that the network sends, and to report errors of the socket layer.
    pub all_errors: u32,
    /// 1 to measure searches for a port.
    pub search_times: u32,
    /// 0, [`TRACEPOINTS_ALONE`] or [`TRACEPOINTS_MAKE_UP`].
    pub tracepoints: u32,
    /// Records that one key may send in one window.
    pub detail_per_window: u32,
    /// 1 where programs may ask for a socket's cookie (5.12).
    pub cookies: u32,
    /// 1 to look at connects that succeed: for `all_errors`, or for `owners`. So there is one comparison for both.
    pub successes: u32,
    /// Owners that are remembered, a power of two; 0 where nobody asks.
    pub owners: u32,
}

/// Which failures are reported and counted; a zero field lets everything pass, but [`Filter::errnos`] nothing.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Bit n of word n / 64 set: error number n is reported.
    pub errnos: [u64; 3],
    /// Network of the address, in the form of [`Address`].
    pub destination: Address,
    /// Mask of `destination`.
    pub destination_mask: Address,
    /// Name of the calling thread, padded with NULs; all zero for every name.
    pub comm: Comm,
    /// Thread-group id.
    pub tgid: u32,
    /// Destination port, network byte order.
    pub destination_port_be: u16,
    /// 1 to report only what belongs to a shortage of local ports, not every call with an error of `errnos`.
    pub shortage: u16,
    /// 1 where any of `destination`, `destination_port_be`, `comm`, `tgid`, `netns` and `cgroup` asks for something.
    pub chooses: u16,
    /// 1 to report only what tasks of the control group in the map `CGROUP` do, and of those below it.
    pub cgroup: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
}

// Sizes and a few offsets, so that a change of layout is a change of this file.
const _: () = {
    assert!(size_of::<FailureKey>() == 8 + 16 + 4 + 4 + 2 + 2 + 4);
    assert!(size_of::<FailureCount>() == 4 * 8 + 2 * 4 + 16 + 16);
    assert!(size_of::<CountPlace>() == size_of::<FailureCount>() + size_of::<FailureKey>() + 8);
    assert!(offset_of!(CountPlace, count) + offset_of!(FailureCount, count) == 0);
    assert!(size_of::<Caller>() == 3 * 8 + 2 * 16 + 6 * 4);
    assert!(size_of::<Owner>() == 5 * 8 + 16 + 4 * 4);
    assert!(offset_of!(Owner, cookie) == 0 && offset_of!(Owner, check) + 8 == size_of::<Owner>());
    assert!(OWNERS_LEAST >= OWNERS_GROUP && OWNERS_GROUP.is_power_of_two());
    assert!(OWNERS.is_power_of_two() && OWNERS_LEAST.is_power_of_two() && OWNERS_MOST.is_power_of_two());
    assert!(size_of::<FailureRecord>() == 3 * 8 + 40 + 16 + 16 + 12 + 5 * 2 + 2);
    assert!(offset_of!(FailureRecord, reserved) + 2 == size_of::<FailureRecord>());
    assert!(size_of::<SysctlRecord>() == 3 * 8 + 2 * 16 + 10 * 4);
    assert!(size_of::<PortsSysctlRecord>() == size_of::<SysctlRecord>() + 2 * 65536 / 8);
    assert!(size_of::<SysctlRecord>() != size_of::<FailureRecord>());
    assert!(size_of::<WatchedSysctl>() == 2 * 4 && size_of::<SysctlName>() == SYSCTL_NAME_LEN);
    assert!(size_of::<SysctlLayout>() == 14 * 4);
    assert!(size_of::<SearchKey>() == 2 * 16 + 4 + 2 + 2);
    assert!(size_of::<Layout>() == 42 * 4);
    assert!(size_of::<Duties>() == 10 * 4);
    assert!(size_of::<Filter>() == 3 * 8 + 3 * 16 + 4 + 2 + 2 + 8);
    assert!(size_of::<Comm>() == COMM_LEN);
    assert!(size_of::<Settings>() == size_of::<Layout>() + size_of::<Filter>() + size_of::<Duties>());
    assert!(COUNTER_CALLS_MADE_UP + 1 == COUNTERS);
};
