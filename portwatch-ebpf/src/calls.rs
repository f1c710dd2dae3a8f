//! The arguments of a function that a thread is in, for programs at its return that are not given them.
//!
//! In: the beginning of a function. Out: its arguments, at its return. The only user of [`CALLS`].

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_ebpf::abi::COUNTER_CALLS_UNKNOWN;

use crate::counter::count;
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
