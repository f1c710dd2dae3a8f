//! Who waits for the network's answer, and which answers were told.
//!
//! In: a socket that connects. Out: its caller; whether an error that a call returns is an answer that was reported when
//! it came. The only writer of [`CALLERS`] and [`ANSWERS`].

use portwatch_ebpf::abi::{COUNTER_ANSWERS, COUNTER_CALLERS_FULL, COUNTER_REPORTED_FULL};

use crate::counter::{count, counted};
use crate::layout::{Memory, Typed, setting};
use crate::maps::{ANSWERS, CALLERS};
use crate::returned::numbers::{ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT};
use crate::sock::cookie;
use crate::task;

/// An answer of the network that was reported.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Answer {
    /// The socket's cookie; 0 where it has none. Another socket may come to have the same address.
    cookie: u64,
    /// Positive error number.
    errno: u64,
}

/// The current task connects `sock`, and the network has yet to answer.
///
/// # Safety
/// Here and below: `sock` must be a socket that the verifier knows.
#[inline(always)]
pub(crate) unsafe fn expected(sock: *const u8) {
    if CALLERS.insert(sock as u64, task::remembered(sock), 0).is_err() {
        count(COUNTER_CALLERS_FULL);
    }
    // Without cookies an earlier socket at this address would be taken for this one.
    if setting!(duties.cookies) != 1 {
        let _ = ANSWERS.remove(sock as u64);
    }
}

/// The answer is being reported.
///
/// # Safety
/// As above.
#[inline(always)]
pub(crate) unsafe fn told(sock: *const u8, errno: u32) {
    // SAFETY: the caller's promise.
    let answer = Answer { cookie: unsafe { cookie::<Typed>(sock) }, errno: errno.into() };
    let _ = ANSWERS.insert(sock as u64, answer, 0);
    count(COUNTER_ANSWERS);
}

/// Whether a task that connected `sock` waits for an answer.
#[inline(always)]
pub(crate) fn is_expected(sock: *const u8) -> bool {
    CALLERS.get_ptr(sock as u64).is_some()
}

/// Nobody waits for an answer to `sock` any more.
#[inline(always)]
pub(crate) fn no_longer_expected(sock: *const u8) {
    let _ = CALLERS.remove(sock as u64);
}

/// Answers from which on [`ANSWERS`] may forget some: each processor keeps up to 128 of its places for itself.
const FORGETS_FROM: u64 = 1024;

/// A call of TCP returns an error that was not told when it came, and is about to be. If only the network gives such
/// errors, and there were many of them, it may have been.
#[inline(always)]
pub(crate) fn told_late(errno: u16) {
    if matches!(errno, ECONNREFUSED | ECONNRESET | ETIMEDOUT) && counted(COUNTER_ANSWERS) >= FORGETS_FROM {
        count(COUNTER_REPORTED_FULL);
    }
}

/// Whether the network gave this answer to this socket, and it was reported when it came. Of one of MPTCP it is a path
/// that gets answers; null where that is not known: then what the network may answer is taken for one.
#[inline(always)]
pub(crate) fn is_answer<M: Memory>(sock: *const u8, errno: u16) -> bool {
    if setting!(duties.all_errors) != 1 {
        return false;
    }
    if sock.is_null() {
        return matches!(errno, ECONNREFUSED | ECONNRESET | ETIMEDOUT | EHOSTUNREACH | ENETUNREACH);
    }
    // SAFETY: the socket is one that `M` reads.
    let cookie = unsafe { cookie::<M>(sock) };
    // SAFETY: a copy of what one wrote who did so before this call returned.
    let answer = unsafe { ANSWERS.get(sock as u64) };
    let is_told = answer.is_some_and(|answer| {
        answer.errno == errno.into() && (answer.cookie == 0 || answer.cookie == cookie)
    });
    if is_told {
        let _ = ANSWERS.remove(sock as u64);
    }
    is_told
}
