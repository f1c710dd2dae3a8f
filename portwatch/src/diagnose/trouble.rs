//! Failures that wait for a snapshot to explain them.
//!
//! In: failures. Out: the last of each kind, and how many there are in a minute, for a snapshot that is about them. Must
//! not know: what is made of them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::path::Path;
use super::{Cause, cause};
use crate::event::{BootNs, Failure, Process, Protocol, Snapshot};

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
pub(super) struct Troubles(HashMap<(Path, Cause), Trouble, RandomState>);

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

    /// Those that the snapshot is about, in order.
    pub(super) fn within(&mut self, snapshot: &Snapshot) -> impl Iterator<Item = (&(Path, Cause), &Trouble)> {
        self.forget(snapshot.at);
        let is_about = |(path, cause): &(Path, Cause)| match cause {
            // No row is needed.
            Cause::AddressNotLocal | Cause::PortTaken => path.is_in_namespace_of(snapshot),
            _ => path.is_within(snapshot),
        };
        let mut about: Vec<_> = self.0.iter().filter(|(key, _)| is_about(key)).collect();
        about.sort_unstable_by_key(|(key, _)| *key);
        about.into_iter()
    }

    fn forget(&mut self, now: BootNs) {
        self.0.retain(|_, trouble| trouble.last.at.0.saturating_add(OVER_AFTER_NS) > now.0);
    }
}

impl Trouble {
    fn add(&mut self, failure: &Failure) {
        self.count += 1;
        replace(&mut self.last, failure);
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

/// The same as a clone, but for what it costs: thousands a second may come by.
fn replace(last: &mut Failure, failure: &Failure) {
    let Failure { at, fault, process, netns, source, port_range, own_range, search } = failure;
    let Process { tgid, start, tid, comm, uid, gid, cgroup, details } = process;
    if !Arc::ptr_eq(&last.process.details, details) {
        last.process.details = Arc::clone(details);
    }
    last.process.comm.0.clone_from(&comm.0);
    let process = &mut last.process;
    (process.tgid, process.start, process.tid) = (*tgid, *start, *tid);
    (process.uid, process.gid, process.cgroup) = (*uid, *gid, *cgroup);
    (last.at, last.fault, last.netns, last.source) = (*at, *fault, *netns, *source);
    (last.port_range, last.own_range, last.search) = (*port_range, *own_range, *search);
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

#[cfg(test)]
mod tests {

    use std::time::Duration;

    use super::replace;
    use crate::event::{
        BootNs, Call, CgroupId, Errno, Failure, Fault, NetnsId, PortRange, Process, Protocol, Stage, State,
        Text, Tgid, Tid,
    };

    #[test]
    fn what_replaces_another_failure_is_the_same_in_every_field() {
        let fault = |port, call, v4_mapped| Fault {
            call,
            protocol: Protocol::Tcp,
            errno: Errno::EADDRNOTAVAIL,
            stage: Stage::PortSearch,
            had_port: false,
            address: ([10, 0, 0, 2], port).into(),
            v4_mapped,
            kernel_socket: false,
        };
        let before = Failure {
            at: BootNs(1),
            fault: fault(80, Call::Connect, false),
            process: Process::with_id(7),
            netns: NetnsId(5),
            source: ([10, 0, 0, 1], 0).into(),
            port_range: PortRange { low: 1, high: 2 },
            own_range: None,
            search: None,
        };
        let after = Failure {
            at: BootNs(2),
            fault: fault(443, Call::Sendto, true),
            process: Process {
                tgid: Tgid(8),
                start: BootNs(3),
                tid: Some(Tid(9)),
                comm: Text(b"name".to_vec()),
                uid: 10,
                gid: 11,
                cgroup: CgroupId(12),
                details: State::Exited.into(),
            },
            netns: NetnsId(6),
            source: ([10, 0, 0, 3], 4).into(),
            port_range: PortRange { low: 3, high: 4 },
            own_range: Some(PortRange { low: 5, high: 6 }),
            search: Some(Duration::from_nanos(13)),
        };
        for (mut last, failure) in [(before.clone(), &after), (after.clone(), &before)] {
            replace(&mut last, failure);
            assert_eq!(&last, failure);
        }
    }
}
