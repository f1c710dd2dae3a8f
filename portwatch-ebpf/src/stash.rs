//! What the state tracepoint saw of a failing connect, for the return of its system call.
//!
//! In: a socket that falls back from SYN_SENT to CLOSE; its addresses are gone a moment later. Out: the same, once.
//! The only user of [`STASHES`].

use core::ptr::null;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_ebpf::abi::{Address, COUNTER_DETAILS_FULL};

use crate::counter::count;
use crate::layout::Typed;
use crate::maps::STASHES;
use crate::notes::PLACES;
use crate::sock;

/// A socket in its last moment.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Stash {
    /// The `struct sock`, as a number; 0 for none.
    pub(crate) sock: u64,
    /// Where it wanted to go.
    pub(crate) address: Address,
    /// From where.
    pub(crate) source: Address,
    /// Its port there, network byte order.
    pub(crate) port_be: u16,
    /// Its own, host byte order: not 0 only where the user chose one.
    pub(crate) source_port: u16,
    /// `FLAG_V4_MAPPED` where that holds.
    pub(crate) flags: u32,
}

/// The same, and the thread that kept it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Kept {
    tid: u64,
    stash: Stash,
}

/// Keeps what `sock` still says, until the current thread's system call returns.
///
/// # Safety
/// `sock` must be a socket that the verifier knows.
#[inline(always)]
pub(crate) unsafe fn keep(sock: *const u8) {
    // SAFETY: the caller's promise.
    let stash = unsafe {
        let (address, flags) = sock::destination::<Typed>(sock);
        Stash {
            sock: sock as u64,
            address,
            source: sock::source::<Typed>(sock),
            port_be: sock::destination_port_be::<Typed>(sock),
            source_port: sock::port::<Typed>(sock),
            flags: flags.into(),
        }
    };
    let tid = tid();
    if let Some(place) = STASHES.get_ptr_mut(tid % PLACES) {
        // SAFETY: the map's memory.
        unsafe {
            // Another thread's, which may yet ask for it.
            if (*place).stash.sock != 0 && (*place).tid != u64::from(tid) {
                count(COUNTER_DETAILS_FULL);
            }
            (*place).tid = tid.into();
            (*place).stash = stash;
        }
    }
}

#[inline(always)]
fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// Whether the current thread has kept anything that was not taken.
#[inline(always)]
pub(crate) fn is_kept() -> bool {
    let place = STASHES.get_ptr(tid() % PLACES);
    // SAFETY: the map's memory.
    place.is_some_and(|place| unsafe { (*place).stash.sock != 0 && (*place).tid == u64::from(tid()) })
}

/// What the current thread kept of `sock`, or of any socket where that is null; null if it kept nothing. It lies where it
/// was kept: a copy would not fit on the stack of older kernels.
#[inline(always)]
pub(crate) fn take(sock: *const u8) -> *const Stash {
    let tid = tid();
    let Some(place) = STASHES.get_ptr_mut(tid % PLACES) else { return null() };
    // SAFETY: the map's memory.
    unsafe {
        let kept = (*place).stash.sock;
        if kept == 0 || (*place).tid != u64::from(tid) {
            return null();
        }
        (*place).stash.sock = 0;
        if sock.is_null() || kept == sock as u64 { &raw const (*place).stash } else { null() }
    }
}
