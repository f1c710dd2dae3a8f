//! What a program leaves for another one that the same call of the same thread passes later.
//!
//! In: the beginning of a function, or that a call was seen to fail. Out: the arguments of the function, for a program at its
//! return that is not given them; or whether the failure was seen, for one at the return of the system call. A kernel has
//! programs of one of these kinds only. The only user of [`CALLS`].

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_ebpf::abi::{COUNTER_CALLS_UNKNOWN, COUNTER_REPORTED_FULL, TRACEPOINTS_MAKE_UP};

use crate::counter::count;
use crate::layout::setting;
use crate::maps::CALLS;
use crate::notes::PLACES;

/// Arguments of `__inet_bind`, `__inet6_bind` or `inet_autobind`, which is never inside of another.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Call {
    /// The thread that is inside; 0 once it has returned.
    tid: u64,
    /// `sk`, by its address.
    sock: u64,
    /// `uaddr`, likewise, where there is one.
    given: u64,
    /// `addr_len`, likewise.
    bytes: u64,
}

impl Call {
    pub(crate) fn sock(&self) -> *const u8 {
        self.sock as *const u8
    }

    pub(crate) fn given(&self) -> *const u8 {
        self.given as *const u8
    }

    pub(crate) fn bytes(&self) -> i32 {
        self.bytes as i32
    }
}

/// The current thread begins a call. Another one that has this place, and is inside at this moment, finds out when it
/// returns.
#[inline(always)]
pub(crate) fn begin([sock, given, bytes]: [u64; 3]) {
    let tid = bpf_get_current_pid_tgid() as u32;
    if let Some(place) = CALLS.get_ptr_mut(tid % PLACES) {
        // SAFETY: the map's memory.
        unsafe { *place = Call { tid: tid.into(), sock, given, bytes } };
    }
}

/// It returns from what it began; zeroes, and counted, if that is not known.
#[inline(always)]
pub(crate) fn end() -> Call {
    let tid = bpf_get_current_pid_tgid() as u32;
    if let Some(place) = CALLS.get_ptr_mut(tid % PLACES) {
        // SAFETY: the map's memory.
        unsafe {
            let call = *place;
            if call.tid == u64::from(tid) {
                (*place).tid = 0;
                return call;
            }
        }
    }
    count(COUNTER_CALLS_UNKNOWN);
    Call { tid: 0, sock: 0, given: 0, bytes: 0 }
}

/// The current call fails on `sock`, and the program that sees it runs: nobody else is to tell of it.
#[inline(always)]
pub(crate) fn failure_seen(sock: *const u8) {
    if setting!(duties.tracepoints) != TRACEPOINTS_MAKE_UP {
        return;
    }
    let tid = u64::from(bpf_get_current_pid_tgid() as u32);
    if let Some(place) = CALLS.get_ptr_mut(tid as u32 % PLACES) {
        // SAFETY: the map's memory.
        unsafe {
            if (*place).tid != 0 && (*place).tid != tid {
                // Another thread's, which has yet to return; or it never does, as it has not come by a system call.
                count(COUNTER_REPORTED_FULL);
            }
            *place = Call { tid, sock: sock as u64, given: 0, bytes: 0 };
        }
    }
}

/// Whether the failure of the current call on `sock` was seen; on any socket where that is null, as one of MPTCP has others
/// below it.
#[inline(always)]
pub(crate) fn was_seen(sock: *const u8) -> bool {
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(place) = CALLS.get_ptr_mut(tid % PLACES) else { return false };
    // SAFETY: the map's memory.
    unsafe {
        if (*place).tid != u64::from(tid) {
            return false;
        }
        (*place).tid = 0;
        sock.is_null() || (*place).sock == sock as u64
    }
}
