//! Gives memory back that only the start needed.
//!
//! In: nothing. Out: nothing; resident memory is what changes. Left to itself, glibc learns from the megabytes that
//! type information takes for a moment at the start, and from then on keeps as much, and twice that, when it is freed; and
//! it has a heap for each thread, none of which fills the holes that the start left. And the kernel keeps the executable mapped wherever
//! it ran once.

/// Sets the thresholds to those with which glibc begins, which makes it stop learning, and has all threads share a
/// heap (mallopt(3)).
#[cfg(target_env = "gnu")]
pub(super) fn hold_little() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

    const BYTES: i32 = 128 * 1024;
    for (what, value) in [(M_MMAP_THRESHOLD, BYTES), (M_TRIM_THRESHOLD, BYTES), (M_ARENA_MAX, 1)] {
        // SAFETY: takes two numbers and touches no memory that is in use. A refusal leaves all as it is.
        unsafe { mallopt(what, value) };
    }
}

/// Other allocators have no such thresholds.
#[cfg(not(target_env = "gnu"))]
pub(super) fn hold_little() {}

/// Unmaps the pages of the executable that were needed so far, once the programs are loaded: most of the code that ran until
/// then does not run again. What does comes back from the page cache where it is called.
#[cfg(target_env = "gnu")]
pub(super) fn let_go_of_the_start() {
    use std::ptr::NonNull;

    use nix::sys::mman::{MmapAdvise, madvise};

    // Both by the linker, which puts nothing but constants and code between them (ld(1), ld.lld(1)).
    unsafe extern "C" {
        static __executable_start: u8;
        static etext: u8;
    }
    const PAGE_BYTES: usize = 4096;
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let length = end.addr().saturating_sub(start.addr()) / PAGE_BYTES * PAGE_BYTES;
    if let Some(start) = NonNull::new(start.cast_mut().cast()) {
        // SAFETY: these pages are never written, so that the file has what is in them. Where a gap is between them, or
        // the executable was not mapped, nothing else is there, and the refusal leaves all as it is.
        let _ = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
    }
}

/// Other linkers may have other names for it.
#[cfg(not(target_env = "gnu"))]
pub(super) fn let_go_of_the_start() {}
