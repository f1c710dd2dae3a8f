//! What portwatch itself takes of the host.
//!
//! In: nothing. Out: a [`Usage`]. Must not know: who asks.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::unistd::{SysconfVar, sysconf};

use crate::event::Usage;

/// That of this process, with `/proc` at `root`.
#[must_use]
pub fn usage(root: &Path) -> Usage {
    let own = root.join("self");
    Usage {
        cpu: cpu(),
        resident_bytes: fs::read_to_string(own.join("statm")).ok().and_then(|text| resident_bytes(&text)),
        // One of them is the folder's that is read.
        descriptors: fs::read_dir(own.join("fd")).ok().map(|files| (files.count() as u64).saturating_sub(1)),
    }
}

fn cpu() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let time = |value: TimeVal| {
        Some(Duration::new(u64::try_from(value.tv_sec()).ok()?, u32::try_from(value.tv_usec() * 1000).ok()?))
    };
    Some(time(usage.user_time())? + time(usage.system_time())?)
}

/// The second number of `statm` is pages (Documentation/filesystems/proc.rst).
fn resident_bytes(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten()?;
    pages.checked_mul(u64::try_from(page).ok()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{resident_bytes, usage};

    #[test]
    fn this_process_takes_something_of_everything() {
        let usage = usage(Path::new("/proc"));
        assert!(usage.cpu.is_some(), "{usage:?}");
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.descriptors.is_some_and(|number| number >= 3), "{usage:?}");
    }

    #[test]
    fn what_proc_does_not_tell_is_not_known() {
        let usage = usage(Path::new("/nonexistent"));
        assert_eq!((usage.resident_bytes, usage.descriptors), (None, None));
        for statm in ["", "1", "1 x 3", "1 18446744073709551615"] {
            assert_eq!(resident_bytes(statm), None, "{statm}");
        }
    }
}
