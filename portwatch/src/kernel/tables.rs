//! The kernel side's counters, exact counts by key and losses, and the switch that stops them.

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::{Ebpf, Pod};
use portwatch_ebpf::abi::{FailureCount, FailureKey, LOSS_COUNTS_FULL, LOSS_RING_FULL};

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Key(FailureKey);
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Value(FailureCount);

// SAFETY: integers without padding (sizes asserted in abi.rs): every byte is initialised, any value is valid.
unsafe impl Pod for Key {}
// SAFETY: as above.
unsafe impl Pod for Value {}

/// Handles of the counters; readable while programs run and after they are detached.
pub struct Tables {
    counts: HashMap<MapData, Key, Value>,
    losses: PerCpuArray<MapData, u64>,
    stopped: Array<MapData, u32>,
}

impl Tables {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, MapError> {
        let mut map = |name: &str| -> Result<Map, MapError> {
            ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
        };
        Ok(Self {
            counts: map("COUNTS")?.try_into()?,
            losses: map("LOSSES")?.try_into()?,
            stopped: map("STOPPED")?.try_into()?,
        })
    }

    /// Makes the programs count and send nothing more. One that is running may still finish.
    ///
    /// # Errors
    /// When the kernel refuses to write the switch.
    pub fn stop(&mut self) -> Result<(), MapError> {
        self.stopped.set(0, 1, 0)
    }

    /// Every count there is.
    ///
    /// # Errors
    /// When the kernel refuses to iterate.
    pub fn counts(&self) -> Result<Vec<(FailureKey, FailureCount)>, MapError> {
        self.counts.iter().map(|entry| entry.map(|(key, value)| (key.0, value.0))).collect()
    }

    /// Records that the ring refused, since attach.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn ring_full(&self) -> Result<u64, MapError> {
        self.loss(LOSS_RING_FULL)
    }

    /// Failures whose key the table of counts refused, since attach.
    ///
    /// # Errors
    /// When the kernel refuses the look-up.
    pub fn counts_full(&self) -> Result<u64, MapError> {
        self.loss(LOSS_COUNTS_FULL)
    }

    fn loss(&self, place: u32) -> Result<u64, MapError> {
        Ok(self.losses.get(&place, 0)?.iter().sum())
    }
}
