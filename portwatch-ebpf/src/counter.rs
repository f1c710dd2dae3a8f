//! Counters that several processors, or several tasks preempting each other on one, add to.

use crate::maps::COUNTERS;

/// Adds one to the counter of a `COUNTER_` place.
#[inline(always)]
pub(crate) fn count(place: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(place) {
        // SAFETY: the map's memory.
        unsafe { add(counter, 1) };
    }
}

/// What the counter of a `COUNTER_` place says.
#[inline(always)]
pub(crate) fn counted(place: u32) -> u64 {
    // SAFETY: the map's memory; volatile, as others add.
    COUNTERS.get_ptr(place).map_or(0, |counter| unsafe { counter.read_volatile() })
}

/// Adds.
///
/// # Safety
/// `counter` must be a map value's memory, aligned for `u64`.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    // The target has atomic addition but no compare-and-swap, so `AtomicU64` offers no `fetch_add` there.
    // SAFETY: the caller's promise.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, amount) };
}

/// The same where only the host's tools look.
///
/// # Safety
/// `counter` must be valid and aligned.
#[cfg(not(target_arch = "bpf"))]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller's promise.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(amount, Ordering::Relaxed);
}
