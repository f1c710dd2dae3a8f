//! The arguments of a function that a thread is in, for programs at its return that are not given them.
//!
//! In: the beginning of a function. Out: its arguments, at its return. The only user of [`CALLS`].

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

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
    // The map has room for as many threads as can be inside at once.
    let _ = CALLS.insert(bpf_get_current_pid_tgid(), Call { sock, given, bytes }, 0);
}

/// What the current thread is in; zeroes if that is not known.
#[inline(always)]
pub(crate) fn begun() -> Call {
    // SAFETY: only this thread writes its entry, and it is here.
    unsafe { CALLS.get(bpf_get_current_pid_tgid()) }.copied().unwrap_or_default()
}
