//! The arguments of a function that a thread is in, for programs at its return that are not given them.
//!
//! In: the beginning of a function. Out: its arguments, at its return. The only user of [`CALLS`].

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_ebpf::abi::COUNTER_CALLS_FULL;

use crate::counter::count;
use crate::maps::CALLS;

/// Arguments of `__inet_bind`, `__inet6_bind` or `inet_autobind`, which is never inside of another.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Call {
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

/// The current thread begins a call.
#[inline(always)]
pub(crate) fn begin([sock, given, bytes]: [u64; 3]) {
    if CALLS.insert(bpf_get_current_pid_tgid(), Call { sock, given, bytes }, 0).is_err() {
        count(COUNTER_CALLS_FULL);
    }
}

/// It returns from what it began; zeroes if that is not known.
#[inline(always)]
pub(crate) fn end() -> Call {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: only this thread writes its entry, and it is here.
    let call = unsafe { CALLS.get(thread) }.copied().unwrap_or_default();
    let _ = CALLS.remove(thread);
    call
}
