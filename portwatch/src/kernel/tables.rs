//! The kernel side's counters, exact counts by key and losses, and the switch that stops them.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya::{Ebpf, Pod};
use portwatch_ebpf::abi::{
    COUNTER_CALLERS_FULL, COUNTER_CALLS_MADE_UP, COUNTER_CALLS_UNKNOWN, COUNTER_CONNECT_MADE_UP,
    COUNTER_DETAILS_FULL, COUNTER_OWNERS, COUNTER_OWNERS_FORGOTTEN, COUNTER_REPORTED_FULL, COUNTER_RING_FULL,
    COUNTER_SEARCH_MADE_UP, COUNTER_SEARCH_UNMEASURED, COUNTER_SUPPRESSED, COUNTER_SYSCTLS_LOST,
    COUNTER_UNPROVEN, COUNTERS, COUNTS_OVERFLOW, COUNTS_PLACES, CountGroup, CountPlace, FailureCount,
    FailureKey, OWNERS_GROUP, Owner, OwnerGroup, SearchKey, SearchTimes, owner_group,
};

use super::mapped::Mapped;

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Group(CountGroup);

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Place(CountPlace);

// SAFETY: integers without padding (sizes asserted in abi.rs): every byte is initialised, any value is valid.
unsafe impl Pod for Group {}
// SAFETY: as above.
unsafe impl Pod for Place {}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct TimesKey(SearchKey);
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Times(SearchTimes);

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Owned(OwnerGroup);

// SAFETY: as above.
unsafe impl Pod for Owned {}
// SAFETY: as above.
unsafe impl Pod for TimesKey {}
// SAFETY: as above.
unsafe impl Pod for Times {}

/// Places of the table of counts that are seen at one time: all of them would be 3 MiB of resident memory.
const PLACES_AT_ONCE: u32 = 2048;

/// Why failures have no record, since attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The ring refused the record.
    pub ring_full: u64,
    /// Their key had sent enough.
    pub suppressed: u64,
    /// Not about records: failures whose key found no place in the table of counts.
    pub keys_full: u64,
    /// Not about records: failures of the port search that its own hook did not run for, and another reported.
    pub search_made_up: u64,
    /// Not about records: failures that the connect hook did not run for, and the port search's reported.
    pub connect_made_up: u64,
    /// Not about records: failures that may be of the port search, which its hook did not run for, and the witness left
    /// to the connect hook.
    pub unproven: u64,
    /// Not about records: calls of whose beginning nothing was known, or whose socket was closed as they returned; those that
    /// failed are in no count.
    pub calls_unknown: u64,
    /// Not about records: binds, and sockets of UDP that got no port, that their own hook did not run for, and the return of the
    /// system call told of.
    pub calls_made_up: u64,
    /// Not about records: connects under way whose caller found no room.
    pub callers_full: u64,
    /// Not about records: failures whose first hook found no room for what it knew, so that another reported them.
    pub details_full: u64,
    /// Not about records: failures that were reported, which found no room, so that another hook reported them again.
    pub reported_full: u64,
    /// Not about failures: searches for a port that were not measured.
    pub search_unmeasured: u64,
    /// Not about failures: sockets whose owner was remembered.
    pub owners: u64,
    /// Not about failures: owners who were forgotten for newer ones while their socket could still be in TIME_WAIT.
    pub owners_forgotten: u64,
    /// Not about failures: settings that were changed, without a record.
    pub sysctls_lost: u64,
}

/// Who connected which socket, for threads that look it up beside the reader of the ring.
#[derive(Clone)]
pub struct Owners(Arc<Mapped<Owned>>);

impl Owners {
    /// Who connected the socket with this cookie, if that was seen and is remembered. Takes no system call.
    #[must_use]
    pub fn get(&self, cookie: u64) -> Option<Owner> {
        let places = OWNERS_GROUP.saturating_mul(self.0.count());
        let Owned(group) = self.0.get(owner_group(cookie, places))?;
        let is_its = |owner: &Owner| cookie != 0 && owner.cookie == cookie && owner.check == owner.check();
        group.into_iter().find(is_its)
    }
}

/// Handles of the counters; readable while programs run and after they are detached.
pub struct Tables {
    counts: MapData,
    counters: Mapped<u64>,
    /// Those that found no place.
    overflow: Mapped<Group>,
    searches: HashMap<MapData, TimesKey, Times>,
    other_searches: Array<MapData, Times>,
    owners: Owners,
    running: Array<MapData, u32>,
}

impl Tables {
    /// `owner_groups`: as many as the table of owners was made with.
    pub(super) fn take(ebpf: &mut Ebpf, owner_groups: u32) -> Result<Self, MapError> {
        let mut map = |name: &str| -> Result<Map, MapError> {
            ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
        };
        let (counts, counters, owners) = (map("COUNTS")?, map("COUNTERS")?, map("OWNERS")?);
        Ok(Self {
            overflow: Mapped::new(fd(&counts)?, COUNTS_OVERFLOW..COUNTS_OVERFLOW + 1)?,
            counts: array(counts)?,
            counters: Mapped::new(fd(&counters)?, 0..COUNTERS)?,
            searches: map("SEARCHES")?.try_into()?,
            other_searches: map("OTHER_SEARCHES")?.try_into()?,
            owners: Owners(Arc::new(Mapped::new(fd(&owners)?, 0..owner_groups)?)),
            running: map("RUNNING")?.try_into()?,
        })
    }

    /// Makes the programs count and send, or nothing more; one that is running may still finish.
    ///
    /// # Errors
    /// When the kernel refuses to write the switch.
    pub(super) fn run(&mut self, run: bool) -> Result<(), MapError> {
        self.running.set(0, u32::from(run), 0)
    }

    /// Every count there is, by its key, in the order of keys. Takes no system call on the map.
    ///
    /// # Errors
    /// When the kernel does not give the memory to see the table, which is given back at once.
    pub fn counts(&self) -> Result<Vec<(FailureKey, FailureCount)>, MapError> {
        let mut counts = Vec::new();
        for first in (0..COUNTS_PLACES).step_by(PLACES_AT_ONCE as usize) {
            let some = first..COUNTS_PLACES.min(first + PLACES_AT_ONCE);
            // Groups have no padding, so that a map of groups is one of places.
            let places = Mapped::<Place>::new(self.counts.fd().as_fd(), some)?;
            let used = (0..places.count()).filter(|n| places.first_word(*n).is_some_and(|count| count > 0));
            counts.extend(used.filter_map(|n| places.get(n)).map(|Place(place)| (place.key, place.count)));
        }
        Ok(one_a_key(counts))
    }

    /// How long those searches took, all together, that found no room.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn other_searches(&self) -> Result<SearchTimes, MapError> {
        self.other_searches.get(&0, 0).map(|times| times.0)
    }

    /// How long searches for a port took.
    ///
    /// # Errors
    /// When the kernel refuses to iterate.
    pub fn searches(&self) -> Result<Vec<(SearchKey, SearchTimes)>, MapError> {
        self.searches.iter().map(|entry| entry.map(|(key, value)| (key.0, value.0))).collect()
    }

    /// Who connected which socket; another handle of the same table.
    #[must_use]
    pub fn owners(&self) -> Owners {
        self.owners.clone()
    }

    /// What became of failures without a record. Takes no system call.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let counter = |place: u32| self.counters.get(place).unwrap_or(0);
        let overflow = self.overflow.get(0).into_iter().flat_map(|group| group.0);
        Counters {
            ring_full: counter(COUNTER_RING_FULL),
            suppressed: counter(COUNTER_SUPPRESSED),
            keys_full: overflow.map(|place| place.count.count).sum(),
            search_made_up: counter(COUNTER_SEARCH_MADE_UP),
            connect_made_up: counter(COUNTER_CONNECT_MADE_UP),
            unproven: counter(COUNTER_UNPROVEN),
            calls_unknown: counter(COUNTER_CALLS_UNKNOWN),
            calls_made_up: counter(COUNTER_CALLS_MADE_UP),
            callers_full: counter(COUNTER_CALLERS_FULL),
            details_full: counter(COUNTER_DETAILS_FULL),
            reported_full: counter(COUNTER_REPORTED_FULL),
            search_unmeasured: counter(COUNTER_SEARCH_UNMEASURED),
            owners: counter(COUNTER_OWNERS),
            owners_forgotten: counter(COUNTER_OWNERS_FORGOTTEN),
            sysctls_lost: counter(COUNTER_SYSCTLS_LOST),
        }
    }
}

fn array(map: Map) -> Result<MapData, MapError> {
    match map {
        Map::Array(data) => Ok(data),
        _ => Err(no_array()),
    }
}

fn fd(map: &Map) -> Result<BorrowedFd<'_>, MapError> {
    match map {
        Map::Array(data) => Ok(data.fd().as_fd()),
        _ => Err(no_array()),
    }
}

fn no_array() -> MapError {
    io::Error::other("a map that was to be mapped into memory is no array").into()
}

/// Adds up what is about the same key: threads that met it at one moment may have taken several places. What is not
/// added up is that of the first.
fn one_a_key(mut counts: Vec<(FailureKey, FailureCount)>) -> Vec<(FailureKey, FailureCount)> {
    counts.sort_unstable_by_key(|(key, count)| (*key, count.first_boot_ns));
    counts.dedup_by(|(key, other), (kept_key, kept)| {
        if key == kept_key {
            kept.count += other.count;
            kept.last_boot_ns = kept.last_boot_ns.max(other.last_boot_ns);
        }
        key == kept_key
    });
    counts
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use portwatch_ebpf::abi::{Budget, FailureCount, FailureKey, OWNERS, OWNERS_GROUP, owner_group};

    use super::one_a_key;

    fn counted(tgid: u32, count: u64, first_boot_ns: u64, last_boot_ns: u64) -> (FailureKey, FailureCount) {
        let key = FailureKey {
            start_boot_ns: 1,
            address: [0; 4],
            tgid,
            netns: 2,
            port_be: 3,
            errno: 4,
            place: 5,
            flags: 6,
            protocol: 7,
            call: 8,
        };
        let count = FailureCount {
            count,
            first_boot_ns,
            last_boot_ns,
            cgroup_id: 9,
            uid: 10,
            gid: 11,
            leader_comm: [12; 4],
            budget: Budget::default(),
        };
        (key, count)
    }

    #[test]
    fn a_key_in_several_places_is_one_row_with_all_its_failures() {
        let places = vec![
            counted(20, 5, 110, 190),
            counted(10, 1, 300, 300),
            counted(20, 100, 100, 150),
            counted(20, 7, 120, 200),
        ];
        assert_eq!(one_a_key(places), [counted(10, 1, 300, 300), counted(20, 112, 100, 200)]);
    }

    #[test]
    fn of_half_as_many_sockets_as_places_nearly_all_keep_theirs_on_any_number_of_processors() {
        // Each processor takes 4,096 cookies at once (`COOKIE_LOCAL_BATCH`, include/linux/cookie.h).
        for processors in [1, 2, 64, 256] {
            let live = u64::from(OWNERS / 2) / processors;
            let cookies = (0..processors).flat_map(|processor| {
                (0..live).map(move |n| (n / 4096 * processors + processor) * 4096 + n % 4096 + 1)
            });
            let mut groups: HashMap<u32, u32> = HashMap::new();
            cookies.for_each(|cookie| *groups.entry(owner_group(cookie, OWNERS)).or_default() += 1);
            let forgotten: u32 = groups.values().map(|sockets| sockets.saturating_sub(OWNERS_GROUP)).sum();
            assert!(
                forgotten * 100 <= OWNERS / 2,
                "{forgotten} of {} on {processors} processors",
                OWNERS / 2
            );
        }
    }
}
