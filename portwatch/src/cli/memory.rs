//! Makes the allocator return what is free.
//!
//! In: nothing. Out: nothing; resident memory is what changes. Left to itself, glibc learns from the megabytes that
//! type information takes for a moment at the start, and from then on keeps as much, and twice that, when it is freed.

/// Sets the thresholds to those with which glibc begins, which makes it stop learning (mallopt(3)).
#[cfg(target_env = "gnu")]
pub(super) fn hold_little() {
    use nix::libc::{M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, mallopt};

    const BYTES: i32 = 128 * 1024;
    for threshold in [M_MMAP_THRESHOLD, M_TRIM_THRESHOLD] {
        // SAFETY: takes two numbers and touches no memory that is in use. A refusal leaves all as it is.
        unsafe { mallopt(threshold, BYTES) };
    }
}

/// Other allocators have no such thresholds.
#[cfg(not(target_env = "gnu"))]
pub(super) fn hold_little() {}
