//! What the state tracepoint saw of a failing connect, for the return of its system call.
//!
//! In: a socket that falls back from SYN_SENT to CLOSE; its addresses are gone a moment later. Out: the same, once.
//! The only user of [`STASHES`].

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_ebpf::abi::{Address, COUNTER_DETAILS_FULL};

use crate::counter::count;
use crate::layout::Typed;
use crate::maps::STASHES;
use crate::sock;

/// A socket in its last moment.
#[derive(Clone, Copy, Default)]
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
    if STASHES.insert(bpf_get_current_pid_tgid(), stash, 0).is_err() {
        count(COUNTER_DETAILS_FULL);
    }
}

/// Whether the current thread has kept anything that was not taken.
#[inline(always)]
pub(crate) fn is_kept() -> bool {
    // SAFETY: only this thread reads or writes its entry, and it is here.
    unsafe { STASHES.get(bpf_get_current_pid_tgid()) }.is_some()
}

/// What the current thread kept of `sock`, or of any socket where that is null; zeroes, also for the socket, if it kept
/// nothing. Not an `Option`: older verifiers refuse to see it copied before it is known what is in it.
#[inline(always)]
pub(crate) fn take(sock: *const u8) -> Stash {
    let thread = bpf_get_current_pid_tgid();
    let Some(stash) = STASHES.get_ptr(thread) else { return Stash::default() };
    // SAFETY: only this thread reads or writes its entry, and it is here.
    let kept = unsafe { *stash };
    let _ = STASHES.remove(thread);
    if sock.is_null() || kept.sock == sock as u64 { kept } else { Stash::default() }
}
