//! How often what happened to whom, over sessions.
//!
//! In: failures as they were seen, counts of intervals, and the summary of a session, which is exact and stands for both.
//! Out: rows. Bounded: those with the fewest failures make room, and are counted together.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::wall::WallNs;
use crate::event::{BootNs, CgroupId, Details, Fault, NetnsId, Process, State, Text, Tgid};

/// Rows, at most. The kernel side's table has 24,576, so a session alone fits.
const MOST: usize = 40_960;
/// So many stay when there are more.
const LEAST: usize = 24_576;
/// Bytes of executables and arguments that are kept: 4 KiB of each are the most of one process, and a few hundred usual.
const DETAILS_BYTES: usize = 6 << 20;
/// Bytes of a name: the kernel has 16.
const NAME_BYTES: usize = 64;

/// What has a row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Number of the host among those of the report.
    pub(super) host: u16,
    /// The process.
    pub(super) tgid: Tgid,
    /// Its start.
    pub(super) start: BootNs,
    /// Where.
    pub(super) netns: NetnsId,
    /// What.
    pub(super) fault: Fault,
}

impl Key {
    /// That of a failure, or of a row.
    pub(super) fn of(host: u16, process: &Process, netns: NetnsId, fault: &Fault) -> Self {
        Self { host, tgid: process.tgid, start: process.start, netns, fault: *fault }
    }
}

/// Failures of one kind.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Which.
    pub(super) key: Key,
    /// Name of the process.
    pub(super) comm: Text,
    /// Its user.
    pub(super) uid: u32,
    /// Its group.
    pub(super) gid: u32,
    /// Its control group.
    pub(super) cgroup: CgroupId,
    /// What /proc told of it.
    pub(super) details: Arc<Details>,
    /// How many.
    pub(super) count: u64,
    /// First, of those that count.
    pub(super) first: WallNs,
    /// Last.
    pub(super) last: WallNs,
    /// Of the running session: in counts of intervals.
    counted: u64,
    /// Of the running session: seen since the last of these.
    pending: u64,
    /// Which interval `pending` is of.
    interval: u32,
}

/// How often something happened, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// How often.
    pub(super) count: u64,
    /// First.
    pub(super) first: WallNs,
    /// Last.
    pub(super) last: WallNs,
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Tally {
    places: HashMap<Key, usize, RandomState>,
    entries: Vec<Entry>,
    /// Failures of rows that made room, of sessions that are over.
    pub(super) others: u64,
    /// The same of the running session.
    others_counted: u64,
    others_pending: u64,
    interval: u32,
    details_bytes: usize,
}

impl Tally {
    /// One failure that no count of an interval has yet.
    pub(super) fn saw(&mut self, key: Key, process: &Process, at: WallNs) {
        let interval = self.interval;
        let entry = self.entry(key, process, at);
        if entry.interval != interval {
            (entry.interval, entry.pending) = (interval, 0);
        }
        entry.pending += 1;
        entry.first = entry.first.min(at);
        entry.last = entry.last.max(at);
    }

    /// How often it was seen and not yet counted.
    pub(super) fn pending(&self, key: &Key) -> u64 {
        let entry = self.places.get(key).and_then(|place| self.entries.get(*place));
        entry.filter(|entry| entry.interval == self.interval).map_or(0, |entry| entry.pending)
    }

    /// A failure that counts elsewhere: what it tells of its process.
    pub(super) fn learn(&mut self, key: Key, process: &Process, at: WallNs) {
        self.entry(key, process, at);
    }

    /// A row of an interval.
    pub(super) fn counted(&mut self, key: Key, process: &Process, times: Times) {
        let entry = self.entry(key, process, times.first);
        entry.counted = entry.counted.saturating_add(times.count);
        entry.first = entry.first.min(times.first);
        entry.last = entry.last.max(times.last);
    }

    /// All that was seen until now is in counts of intervals.
    pub(super) fn begin_interval(&mut self) {
        self.interval = self.interval.wrapping_add(1);
        self.others_pending = 0;
    }

    /// The session ends without a summary: what was counted and seen since is what is known.
    pub(super) fn close(&mut self) {
        let interval = self.interval;
        for entry in &mut self.entries {
            let pending = if entry.interval == interval { entry.pending } else { 0 };
            entry.count = entry.count.saturating_add(entry.counted).saturating_add(pending);
        }
        self.others = self.others.saturating_add(self.others_counted).saturating_add(self.others_pending);
        self.forget();
    }

    /// The session ends with a summary, whose rows follow by [`Self::summed`]: nothing else of it counts.
    pub(super) fn forget(&mut self) {
        self.begin_interval();
        self.others_counted = 0;
        self.entries.iter_mut().for_each(|entry| (entry.counted, entry.pending) = (0, 0));
    }

    /// A row of a summary.
    pub(super) fn summed(&mut self, key: Key, process: &Process, times: Times) {
        let entry = self.entry(key, process, times.first);
        entry.count = entry.count.saturating_add(times.count);
        entry.first = entry.first.min(times.first);
        entry.last = entry.last.max(times.last);
    }

    /// Rows that have failures.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.count > 0)
    }

    fn entry(&mut self, key: Key, process: &Process, at: WallNs) -> &mut Entry {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.insert(key, process, at),
        };
        let entry = &mut self.entries[place];
        if known(&process.details) > known(&entry.details) {
            let (more, less) = (bytes(&process.details), bytes(&entry.details));
            let sum = (self.details_bytes + more).saturating_sub(less);
            if sum <= DETAILS_BYTES {
                self.details_bytes = sum;
                entry.details = Arc::clone(&process.details);
            }
        }
        entry
    }

    fn insert(&mut self, key: Key, process: &Process, at: WallNs) -> usize {
        if self.entries.len() >= MOST {
            self.prune();
        }
        let comm = process.comm.0.get(..NAME_BYTES).unwrap_or(&process.comm.0);
        self.entries.push(Entry {
            key,
            comm: Text(comm.to_vec()),
            uid: process.uid,
            gid: process.gid,
            cgroup: process.cgroup,
            details: Details::not_read(),
            count: 0,
            first: at,
            last: at,
            counted: 0,
            pending: 0,
            interval: self.interval,
        });
        let place = self.entries.len() - 1;
        self.places.insert(key, place);
        place
    }

    /// Those with the fewest failures become others.
    fn prune(&mut self) {
        let interval = self.interval;
        let pending = |entry: &Entry| if entry.interval == interval { entry.pending } else { 0 };
        let sum = |entry: &Entry| entry.count.saturating_add(entry.counted).saturating_add(pending(entry));
        self.entries.select_nth_unstable_by_key(LEAST, |entry| std::cmp::Reverse(sum(entry)));
        for entry in self.entries.drain(LEAST..) {
            self.others = self.others.saturating_add(entry.count);
            self.others_counted = self.others_counted.saturating_add(entry.counted);
            self.others_pending = self.others_pending.saturating_add(pending(&entry));
        }
        self.places = self.entries.iter().enumerate().map(|(place, entry)| (entry.key, place)).collect();
        self.details_bytes = self.entries.iter().map(|entry| bytes(&entry.details)).sum();
    }
}

/// The more is known, the greater.
fn known(details: &Details) -> (u8, bool, bool) {
    let state = match details.state {
        State::NotRead => 0,
        State::Exited => 1,
        State::Alive { .. } => 2,
    };
    (state, details.unit.is_some() || details.container.is_some(), details.user.is_some())
}

/// Of what is kept of it, about.
pub(super) fn bytes(details: &Details) -> usize {
    let mut bytes = 0;
    details.texts().for_each(|text| bytes += text.0.len() + size_of::<Text>());
    if bytes == 0 { 0 } else { bytes + size_of::<Details>() }
}

#[cfg(test)]
mod tests;
