//! From "this socket's connect failed" to one count and one record.
//!
//! In: a hook's finding. Out: an entry of [`COUNTS`] and a record of [`EVENTS`], or a counted loss. The only
//! writer of either map.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_task_btf, bpf_ktime_get_boot_ns,
};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use portwatch_ebpf::abi::{
    Address, COMM_LEN, Comm, FailureCount, FailureKey, FailureRecord, LOSS_COUNTS_FULL, LOSS_RING_FULL,
};

use crate::counter::increment;
use crate::layout::{member, setting, v4_mapped, words};
use crate::maps::{ANNOUNCED, COUNTS, EVENTS, LOSSES, STOPPED};

/// `BPF_NOEXIST`, include/uapi/linux/bpf.h: insert, never replace.
const BPF_NOEXIST: u64 = 1;
/// `AF_INET6`, include/linux/socket.h.
pub(crate) const AF_INET6: u16 = 10;

/// What a hook knows about a failed connect.
pub(crate) struct Finding {
    /// The `struct sock`, as the hook's argument.
    pub(crate) sock: *const u8,
    /// Which hook, `HOOK_`.
    pub(crate) hook: u8,
    /// `FLAG_` bits.
    pub(crate) flags: u8,
    /// Positive error number.
    pub(crate) errno: u16,
    /// Destination address.
    pub(crate) destination: Address,
    /// Destination port, network byte order.
    pub(crate) destination_port_be: u16,
    /// Local port, host byte order; 0 where there is none, or it is gone.
    pub(crate) source_port: u16,
}

/// Whether failures with this error number are reported; the first thing asked, because it is cheap.
#[inline(always)]
pub(crate) fn wanted(errno: u16) -> bool {
    let errnos: [u64; 3] =
        [setting!(filter.errnos[0]), setting!(filter.errnos[1]), setting!(filter.errnos[2])];
    let word = match errno >> 6 {
        0 => errnos[0],
        1 => errnos[1],
        _ => errnos[2],
    };
    (errnos[0] | errnos[1] | errnos[2]) == 0 || (word >> (errno & 63)) & 1 == 1
}

/// Reports the finding of an inner hook, and remembers that for the outer hook of the same call.
#[inline(always)]
pub(crate) fn announce(finding: &Finding) {
    // If the map has no memory the outer hook reports: with less detail, but once.
    if ANNOUNCED.insert(bpf_get_current_pid_tgid(), finding.sock as u64, 0).is_ok() {
        report(finding);
    }
}

/// Whether an inner hook of this very call has reported the failure of `sock` already.
#[inline(always)]
pub(crate) fn announced(sock: *const u8) -> bool {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread writes or removes its entry, and it is here.
    let same = unsafe { ANNOUNCED.get(thread) }.is_some_and(|announced| *announced == sock as u64);
    if same {
        let _ = ANNOUNCED.remove(thread);
    }
    same
}

/// Counts a failure, and sends its detail.
#[inline(always)]
pub(crate) fn report(finding: &Finding) {
    // Zeroed first: up to 6.1 at least, the helper leaves what lies behind the name's last word as it was.
    let mut comm: Comm = [0; 4];
    // SAFETY: the helper writes at most that many bytes there.
    unsafe { bpf_get_current_comm((&raw mut comm).cast(), COMM_LEN as u32) };
    let pid_tgid = bpf_get_current_pid_tgid();
    let tgid = (pid_tgid >> 32) as u32;
    if STOPPED.get(0) != Some(&0) || !passes(finding, tgid, &comm) {
        return;
    }
    // SAFETY: the helper returns the current task as a BTF pointer, and members are read through it.
    let (leader, start_boot_ns) = unsafe {
        let task = bpf_get_current_task_btf().cast::<u8>().cast_const();
        let leader = member::<*const u8>(task, setting!(layout.task_group_leader));
        (leader, member::<u64>(leader, setting!(layout.task_start_boot_ns)))
    };
    // SAFETY: `sock` is a BTF pointer and so is the namespace it points to.
    let net = unsafe { member::<*const u8>(finding.sock, setting!(layout.sock_net)) };
    let key = FailureKey {
        start_boot_ns,
        destination: finding.destination,
        tgid,
        // SAFETY: as above.
        netns: unsafe { member(net, setting!(layout.net_inum)) },
        destination_port_be: finding.destination_port_be,
        errno: finding.errno,
        hook: finding.hook,
        flags: finding.flags,
        reserved: [0; 2],
    };
    // SAFETY: takes no pointer.
    let boot_ns = unsafe { bpf_ktime_get_boot_ns() };
    count(&key, boot_ns, leader);
    send(finding, &key, boot_ns, net, &comm);
}

#[inline(always)]
fn passes(finding: &Finding, tgid: u32, comm: &Comm) -> bool {
    let only = setting!(filter.tgid);
    if only != 0 && only != tgid {
        return false;
    }
    let only = setting!(filter.destination_port_be);
    if only != 0 && only != finding.destination_port_be {
        return false;
    }
    let (network, mask) = (setting!(filter.destination), setting!(filter.destination_mask));
    let outside = (0..4).fold(0, |bits, n| bits | (finding.destination[n] & mask[n]) ^ network[n]);
    let name = setting!(filter.comm);
    let other_name = (0..4).fold(0, |bits, n| bits | (name[n] ^ comm[n]));
    outside == 0 && ((name[0] | name[1] | name[2] | name[3]) == 0 || other_name == 0)
}

#[inline(always)]
fn count(key: &FailureKey, boot_ns: u64, leader: *const u8) {
    if again(key, boot_ns) {
        return;
    }
    let uid_gid = bpf_get_current_uid_gid();
    let first = FailureCount {
        count: 1,
        first_boot_ns: boot_ns,
        last_boot_ns: boot_ns,
        // SAFETY: takes no pointer.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        uid: uid_gid as u32,
        gid: (uid_gid >> 32) as u32,
        // SAFETY: `leader` is a BTF pointer to a task.
        leader_comm: unsafe { words(leader, setting!(layout.task_comm)) },
    };
    // Two threads may meet here with a new key: the second counts in the first one's entry.
    if COUNTS.insert(key, first, BPF_NOEXIST).is_err() && !again(key, boot_ns) {
        lost(LOSS_COUNTS_FULL);
    }
}

#[inline(always)]
fn again(key: &FailureKey, boot_ns: u64) -> bool {
    let Some(entry) = COUNTS.get_ptr_mut(key) else { return false };
    // SAFETY: the map's memory, aligned for u64; entries are never removed. Other processors may add too.
    unsafe {
        increment(&raw mut (*entry).count);
        (*entry).last_boot_ns = boot_ns;
    }
    true
}

#[inline(always)]
fn send(finding: &Finding, key: &FailureKey, boot_ns: u64, net: *const u8, comm: &Comm) {
    let Some(mut slot) = EVENTS.reserve::<FailureRecord>(0) else {
        lost(LOSS_RING_FULL);
        return;
    };
    let uid_gid = bpf_get_current_uid_gid();
    let (range_low, range_high) = port_range(net);
    let record = slot.as_mut_ptr();
    // Field by field into the ring: a whole record does not fit on the 512-byte stack beside the rest.
    // SAFETY: the ring's memory, of a record's size and 8-byte aligned; every field is written.
    unsafe {
        (*record).boot_ns = boot_ns;
        (*record).cgroup_id = bpf_get_current_cgroup_id();
        (*record).key = *key;
        (*record).source = source(finding.sock);
        (*record).comm = *comm;
        (*record).tid = bpf_get_current_pid_tgid() as u32;
        (*record).uid = uid_gid as u32;
        (*record).gid = (uid_gid >> 32) as u32;
        (*record).source_port = finding.source_port;
        (*record).range_low = range_low;
        (*record).range_high = range_high;
        (*record).reserved = [0; 6];
    }
    slot.submit(0);
}

/// The address the socket would send from.
#[inline(always)]
fn source(sock: *const u8) -> Address {
    // SAFETY: `sock` is a BTF pointer.
    unsafe {
        if member::<u16>(sock, setting!(layout.sock_family)) == AF_INET6 {
            words(sock, setting!(layout.sock_source_v6))
        } else {
            v4_mapped(member(sock, setting!(layout.sock_source_v4)))
        }
    }
}

/// Lowest and highest port of the namespace's `ip_local_port_range`, at this moment.
///
/// Read without the seqlock that 5.10 to 6.7 take: a change of the setting during these two loads could show
/// one bound old and one new.
#[inline(always)]
fn port_range(net: *const u8) -> (u16, u16) {
    let offset = setting!(layout.net_port_range);
    // SAFETY: `net` is a BTF pointer.
    unsafe {
        if setting!(layout.net_port_range_packed) == 1 {
            let range: u32 = member(net, offset);
            (range as u16, (range >> 16) as u16)
        } else {
            (member::<u32>(net, offset) as u16, member::<u32>(net, offset + 4) as u16)
        }
    }
}

#[inline(always)]
fn lost(place: u32) {
    if let Some(counter) = LOSSES.get_ptr_mut(place) {
        // SAFETY: this processor's slot. Programs do not migrate while they run, but on a preemptible kernel
        // another one may run on this processor in between.
        unsafe { increment(counter) };
    }
}
