//! What the time is, by the two clocks that matter.
//!
//! In: the kernel's clocks. Out: an instant since boot, and what makes it a time of day. Must not know: what for.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::event::BootNs;

/// Now, by the clock of every instant.
pub(super) fn now() -> BootNs {
    BootNs(ns(ClockId::CLOCK_BOOTTIME))
}

/// Now, and wall-clock time minus boot-clock time in nanoseconds.
pub(super) fn now_with_offset() -> (BootNs, i64) {
    let [wall, boot] = [ClockId::CLOCK_REALTIME, ClockId::CLOCK_BOOTTIME].map(ns);
    (BootNs(boot), i64::try_from(i128::from(wall) - i128::from(boot)).unwrap_or(0))
}

/// Nanoseconds of a clock; 0 from a kernel without it, which none that loads programs is.
fn ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).ok().map(|time| Duration::from(time).as_nanos());
    time.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}
