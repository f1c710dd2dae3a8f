//! Takes snapshots of who holds the local ports.
//!
//! In: where to look. Out: [`Snapshot`]s. Must not know: why one is wanted, what becomes of it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::enrich::Enricher;
use crate::event::{BootNs, Holder, Scope, Snapshot};
use crate::ports::{Owner, Owners, PortsError, Query, census, host, own_id, shows_bound_sockets};

const PROC: &str = "/proc";
const SPARED: &str = "whose sockets are open was not looked for: here the programs see each system call, and are skipped for \
                      others while one is preempted; `portwatch ports` tells";
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What is remembered from one snapshot to the next.
pub(super) struct Survey {
    enricher: Enricher,
    /// Read when it is first needed: it takes as long as a quarter of the start.
    bound_visible: OnceCell<Option<bool>>,
}

impl Survey {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { enricher: Enricher::new(PROC), bound_visible: OnceCell::new() }
    }

    /// Looks now. On a busy host that takes some hundred milliseconds.
    ///
    /// # Errors
    /// When nothing that `query` asks for could be read.
    pub(super) fn take(&mut self, query: &Query) -> Result<Snapshot, PortsError> {
        let [at, wall] = [ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_REALTIME].map(ns);
        let census = census(query)?;
        let owners = if query.spare_calls {
            Owners::unknown(SPARED)
        } else {
            Owners::find(Path::new(PROC), census.inodes())
        };
        let mut known = HashMap::new();
        let holder = |owner| match owner {
            Owner::Process(tgid) => known
                .entry(tgid)
                // It may have ended since its descriptors were read.
                .or_insert_with(|| self.enricher.identify(tgid).map_or(Holder::NotFound, Holder::Process))
                .clone(),
            Owner::TimeWait => Holder::TimeWait,
            Owner::Closed => Holder::Closed,
            Owner::NotFound => Holder::NotFound,
        };
        let (mut namespaces, rows) = census.rows(|held| owners.of(held), holder);
        let (host, own) = (host(), own_id());
        for namespace in &mut namespaces {
            namespace.is_own = own == Some(namespace.id);
            namespace.is_hosts = host.id.map(|id| id == namespace.id);
        }
        Ok(Snapshot {
            at: BootNs(at),
            boot_offset_ns: i64::try_from(i128::from(wall) - i128::from(at)).unwrap_or(0),
            scope: Scope { towards: query.destination, bind: query.bind, rows_left_out: 0 },
            namespaces,
            hosts_range: host.range,
            rows,
            sockets: census.sockets,
            repeated: census.repeated,
            bound_visible: *self.bound_visible.get_or_init(|| shows_bound_sockets(Path::new(BTF))),
            limits: [census.limits, owners.limits].concat(),
        })
    }
}

/// Nanoseconds of a clock; 0 from a kernel without it, which none of today's is.
fn ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).ok().map(|time| Duration::from(time).as_nanos());
    time.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}
