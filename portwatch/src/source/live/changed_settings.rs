//! Settings that are changed meanwhile: a hook tells in records; where there is none, they are read again and again.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getres};

use crate::event::{BootNs, SettingChange};
use crate::kernel::{Counters, Queue, SkippedRuns};
use crate::source::own_settings::OwnSettings;

/// How often they are read: a change is to be seen within a second.
const INTERVAL: Duration = Duration::from_millis(700);

/// What is known of them.
pub(super) struct ChangedSettings {
    /// What they were; none where a hook tells, or they cannot be read.
    read: Option<OwnSettings>,
    read_at: Instant,
    /// Of the kernel's timer, in which it keeps some of them.
    pub(super) ticks_per_second: u32,
    /// Records of them that are none.
    pub(super) malformed: u64,
}

impl ChangedSettings {
    /// `reads`: whether no hook tells.
    pub(super) fn new(reads: bool) -> Self {
        Self {
            read: reads.then(OwnSettings::new).flatten(),
            read_at: Instant::now(),
            ticks_per_second: ticks_per_second(),
            malformed: 0,
        }
    }

    /// When it is time to look; none where there is no need.
    pub(super) fn due(&self) -> Option<Instant> {
        self.read.as_ref().map(|_| self.read_at + INTERVAL)
    }

    /// What has changed until `at`, which is now.
    pub(super) fn changes(&mut self, at: BootNs) -> Vec<SettingChange> {
        let Some(read) = &mut self.read else { return Vec::new() };
        self.read_at = Instant::now();
        read.changes(at)
    }

    /// The most changes that no record told.
    pub(super) fn lost(&self, counters: &Counters, queue: &Queue, skipped: Option<SkippedRuns>) -> u64 {
        counters.sysctls_lost
            + queue.refused_others()
            + self.malformed
            + skipped.map_or(0, |runs| runs.sysctls)
    }
}

/// `CONFIG_HZ`: a coarse clock advances once a tick (`TICK_NSEC`, kernel/time/posix-timers.c). 250 where it does not tell.
fn ticks_per_second() -> u32 {
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from);
    // 3,333,333 ns are 300 a second.
    let rounded = 1_000_000_000 + tick.as_nanos() / 2;
    rounded.checked_div(tick.as_nanos()).and_then(|ticks| u32::try_from(ticks).ok()).unwrap_or(250)
}
