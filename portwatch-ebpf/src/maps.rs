//! The maps, each with its size and why. User space reads those that are `BPF_F_MMAPABLE` while programs run: a system
//! call on a map would keep programs by `kprobe.multi` from running on its processor.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, CgroupArray, HashMap, LruHashMap, RingBuf};
use portwatch_ebpf::abi::{
    Budget, COUNTERS as COUNTER_PLACES, COUNTS_OVERFLOW, Caller, CountGroup, OwnerGroup, RING_BYTES,
    SEARCHES_MAX_KEYS, SYSCTL_GROUPS, SearchKey, SearchTimes, SysctlName, WatchedSysctl,
};

use crate::answers::Answer;
use crate::calls::Call;
use crate::notes::{Note, PLACES, Place};
use crate::search_time::Begun;
use crate::stash::Kept;
use crate::sysctl_change::{Before, WRITERS};

/// Failures in detail, and settings that were changed. Only [`crate::report`] and [`crate::sysctl_change`] write it.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Failures counted, whatever becomes of their detail, by key. Only [`crate::counts`] uses it, which says how.
#[map]
pub(crate) static COUNTS: Array<CountGroup> = Array::with_max_entries(COUNTS_OVERFLOW + 1, BPF_F_MMAPABLE);

/// What could not be recorded, or was not meant to be, by the `COUNTER_` constants; only ever grows. One for all
/// processors: the verifier turns a look-up in a plain array into some instructions.
#[map]
pub(crate) static COUNTERS: Array<u64> = Array::with_max_entries(COUNTER_PLACES, BPF_F_MMAPABLE);

/// The control group whose tasks are reported, with those below it, if only they are.
#[map]
pub(crate) static CGROUP: CgroupArray = CgroupArray::with_max_entries(1, 0);

/// When the reader was last woken, boot-clock nanoseconds.
#[map]
pub(crate) static WOKEN: Array<u64> = Array::with_max_entries(1, 0);

/// Thread → the socket whose failure its port-search hook has reported and its connect hook has not met yet.
/// Only [`crate::notes`] uses it, which says how.
///
/// A connect hook that the kernel skipped leaves a note behind. If then the port-search hook of that thread's next
/// failure is skipped, and its socket has the same address, the failure is taken for the noted one: it takes two
/// skipped runs to miss a failure, here as elsewhere.
#[map]
pub(crate) static NOTES: Array<Place> = Array::with_max_entries(PLACES, 0);

/// The same for threads whose place another one has taken: as many as fail at one instant. What finds no room is
/// counted, and reported by the connect hook.
///
/// Here and below no entry makes room for another (but in [`ANSWERS`]): a table that forgets does so unseen, and on many
/// processors long before it is full, as each keeps up to 128 free places for itself (kernel/bpf/bpf_lru_list.c).
#[map]
pub(crate) static CROWDED_NOTES: HashMap<u32, Note> = HashMap::with_max_entries(1024, 0);

/// Thread → the socket whose failure a hook of the transport has seen to, and that of the socket layer has not met yet.
/// Used with `--errno` only; as [`NOTES`].
#[map]
pub(crate) static TRANSPORTED: Array<Place> = Array::with_max_entries(PLACES, 0);

/// The same for threads whose place another one has taken. What finds no room is counted, and reported twice.
#[map]
pub(crate) static CROWDED_TRANSPORTED: HashMap<u32, u64> = HashMap::with_max_entries(1024, 0);

/// Socket → who connects it, while the network has not answered. Used with `--errno` only.
///
/// What finds no room is counted; its answer is reported with an unknown caller.
#[map]
pub(crate) static CALLERS: HashMap<u64, Caller> = HashMap::with_max_entries(16 * 1024, 0);

/// Socket → the answer that was reported of it, for the call that may yet return it. Used with `--errno` only.
///
/// Nobody tells when a call is never made, so the oldest make room. What that costs can be seen: the answer is reported
/// again as an error of the socket layer, which has none of its kind.
#[map]
pub(crate) static ANSWERS: LruHashMap<u64, Answer> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Cookie of a socket → who connected it, the latest of them. Used with `--holders` only, which says how many: until then
/// one. Only [`crate::owners`] writes it, which says how.
#[map]
pub(crate) static OWNERS: Array<OwnerGroup> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Thread → when its search for a port began. Used with `--search-time` only; places as those of [`NOTES`].
#[map]
pub(crate) static SEARCH_BEGAN: Array<Begun> = Array::with_max_entries(PLACES, 0);

/// How long searches took. Used with `--search-time` only.
#[map]
pub(crate) static SEARCHES: HashMap<SearchKey, SearchTimes> = HashMap::with_max_entries(SEARCHES_MAX_KEYS, 0);

/// How long those took, all together, that found no room in [`SEARCHES`].
#[map]
pub(crate) static OTHER_SEARCHES: Array<SearchTimes> = Array::with_max_entries(1, 0);

/// Thread → the socket that it failed to connect, and that had been connected before, as it was before the kernel cleared
/// it. Used by the tracepoints only; places as those of [`NOTES`]. What is written over is counted, and reported with less
/// detail.
#[map]
pub(crate) static STASHES: Array<Kept> = Array::with_max_entries(PLACES, 0);

/// Thread → the arguments of the function that it is in. Used on preemptible kernels only; places as those of [`NOTES`].
#[map]
pub(crate) static CALLS: Array<Call> = Array::with_max_entries(PLACES, 0);

/// Settings whose changes are told; user space fills it before programs are attached, with fewer than there are places.
#[map]
pub(crate) static WATCHED_SYSCTLS: HashMap<SysctlName, WatchedSysctl> = HashMap::with_max_entries(32, 0);

/// Thread → the value of the setting that it is writing, before. As large as they are, there are few: of two threads
/// that write at one instant and share a place, one tells its change without the old value.
#[map]
pub(crate) static SYSCTLS_BEFORE: Array<Before> = Array::with_max_entries(WRITERS, 0);

/// How many changes were sent lately from each group of namespaces: of numbers, and of sets of ports.
#[map]
pub(crate) static SYSCTL_BUDGETS: Array<Budget> = Array::with_max_entries(2 * SYSCTL_GROUPS, 0);

/// 1 while user space wants to know: nothing is counted or sent before or after.
///
/// Attaching and detaching would not do: the kernel takes its time over each hook (on 6.1 a tenth of a second to
/// detach, waiting for a grace period), while summary and ledger want clear cuts.
#[map]
pub(crate) static RUNNING: Array<u32> = Array::with_max_entries(1, 0);
