//! Settings of the namespace that portwatch runs in, read again and again where no hook tells of changes.
//!
//! In: nothing. Out: what has changed. What cannot be seen is said once. Must not know: how often somebody looks.

use crate::enrich::Sysctls;
use crate::event::{BootNs, SettingChange};

/// What they were at the last look.
pub(super) struct OwnSettings {
    read: Sysctls,
    told_that_there_are_more: bool,
}

impl OwnSettings {
    /// Reads them for the first time; none, which is said, where the namespace cannot be told.
    pub(super) fn new() -> Option<Self> {
        match Sysctls::new("/proc") {
            Ok(read) => Some(Self { read, told_that_there_are_more: false }),
            Err(error) => {
                log::warn!(
                    "look at the own network namespace: {error}; settings that are changed are not seen"
                );
                None
            }
        }
    }

    /// What has changed until `at`, which is now.
    pub(super) fn changes(&mut self, at: BootNs) -> Vec<SettingChange> {
        let changes = self.read.changes(at);
        if self.read.has_more() && !self.told_that_there_are_more {
            self.told_that_there_are_more = true;
            log::warn!(
                "there are more interfaces than are looked at: changes of `disable_ipv6` of some are not seen"
            );
        }
        changes
    }
}
