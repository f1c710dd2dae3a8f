//! Failures that wait for a snapshot to explain them.
//!
//! In: failures. Out: the last of each kind, and how many there are in a minute, for a snapshot that is about them. Must
//! not know: what is made of them.

use super::observer::ByKind;
use super::path::Path;
use super::{Cause, cause};
use crate::event::{BootNs, Failure, Protocol, Snapshot};

/// A shortage of which nothing was seen for so long is over.
const OVER_AFTER_NS: u64 = 60_000_000_000;
/// Rates are those of about the last so many nanoseconds,
const WINDOW_NS: u64 = 10_000_000_000;
/// and not told of less than this.
const LEAST_NS: u64 = 1_000_000_000;

/// Failures alike.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) last: Failure,
    /// Those that were shown: there may be more.
    pub(super) failures_per_minute: Option<u32>,
    since: BootNs,
    count: u64,
}

/// Those of the last minute.
#[derive(Debug, Default)]
pub(super) struct Troubles(ByKind<Trouble>);

impl Troubles {
    /// Kinds that are remembered; more at a time are in no verdict, in counts as ever.
    pub(super) const MAX: usize = 256;

    /// Takes in a failure, if it is of a kind that snapshots explain.
    pub(super) fn note(&mut self, failure: &Failure) {
        let cause = cause(&failure.fault);
        if matches!(cause, Cause::Other | Cause::Unknown) {
            return;
        }
        let key = (path(failure, cause), cause);
        if let Some(trouble) = self.0.get_mut(&key) {
            trouble.add(failure);
            return;
        }
        if self.0.len() >= Self::MAX {
            self.forget(failure.at);
        }
        if self.0.len() < Self::MAX {
            let trouble =
                Trouble { last: failure.clone(), failures_per_minute: None, since: failure.at, count: 1 };
            self.0.insert(key, trouble);
        }
    }

    /// Those that the snapshot is about.
    pub(super) fn within(&mut self, snapshot: &Snapshot) -> impl Iterator<Item = (&(Path, Cause), &Trouble)> {
        self.forget(snapshot.at);
        let is_about = |(path, cause): &(Path, Cause)| match cause {
            // No row is needed.
            Cause::AddressNotLocal | Cause::PortTaken => path.is_in_namespace_of(snapshot),
            _ => path.is_within(snapshot),
        };
        self.0.iter().filter(move |(key, _)| is_about(key))
    }

    fn forget(&mut self, now: BootNs) {
        self.0.retain(|_, trouble| trouble.last.at.0.saturating_add(OVER_AFTER_NS) > now.0);
    }
}

impl Trouble {
    fn add(&mut self, failure: &Failure) {
        self.count += 1;
        self.last = failure.clone();
        let passed = failure.at.0.saturating_sub(self.since.0);
        if passed >= LEAST_NS {
            let per_minute = u128::from(self.count) * 60_000_000_000 / u128::from(passed);
            self.failures_per_minute = u32::try_from(per_minute).ok();
        }
        if passed >= WINDOW_NS {
            (self.since, self.count) = (failure.at, 0);
        }
    }
}

/// What has the ports that a call wanted one of.
fn path(failure: &Failure, cause: Cause) -> Path {
    let fault = &failure.fault;
    let is_udp = fault.protocol == Protocol::Udp;
    let (source, destination) = match (fault.destination(), cause) {
        (_, Cause::UdpRangeExhausted) => (None, None),
        (_, Cause::AddressNotLocal | Cause::PortTaken) => (Some(fault.address.ip()), None),
        (None, _) if is_udp => (None, None),
        (None, _) => (Some(fault.address.ip()), None),
        (Some(destination), _) => {
            (Some(failure.source.ip()).filter(|source| !source.is_unspecified()), Some(destination))
        }
    };
    Path { netns: failure.netns, is_udp, source, destination, device: 0 }
}
