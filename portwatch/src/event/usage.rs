//! What portwatch itself takes of the host.

use std::time::Duration;

/// As of now; none where the system does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time since the start, of all threads, user's and kernel's.
    pub cpu: Option<Duration>,
    /// Memory that is in use, and no file's alone.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
}
