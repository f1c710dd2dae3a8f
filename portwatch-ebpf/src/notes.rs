//! What the hooks that one call passes tell each other, so that they report it once.
//!
//! In: a socket, on the thread that calls. Out: whether a hook further in has seen to it. The only user of [`NOTES`],
//! [`TRANSPORTED`], and their crowded ones.
//!
//! Where a note is kept depends on the thread's id alone, so that writing and reading it cost next to nothing. Threads
//! whose ids differ by a multiple of [`PLACES`] share a place: whoever finds another's unread note there leaves its own
//! elsewhere.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use portwatch_ebpf::abi::{COUNTER_CONNECT_MADE_UP, COUNTER_DETAILS_FULL, COUNTER_REPORTED_FULL};

use crate::counter::count;
use crate::maps::{CROWDED_NOTES, CROWDED_TRANSPORTED, NOTES, TRANSPORTED};

/// Places for notes; a power of two. Ids of threads go further where `kernel.pid_max` was raised, as systemd does.
pub(crate) const PLACES: u32 = 32 * 1024;

/// Ticks after which a note has no reader any more: its thread is gone, or its next hook was skipped. Ten seconds or
/// longer, by the kernel's `CONFIG_HZ` of 100 to 1,000.
const STALE_TICKS: u64 = 10_000;

/// A thread and the socket whose failure it has reported.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Note {
    /// The socket's address; 0 once the connect hook has read it.
    sock: u64,
    /// When, in ticks.
    at_tick: u64,
    tid: u32,
    /// 1 once the witness has seen it.
    seen: u32,
}

impl Note {
    #[inline(always)]
    fn new(sock: *const u8, seen: u32) -> Self {
        // SAFETY: takes no pointer; the verifier makes a load of it.
        Self { sock: sock as u64, at_tick: unsafe { bpf_jiffies64() }, tid: tid(), seen }
    }

    /// Whether it is about `sock`, or any socket where that is null.
    #[inline(always)]
    fn is_of(&self, sock: *const u8) -> bool {
        self.sock != 0 && (sock.is_null() || self.sock == sock as u64)
    }
}

#[inline(always)]
fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// The port-search hook is about to report the failure of `sock`. If it cannot be noted it must not: the connect hook
/// will, with less detail, but once.
#[inline(always)]
pub(crate) fn search_reports(sock: *const u8) -> bool {
    let noted = leave(Note::new(sock, 0));
    if !noted {
        count(COUNTER_DETAILS_FULL);
    }
    noted
}

/// The witness is about to report it in its place; likewise.
#[inline(always)]
pub(crate) fn witness_reports(sock: *const u8) -> bool {
    leave(Note::new(sock, 1))
}

#[inline(always)]
fn leave(note: Note) -> bool {
    let Some(place) = NOTES.get_ptr_mut(note.tid % PLACES) else { return false };
    // SAFETY: the map's memory. Threads that share it may meet here on two processors at the very same moment: then
    // one note is lost, and its failure is told twice.
    unsafe {
        if (*place).sock != 0 {
            if (*place).tid != note.tid && note.at_tick.wrapping_sub((*place).at_tick) < STALE_TICKS {
                return CROWDED_NOTES.insert(note.tid, note, 0).is_ok();
            }
            // The connect hook did not run after this thread's last failure, or after that of one that is gone.
            count(COUNTER_CONNECT_MADE_UP);
        }
        *place = note;
    }
    true
}

/// Whether the witness, which every failure of the search passes, is the first to see the failure of `sock` in this very
/// call: the port-search hook has left no note of it. A note that the witness has seen before is of an earlier one, whose
/// connect hook the kernel skipped; it is taken away.
#[inline(always)]
pub(crate) fn is_news_to_witness(sock: *const u8) -> bool {
    let tid = tid();
    // SAFETY: the maps' memory; only this thread writes notes of its own, and it is here.
    unsafe {
        if let Some(place) = NOTES.get_ptr_mut(tid % PLACES)
            && (*place).tid == tid
            && (*place).is_of(sock)
        {
            return is_old(place);
        }
        CROWDED_NOTES.get_ptr_mut(tid).is_none_or(|place| !(*place).is_of(sock) || is_old(place))
    }
}

#[inline(always)]
unsafe fn is_old(note: *mut Note) -> bool {
    // SAFETY: the caller's promise: the map's memory.
    unsafe {
        let seen = (*note).seen == 1;
        (*note).seen = 1;
        if seen {
            (*note).sock = 0;
            count(COUNTER_CONNECT_MADE_UP);
        }
        seen
    }
}

/// Whether the port-search hook, or the witness in its place, has reported the failure of `sock` in this very call;
/// null for that of any socket, as one of MPTCP has others below it.
#[inline(always)]
pub(crate) fn search_reported(sock: *const u8) -> bool {
    let tid = tid();
    let Some(place) = NOTES.get_ptr_mut(tid % PLACES) else { return false };
    // SAFETY: as above.
    let found = unsafe { *place };
    if found.sock != 0 && found.tid == tid {
        // SAFETY: as above.
        unsafe { (*place).sock = 0 };
        if !found.is_of(sock) {
            // Left by an earlier failure, whose connect hook the kernel skipped.
            count(COUNTER_CONNECT_MADE_UP);
        }
        return found.is_of(sock);
    }
    // SAFETY: only this thread writes its entry, and it is here.
    let crowded = unsafe { CROWDED_NOTES.get(tid) }.copied();
    if crowded.is_some() {
        let _ = CROWDED_NOTES.remove(tid);
    }
    crowded.is_some_and(|note| note.is_of(sock))
}

/// A hook of the transport has seen to the failure of `sock`.
#[inline(always)]
pub(crate) fn transport_reported(sock: *const u8) {
    let tid = tid();
    let Some(place) = TRANSPORTED.get_ptr_mut(tid % PLACES) else { return };
    // SAFETY: as above.
    unsafe {
        let note = Note::new(sock, 0);
        let age_ticks = note.at_tick.wrapping_sub((*place).at_tick);
        if (*place).sock == 0 || (*place).tid == tid || age_ticks >= STALE_TICKS {
            *place = note;
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
    let Note { tid: whose, sock: noted, .. } = unsafe { *place };
    let found = if noted != 0 && whose == tid {
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
        if (*place).tid == tid {
            (*place).sock = 0;
            return;
        }
    }
    let _ = CROWDED_TRANSPORTED.remove(tid);
}
