//! What the hooks that one call passes tell each other, so that they report it once.
//!
//! In: a socket, on the thread that calls. Out: whether a hook further in has seen to it. The only user of [`NOTES`],
//! [`TRANSPORTED`], and their crowded ones.
//!
//! Where a note is kept depends on the thread's id alone, so that writing and reading it cost next to nothing. Threads
//! whose ids differ by a multiple of [`PLACES`] share a place: whoever is not alone there leaves its note elsewhere. Who is
//! alone they find out by adding to a number and reading it, as programs of old kernels have no other atomic operation: two
//! that come at once may both find that they are not, but never both that they are.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use portwatch_ebpf::abi::{COUNTER_CONNECT_MADE_UP, COUNTER_DETAILS_FULL, COUNTER_REPORTED_FULL};

use crate::counter::{add, count};
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
    /// The socket's address; 0 for none, or once the connect hook has read it. Written after the rest.
    sock: u64,
    /// When, in ticks.
    at_tick: u64,
    /// 0 for nobody: only then the place is free.
    tid: u32,
    /// 1 once the witness has seen it.
    seen: u32,
}

/// Where the threads of some ids leave their notes.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Place {
    note: Note,
    /// Of threads that have a note here, or look whether they may leave one.
    claims: u64,
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

/// Of the current thread; not 0, which is nobody's, also where an idle processor takes packets.
#[inline(always)]
fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32 | 1 << 31
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
    // SAFETY: the map's memory.
    match unsafe { leave_at(place, &note) } {
        Left::Here => true,
        // The connect hook did not run after this thread's last failure, or after that of one that is gone.
        Left::InsteadOfAnother => {
            count(COUNTER_CONNECT_MADE_UP);
            true
        }
        Left::Nowhere => CROWDED_NOTES.insert(note.tid, note, 0).is_ok(),
    }
}

/// What came of an attempt to leave a note at a place.
#[derive(Clone, Copy)]
enum Left {
    /// It is there.
    Here,
    /// It is there, where one was that nobody had read.
    InsteadOfAnother,
    /// Another thread is there.
    Nowhere,
}

/// # Safety
/// Here and below: `place` must be the map's memory.
#[inline(always)]
unsafe fn leave_at(place: *mut Place, note: &Note) -> Left {
    // SAFETY: the caller's promise; volatile, as other threads read and write.
    unsafe {
        let (there, claims) = (&raw mut (*place).note, &raw mut (*place).claims);
        // Only this thread writes its id.
        if (&raw const (*there).tid).read_volatile() == note.tid {
            write(there, note);
            return Left::InsteadOfAnother;
        }
        add(claims, 1);
        let alone = claims.read_volatile();
        if alone == 1 {
            write(there, note);
            return Left::Here;
        }
        // With nobody else than one that left a note and does not come back: it is replaced, and its claim with it.
        let replaces = alone == 2 && is_stale(there, note.at_tick);
        if replaces {
            write(there, note);
        }
        add(claims, u64::MAX);
        if replaces { Left::InsteadOfAnother } else { Left::Nowhere }
    }
}

#[inline(always)]
unsafe fn is_stale(note: *const Note, now_tick: u64) -> bool {
    // SAFETY: the caller's promise; in this order, as a note that has its socket has its time. That may be a tick later
    // than now, which was asked for before: a note is no older for it.
    unsafe {
        (&raw const (*note).sock).read_volatile() != 0
            && now_tick.saturating_sub((&raw const (*note).at_tick).read_volatile()) >= STALE_TICKS
    }
}

#[inline(always)]
unsafe fn write(there: *mut Note, note: &Note) {
    // SAFETY: the caller's promise; volatile keeps the order.
    unsafe {
        (&raw mut (*there).at_tick).write_volatile(note.at_tick);
        (&raw mut (*there).seen).write_volatile(note.seen);
        (&raw mut (*there).tid).write_volatile(note.tid);
        (&raw mut (*there).sock).write_volatile(note.sock);
    }
}

/// Gives the place of this thread's note to others.
#[inline(always)]
unsafe fn leave_place(place: *mut Place) {
    // SAFETY: the caller's promise.
    unsafe {
        let note = &raw mut (*place).note;
        (&raw mut (*note).sock).write_volatile(0);
        (&raw mut (*note).tid).write_volatile(0);
        add(&raw mut (*place).claims, u64::MAX);
    }
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
            && (*place).note.tid == tid
            && (*place).note.is_of(sock)
        {
            let old = is_old(&raw mut (*place).note);
            if old {
                leave_place(place);
            }
            return old;
        }
        CROWDED_NOTES.get_ptr_mut(tid).is_none_or(|note| {
            if !(*note).is_of(sock) {
                return true;
            }
            let old = is_old(note);
            if old {
                (*note).sock = 0;
            }
            old
        })
    }
}

#[inline(always)]
unsafe fn is_old(note: *mut Note) -> bool {
    // SAFETY: the caller's promise: the map's memory.
    unsafe {
        let seen = (*note).seen == 1;
        (*note).seen = 1;
        if seen {
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
    let found = unsafe { (*place).note };
    if found.tid == tid {
        // SAFETY: as above.
        unsafe { leave_place(place) };
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
    if !matches!(unsafe { leave_at(place, &Note::new(sock, 0)) }, Left::Nowhere) {
        return;
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
    let Note { tid: whose, sock: noted, .. } = unsafe { (*place).note };
    let found = if whose == tid {
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
        if (*place).note.tid == tid {
            leave_place(place);
            return;
        }
    }
    let _ = CROWDED_TRANSPORTED.remove(tid);
}
