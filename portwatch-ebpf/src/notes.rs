//! What the hooks that one call passes tell each other, so that they report it once.
//!
//! In: a socket, on the thread that calls. Out: whether a hook further in has seen to it. The only user of [`NOTES`],
//! [`TRANSPORTED`], and their crowded ones.
//!
//! Where a note is kept depends on the thread's id alone, so that writing and reading it cost next to nothing. Threads
//! whose ids differ by a multiple of [`PLACES`] share a place: whoever finds another's unread note there leaves its own
//! elsewhere.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_ebpf::abi::{COUNTER_CONNECT_MADE_UP, COUNTER_DETAILS_FULL, COUNTER_REPORTED_FULL};

use crate::counter::count;
use crate::maps::{CROWDED_NOTES, CROWDED_TRANSPORTED, NOTES, TRANSPORTED};

/// Places for notes; a power of two. Ids of threads go further where `kernel.pid_max` was raised, as systemd does.
pub(crate) const PLACES: u32 = 32 * 1024;

/// A thread and the socket whose failure it has reported, by its address; 0 once that was read.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Note {
    tid: u64,
    sock: u64,
}

#[inline(always)]
fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The port-search hook is about to report the failure of `sock`. If it cannot be noted it must not: the connect hook
/// will, with less detail, but once.
#[inline(always)]
pub(crate) fn search_reports(sock: *const u8) -> bool {
    let tid = tid();
    let Some(place) = NOTES.get_ptr_mut(tid % PLACES) else { return false };
    // SAFETY: the map's memory. Threads that share it may meet here on two processors at the very same moment: then
    // one note is lost, and its failure is told twice.
    unsafe {
        if (*place).sock != 0 {
            if (*place).tid != u64::from(tid) {
                let noted = CROWDED_NOTES.insert(tid, sock as u64, 0).is_ok();
                if !noted {
                    count(COUNTER_DETAILS_FULL);
                }
                return noted;
            }
            // The connect hook did not run after this thread's last failure.
            count(COUNTER_CONNECT_MADE_UP);
        }
        (*place).tid = tid.into();
        (*place).sock = sock as u64;
    }
    true
}

/// Whether the port-search hook has reported the failure of `sock` in this very call.
#[inline(always)]
pub(crate) fn search_reported(sock: *const u8) -> bool {
    let tid = tid();
    let Some(place) = NOTES.get_ptr_mut(tid % PLACES) else { return false };
    // SAFETY: as above.
    let found = unsafe { *place };
    if found.sock != 0 && found.tid == u64::from(tid) {
        // SAFETY: as above.
        unsafe { (*place).sock = 0 };
        if found.sock != sock as u64 {
            // Left by an earlier failure, whose connect hook the kernel skipped.
            count(COUNTER_CONNECT_MADE_UP);
        }
        return found.sock == sock as u64;
    }
    // SAFETY: only this thread writes its entry, and it is here.
    let crowded = unsafe { CROWDED_NOTES.get(tid) }.copied();
    if crowded.is_some() {
        let _ = CROWDED_NOTES.remove(tid);
    }
    crowded == Some(sock as u64)
}

/// A hook of the transport has seen to the failure of `sock`.
#[inline(always)]
pub(crate) fn transport_reported(sock: *const u8) {
    let tid = tid();
    let Some(place) = TRANSPORTED.get_ptr_mut(tid % PLACES) else { return };
    // SAFETY: as above.
    unsafe {
        if (*place).sock == 0 || (*place).tid == u64::from(tid) {
            (*place).tid = tid.into();
            (*place).sock = sock as u64;
            return;
        }
    }
    if CROWDED_TRANSPORTED.insert(tid, sock as u64, 0).is_err() {
        // The hook of the socket layer reports the failure again: rather twice than never.
        count(COUNTER_REPORTED_FULL);
    }
}

/// Whether a hook of the transport has seen to the failure of `sock` in this very call; null for that of any socket,
/// as one of MPTCP has others below it.
#[inline(always)]
pub(crate) fn was_transported(sock: *const u8) -> bool {
    let tid = tid();
    let Some(place) = TRANSPORTED.get_ptr(tid % PLACES) else { return false };
    // SAFETY: as above.
    let Note { tid: whose, sock: noted } = unsafe { *place };
    let found = if noted != 0 && whose == u64::from(tid) {
        noted
    } else {
        // SAFETY: only this thread writes its entry, and it is here.
        unsafe { CROWDED_TRANSPORTED.get(tid) }.copied().unwrap_or(0)
    };
    found != 0 && (sock.is_null() || found == sock as u64)
}

/// The outermost hook of this call has been passed.
#[inline(always)]
pub(crate) fn forget_transported() {
    let tid = tid();
    let Some(place) = TRANSPORTED.get_ptr_mut(tid % PLACES) else { return };
    // SAFETY: as above.
    unsafe {
        if (*place).tid == u64::from(tid) {
            (*place).sock = 0;
            return;
        }
    }
    let _ = CROWDED_TRANSPORTED.remove(tid);
}
