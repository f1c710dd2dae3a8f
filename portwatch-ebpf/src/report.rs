//! From "this call failed" to one count and at most one record.
//!
//! In: a hook's finding, and who called. Out: one more in a count of [`crate::counts`], and a record of [`EVENTS`] or a
//! count of why there is none. No other writes failures there.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use portwatch_ebpf::abi::{
    Address, Budget, CALL_BIND, COUNTER_RING_FULL, COUNTER_SUPPRESSED, FLAG_HAD_PORT, FLAG_KERNEL_SOCKET,
    FailureKey, FailureRecord, PLACE_PORT_SEARCH, RING_BYTES, WINDOW_SHIFT,
};

use crate::counter::{add, count};
use crate::counts::count_of;
use crate::layout::{Memory, setting};
use crate::maps::{EVENTS, RUNNING, WOKEN};
use crate::out_of_line::{Done, out_of_line};
use crate::returned::numbers::{EADDRINUSE, EADDRNOTAVAIL, EAGAIN};
use crate::sock;
use crate::task::{Current, Who};

/// `BPF_RB_NO_WAKEUP` and `BPF_RB_FORCE_WAKEUP`, include/uapi/linux/bpf.h.
const NO_WAKEUP: u64 = 1;
const FORCE_WAKEUP: u64 = 2;

/// `BPF_RB_AVAIL_DATA`, include/uapi/linux/bpf.h: bytes that were not read yet.
const AVAILABLE: u64 = 0;

/// The reader is woken at most that often, nanoseconds: it costs the failing call some 20,000 instructions where both
/// share a processor, and on a preemptible kernel it preempts the task in the middle of the program, which others on that
/// processor skip then. But soon enough to find the process still there; in between the reader looks by its own clock.
const WAKE_INTERVAL_NS: u64 = 20_000_000;

/// The same where the ring fills up: that many bytes of it were not read yet.
const URGENT_BYTES: u64 = RING_BYTES as u64 / 8;
const URGENT_INTERVAL_NS: u64 = 4_000_000;

/// What a hook knows about a failed call.
pub(crate) struct Finding {
    /// The `struct sock`.
    pub(crate) sock: *const u8,
    /// Where it wanted to go, or for a bind which address it wanted.
    pub(crate) address: Address,
    /// Source address; none for the one that the socket has.
    pub(crate) source: Option<Address>,
    /// Nanoseconds spent looking for a port; 0 where that was not measured.
    pub(crate) search_ns: u64,
    /// Port that goes with `address`, network byte order.
    pub(crate) port_be: u16,
    /// Local port, host byte order; 0 where there is none, or it is gone.
    pub(crate) source_port: u16,
    /// Positive error number.
    pub(crate) errno: u16,
    /// Which hook, `PLACE_`.
    pub(crate) place: u8,
    /// Which call, `CALL_`.
    pub(crate) call: u8,
    /// `PROTOCOL_`.
    pub(crate) protocol: u8,
    /// `FLAG_` bits.
    pub(crate) flags: u8,
}

impl Finding {
    /// A search for a local port that has failed, while the socket still holds what it was looking for.
    ///
    /// # Safety
    /// `sock` must be a socket that `M` reads.
    #[inline(always)]
    pub(crate) unsafe fn of_search<M: Memory>(
        sock: *const u8,
        kind: &sock::Kind,
        errno: u16,
        search_ns: u64,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let (address, mapped) = sock::destination::<M>(sock);
            let source_port = sock::port::<M>(sock);
            let had_port = if source_port == 0 { 0 } else { FLAG_HAD_PORT };
            Self {
                sock,
                address,
                source: None,
                search_ns,
                port_be: sock::destination_port_be::<M>(sock),
                source_port,
                errno,
                place: PLACE_PORT_SEARCH,
                call: kind.call(),
                protocol: kind.protocol,
                flags: kind.flags | mapped | had_port,
            }
        }
    }
}

/// Whether failed connects with this error number are reported; the first thing asked, because it is cheap.
#[inline(always)]
pub(crate) fn connect_is_wanted(errno: u16) -> bool {
    is_running() && (if setting!(filter.shortage) == 1 { errno == EADDRNOTAVAIL } else { is_listed(errno) })
}

/// Whether failed binds with this error number to this port are reported: of a port that is taken only if none was
/// asked for.
#[inline(always)]
pub(crate) fn bind_is_wanted(errno: u16, port_be: u16) -> bool {
    let listed = if setting!(filter.shortage) == 1 {
        errno == EADDRNOTAVAIL || (errno == EADDRINUSE && port_be == 0)
    } else {
        is_listed(errno)
    };
    listed && is_running()
}

/// Whether sockets that were used without a port, and got none, are reported.
#[inline(always)]
pub(crate) fn autobind_is_wanted() -> bool {
    (setting!(filter.shortage) == 1 || is_listed(EAGAIN)) && is_running()
}

#[inline(always)]
fn is_listed(errno: u16) -> bool {
    let word = match errno >> 6 {
        0 => setting!(filter.errnos[0]),
        1 => setting!(filter.errnos[1]),
        _ => setting!(filter.errnos[2]),
    };
    (word >> (errno & 63)) & 1 == 1
}

/// Counts a failure of the current task, and sends its detail. For the hook where a storm of them ends.
///
/// # Safety
/// `finding.sock` must be a socket that `M` reads.
#[inline(always)]
pub(crate) unsafe fn report_here<M: Memory>(finding: &Finding) {
    // SAFETY: the caller's promise.
    unsafe { report_of::<M, Current>(finding, &crate::task::current()) };
}

/// The same out of line: many hooks end here.
///
/// # Safety
/// As above.
#[inline(never)]
pub(crate) unsafe fn report<M: Memory>(finding: &Finding) -> Done {
    // SAFETY: the caller's promise.
    out_of_line(|| unsafe { report_here::<M>(finding) })
}

/// Whether anything is wanted at this moment.
#[inline(always)]
pub(crate) fn is_running() -> bool {
    RUNNING.get(0) == Some(&1)
}

/// The same for a failure of somebody else.
///
/// # Safety
/// As for [`report`].
#[inline(always)]
pub(crate) unsafe fn report_of<M: Memory, W: Who>(finding: &Finding, who: &W) {
    // SAFETY: the caller's promise, and every socket has a namespace.
    let (net, netns) = unsafe {
        let net: *const u8 = M::read(finding.sock, setting!(layout.sock_net));
        (net, M::read(net, setting!(layout.net_inum)))
    };
    if setting!(filter.chooses) == 1 && !passes(finding, netns, who) {
        return;
    }
    let kernel = if who.is_kernel_thread() { FLAG_KERNEL_SOCKET } else { 0 };
    let key = FailureKey {
        start_boot_ns: who.start_boot_ns(),
        address: finding.address,
        tgid: who.tgid(),
        netns,
        port_be: finding.port_be,
        errno: finding.errno,
        place: finding.place,
        flags: finding.flags | kernel,
        protocol: finding.protocol,
        call: finding.call,
    };
    if let Some(boot_ns) = counted(&key, who) {
        // SAFETY: as above.
        unsafe { send::<M, W>(finding, &key, boot_ns, net, who) };
    } else {
        count(COUNTER_SUPPRESSED);
    }
}

#[inline(always)]
fn passes<W: Who>(finding: &Finding, netns: u32, who: &W) -> bool {
    let only = setting!(filter.netns);
    if only != 0 && only != netns {
        return false;
    }
    let only = setting!(filter.tgid);
    if only != 0 && only != who.tgid() {
        return false;
    }
    if setting!(filter.cgroup) == 1 && !who.in_cgroup() {
        return false;
    }
    let (network, mask) = (setting!(filter.destination), setting!(filter.destination_mask));
    let only = setting!(filter.destination_port_be);
    // A bind has no destination.
    let asked_for = only != 0 || (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
    if (asked_for && finding.call == CALL_BIND) || (only != 0 && only != finding.port_be) {
        return false;
    }
    let outside = (0..4).fold(0, |bits, n| bits | (finding.address[n] & mask[n]) ^ network[n]);
    let name = setting!(filter.comm);
    if outside != 0 || (name[0] | name[1] | name[2] | name[3]) == 0 {
        return outside == 0;
    }
    let comm = who.comm();
    (0..4).fold(0, |bits, n| bits | (name[n] ^ comm[n])) == 0
}

/// Counts, and tells the time if the key may send a record.
#[inline(always)]
fn counted<W: Who>(key: &FailureKey, who: &W) -> Option<u64> {
    let entry = count_of(key, who);
    // Never: the map has that many groups. The verifier of old kernels does not know.
    if entry.is_null() {
        return None;
    }
    // SAFETY: takes no pointer; the verifier makes a load of it.
    let tick = unsafe { bpf_jiffies64() };
    // SAFETY: the map's memory, aligned for u64. Counts never move. Other processors may add too.
    unsafe {
        add(&raw mut (*entry).count, 1);
        // In a storm the clock is the dearest part, and once a tick is enough.
        if (*entry).budget.spent_at == tick {
            return None;
        }
        let boot_ns = now();
        (*entry).last_boot_ns = boot_ns;
        let sends = spends(&raw mut (*entry).budget, boot_ns, || setting!(duties.detail_per_window));
        (*entry).budget.spent_at = if sends { 0 } else { tick };
        sends.then_some(boot_ns)
    }
}

/// Boot-clock nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: takes no pointer.
    unsafe { bpf_ktime_get_boot_ns() }
}

#[inline(always)]
fn window(boot_ns: u64) -> u32 {
    (boot_ns >> WINDOW_SHIFT) as u32
}

/// Takes one record from the budget of the present window, if there is one left of so many; asked for late, which saves
/// the storm an instruction.
///
/// # Safety
/// `budget` must be a map value's memory.
#[inline(always)]
pub(crate) unsafe fn spends(budget: *mut Budget, boot_ns: u64, per_window: impl Fn() -> u32) -> bool {
    // SAFETY: the caller's promise. A race lets a few more or fewer pass; each is counted for what becomes of it.
    unsafe {
        if (*budget).window != window(boot_ns) {
            (*budget).window = window(boot_ns);
            (*budget).sent = 0;
        }
        let left = (*budget).sent < per_window();
        if left {
            (*budget).sent += 1;
        }
        left
    }
}

#[inline(always)]
unsafe fn send<M: Memory, W: Who>(
    finding: &Finding,
    key: &FailureKey,
    boot_ns: u64,
    net: *const u8,
    who: &W,
) {
    let Some(mut slot) = EVENTS.reserve::<FailureRecord>(0) else {
        count(COUNTER_RING_FULL);
        return;
    };
    let uid_gid = who.uid_gid();
    let record = slot.as_mut_ptr();
    // Field by field into the ring: a whole record does not fit on the 512-byte stack beside the rest.
    // SAFETY: the ring's memory, of a record's size and 8-byte aligned; every field is written. The socket and its
    // namespace are what the caller promises.
    unsafe {
        (*record).boot_ns = boot_ns;
        (*record).cgroup_id = who.cgroup_id();
        (*record).search_ns = finding.search_ns;
        (*record).key = *key;
        (*record).source = match finding.source {
            Some(source) => source,
            None => sock::source::<M>(finding.sock),
        };
        (*record).comm = who.comm();
        (*record).tid = who.tid();
        (*record).uid = uid_gid as u32;
        (*record).gid = (uid_gid >> 32) as u32;
        (*record).source_port = finding.source_port;
        let (low, high) = sock::namespace_range::<M>(net);
        (*record).range_low = low;
        (*record).range_high = high;
        let (low, high) = sock::own_range::<M>(finding.sock);
        (*record).own_low = low;
        (*record).own_high = high;
        (*record).reserved = [0; 2];
    }
    slot.submit(wake_up(boot_ns));
}

/// Whether to wake the reader: seldom, but soon enough.
#[inline(always)]
fn wake_up(boot_ns: u64) -> u64 {
    let is_urgent = EVENTS.query(AVAILABLE) >= URGENT_BYTES;
    let interval_ns = if is_urgent { URGENT_INTERVAL_NS } else { WAKE_INTERVAL_NS };
    let Some(woken) = WOKEN.get_ptr_mut(0) else { return 0 };
    // SAFETY: the map's memory. Two processors may both find it is time.
    unsafe {
        if boot_ns.saturating_sub(*woken) < interval_ns {
            return NO_WAKEUP;
        }
        *woken = boot_ns;
    }
    FORCE_WAKEUP
}
