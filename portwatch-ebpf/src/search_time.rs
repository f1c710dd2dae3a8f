//! How long searches for a port take.
//!
//! In: the beginning and the end of a search. Out: its time, and [`SEARCHES`], which only this writes.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use portwatch_ebpf::abi::{SLOW_SEARCH_NS, SearchKey, SearchTimes};

use crate::counter::add;
use crate::layout::{Memory, Typed, setting};
use crate::maps::{SEARCH_BEGAN, SEARCHES};
use crate::report::is_running;
use crate::sock;

/// A search begins on this thread.
#[inline(always)]
pub(crate) fn begin() {
    // SAFETY: takes no pointer.
    let now_ns = unsafe { bpf_ktime_get_boot_ns() };
    // Without memory this search is not measured.
    let _ = SEARCH_BEGAN.insert(bpf_get_current_pid_tgid(), now_ns, 0);
}

/// It ends: its nanoseconds, 0 if its beginning was missed.
///
/// # Safety
/// `sock` must be a socket that the verifier knows.
#[inline(always)]
pub(crate) unsafe fn end(sock: *const u8) -> u64 {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread writes its entry, and it is here.
    let Some(began_ns) = (unsafe { SEARCH_BEGAN.get(thread) }).copied() else { return 0 };
    let _ = SEARCH_BEGAN.remove(thread);
    // SAFETY: takes no pointer.
    let took_ns = unsafe { bpf_ktime_get_boot_ns() }.saturating_sub(began_ns);
    // SAFETY: the caller's promise.
    unsafe { record(sock, took_ns) };
    took_ns
}

#[inline(always)]
unsafe fn record(sock: *const u8, took_ns: u64) {
    if !is_running() {
        return;
    }
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
    let slow = u64::from(took_ns >= SLOW_SEARCH_NS);
    let Some(times) = SEARCHES.get_ptr_mut(key) else {
        // Racing processors may lose one here; these are measurements, not counts of failures.
        let first = SearchTimes { count: 1, slow, total_ns: took_ns, longest_ns: took_ns };
        let _ = SEARCHES.insert(key, first, 0);
        return;
    };
    // SAFETY: the map's memory, aligned for u64.
    unsafe {
        add(&raw mut (*times).count, 1);
        add(&raw mut (*times).slow, slow);
        add(&raw mut (*times).total_ns, took_ns);
        if (*times).longest_ns < took_ns {
            (*times).longest_ns = took_ns;
        }
    }
}
