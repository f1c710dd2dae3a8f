//! How long searches for a port take.
//!
//! In: the beginning and the end of a search. Out: its time, [`SEARCHES`] and [`OTHER_SEARCHES`], which only this writes.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use portwatch_ebpf::abi::{COUNTER_SEARCH_UNMEASURED, SLOW_SEARCH_NS, SearchKey, SearchTimes};

use crate::counter::{add, count};
use crate::layout::{Memory, Typed, setting};
use crate::maps::{OTHER_SEARCHES, SEARCH_BEGAN, SEARCHES};
use crate::notes::PLACES;
use crate::report::is_running;
use crate::sock;

/// `BPF_NOEXIST`, include/uapi/linux/bpf.h: insert, never replace.
const BPF_NOEXIST: u64 = 1;

/// A thread and when its search began, boot-clock nanoseconds; 0 once it has ended.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Begun {
    tid: u64,
    at_ns: u64,
}

/// A search begins on this thread.
#[inline(always)]
pub(crate) fn begin() {
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(place) = SEARCH_BEGAN.get_ptr_mut(tid % PLACES) else { return };
    // SAFETY: the map's memory, and the helper takes no pointer. Another thread that has this place and searches at
    // this moment finds out at its end.
    unsafe {
        (*place).tid = tid.into();
        (*place).at_ns = bpf_ktime_get_boot_ns();
    }
}

/// It ends: its nanoseconds, 0 if its beginning is not known.
///
/// # Safety
/// `sock` must be a socket that the verifier knows.
#[inline(always)]
pub(crate) unsafe fn end(sock: *const u8) -> u64 {
    if !is_running() {
        return 0;
    }
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(place) = SEARCH_BEGAN.get_ptr_mut(tid % PLACES) else { return 0 };
    // SAFETY: the map's memory, and the helper takes no pointer.
    unsafe {
        let began_ns = (*place).at_ns;
        if (*place).tid != u64::from(tid) || began_ns == 0 {
            count(COUNTER_SEARCH_UNMEASURED);
            return 0;
        }
        (*place).at_ns = 0;
        let took_ns = bpf_ktime_get_boot_ns().saturating_sub(began_ns);
        record(sock, took_ns);
        took_ns
    }
}

#[inline(always)]
unsafe fn record(sock: *const u8, took_ns: u64) {
    // SAFETY: the caller's promise.
    let key = unsafe {
        let net: *const u8 = Typed::read(sock, setting!(layout.sock_net));
        SearchKey {
            source: sock::source::<Typed>(sock),
            destination: sock::destination::<Typed>(sock).0,
            netns: Typed::read(net, setting!(layout.net_inum)),
            destination_port_be: sock::destination_port_be::<Typed>(sock),
            reserved: [0; 2],
        }
    };
    if let Some(times) = SEARCHES.get_ptr_mut(key) {
        // SAFETY: the map's memory.
        unsafe { added(times, took_ns) };
        return;
    }
    let slow = u64::from(took_ns >= SLOW_SEARCH_NS);
    let first = SearchTimes { count: 1, slow, total_ns: took_ns, longest_ns: took_ns };
    if SEARCHES.insert(key, first, BPF_NOEXIST).is_ok() {
        return;
    }
    // Another processor was first with this key, or there is no room.
    let Some(times) = SEARCHES.get_ptr_mut(key).or_else(|| OTHER_SEARCHES.get_ptr_mut(0)) else { return };
    // SAFETY: as above.
    unsafe { added(times, took_ns) };
}

#[inline(always)]
unsafe fn added(times: *mut SearchTimes, took_ns: u64) {
    // SAFETY: the caller's promise: the map's memory, aligned for u64. Entries are never removed.
    unsafe {
        add(&raw mut (*times).count, 1);
        add(&raw mut (*times).slow, u64::from(took_ns >= SLOW_SEARCH_NS));
        add(&raw mut (*times).total_ns, took_ns);
        if (*times).longest_ns < took_ns {
            (*times).longest_ns = took_ns;
        }
    }
}
