//! Who holds the local ports, once or again and again.

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};
use tokio::time::sleep_until;

use super::Source;
use crate::enrich::Enricher;
use crate::event::{BootNs, Holder, Item, Snapshot};
use crate::ports::{Owner, Owners, Query, census, shows_bound_sockets};

const PROC: &str = "/proc";
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// When to look again.
pub struct Again {
    /// From one look to the next.
    pub interval: Duration,
    /// Resolves when looking shall end.
    pub stop: Pin<Box<dyn Future<Output = ()>>>,
}

/// Takes snapshots.
pub struct Snapshots {
    query: Query,
    enricher: Enricher,
    bound_visible: Option<bool>,
    again: Option<Again>,
    /// When the next one is due; none before the first.
    due: Option<Instant>,
}

impl Snapshots {
    /// Of what `query` asks for; one, or until it is told to stop.
    #[must_use]
    pub fn new(query: Query, again: Option<Again>) -> Self {
        let bound_visible = shows_bound_sockets(Path::new(BTF));
        Self { query, enricher: Enricher::new(PROC), bound_visible, again, due: None }
    }

    /// Looks now.
    fn take(&mut self) -> Result<Snapshot> {
        let [at, wall] = [ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_REALTIME].map(ns);
        let census = census(&self.query)?;
        let owners = Owners::find(Path::new(PROC), census.inodes());
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
        let (namespaces, rows) = census.rows(|held| owners.of(held), holder);
        Ok(Snapshot {
            at: BootNs(at),
            boot_offset_ns: i64::try_from(i128::from(wall) - i128::from(at)).unwrap_or(0),
            namespaces,
            rows,
            sockets: census.sockets,
            repeated: census.repeated,
            bound_visible: self.bound_visible,
            limits: [census.limits, owners.limits].concat(),
        })
    }
}

impl Source for Snapshots {
    async fn next(&mut self) -> Result<Option<Item>> {
        let now = Instant::now();
        match (self.due, &mut self.again) {
            (None, _) => {}
            (Some(_), None) => return Ok(None),
            (Some(due), Some(again)) => tokio::select! {
                // A signal that came meanwhile goes first.
                biased;
                () = &mut again.stop => return Ok(None),
                () = sleep_until(due.max(now).into()) => {}
            },
        }
        let interval = self.again.as_ref().map(|again| again.interval).unwrap_or_default();
        // What took longer than its interval is not made up for.
        self.due = Some(self.due.unwrap_or(now).max(now) + interval);
        self.take().map(Item::Ports).map(Some)
    }

    fn has_more(&self) -> bool {
        false
    }
}

/// Nanoseconds of a clock; 0 from a kernel without it, which none of today's is.
fn ns(clock: ClockId) -> u64 {
    let time = clock_gettime(clock).ok().map(|time| Duration::from(time).as_nanos());
    time.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
}
