//! Who waits for the network's answer, and which answers were told.
//!
//! In: a socket that connects. Out: its caller; whether an error that a call returns is an answer that was reported when
//! it came. The only user of [`CALLERS`] besides the hook that sees answers come.

use crate::layout::{Memory, setting};
use crate::maps::CALLERS;
use crate::sock::cookie;

/// Whether the network gave this answer to this socket, and it was reported when it came.
#[inline(always)]
pub(crate) fn is_answer<M: Memory>(sock: *const u8, errno: u16) -> bool {
    if setting!(duties.all_errors) != 1 {
        return false;
    }
    // SAFETY: the socket is one that `M` reads.
    let cookie = unsafe { cookie::<M>(sock) };
    // SAFETY: a copy of what one wrote who did so before this call returned.
    let caller = unsafe { CALLERS.get(sock as u64) };
    let answered = caller.is_some_and(|caller| {
        caller.answer == errno.into() && (caller.cookie == 0 || caller.cookie == cookie)
    });
    if answered {
        let _ = CALLERS.remove(sock as u64);
    }
    answered
}
