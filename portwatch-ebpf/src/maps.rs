//! The maps, each with its size and why.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use portwatch_ebpf::abi::{COUNTS_MAX_KEYS, FailureCount, FailureKey, LOSSES as LOSS_PLACES, RING_BYTES};

/// Failures in detail. Only [`crate::emit`] writes it.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Failures counted, whatever becomes of their detail.
#[map]
pub(crate) static COUNTS: HashMap<FailureKey, FailureCount> = HashMap::with_max_entries(COUNTS_MAX_KEYS, 0);

/// What could not be recorded, by the `LOSS_` constants; only ever grows.
#[map]
pub(crate) static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOSS_PLACES, 0);

/// Thread → socket whose failure an inner hook has announced and the outer one has not met yet.
///
/// An entry lives from one return to the next of the same call, so as many are in use as threads fail at one
/// instant. An outer hook that the kernel skipped leaves one behind, until the thread fails again; the oldest make
/// room. If then the inner hook of that thread's next failure is skipped, and its socket has the same address, the
/// failure is taken for the announced one: it takes two skipped runs to miss a failure, here as elsewhere.
#[map]
pub(crate) static ANNOUNCED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(4096, 0);

/// Not 0 once user space wants no more: nothing is counted or sent from then on.
///
/// Detaching alone would not do: the kernel takes its time over it (on 6.1 a tenth of a second for each hook,
/// waiting for a grace period), while summary and ledger want one clear cut.
#[map]
pub(crate) static STOPPED: Array<u32> = Array::with_max_entries(1, 0);
