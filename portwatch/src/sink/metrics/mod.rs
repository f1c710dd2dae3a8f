//! Metrics, for who asks again and again (`docs/metrics.md`).
//!
//! In: items, and opinions on them. Out: an [`Exposition`] at any moment, also from another thread. What failed is taken
//! from exact counts, so the sum over its series is the kernel's count. Memory and work are bounded whatever fails. Must
//! not know: who asks, and by which means.

mod encode;
mod failures;
mod format;
mod places;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::failures::Failures;
pub use self::format::Format;
use self::places::Places;
pub use self::table::{Kind, METRICS, Metric};
use super::{GroupBy, Sink};
use crate::diagnose::Opinion;
use crate::event::{Item, LossReason, Start, Usage};

/// An exposition is made at most ten times a second; who asks sooner is given the last one.
const FRESH: Duration = Duration::from_millis(100);

/// Keeps what is told of.
#[derive(Debug)]
pub struct Metrics(Arc<Mutex<State>>);

/// What is known.
#[derive(Debug)]
struct State {
    failures: Failures,
    delivered: u64,
    suppressed: u64,
    lost: BTreeMap<LossReason, u64>,
    places: Places,
    start: Option<Started>,
}

impl State {
    fn new(by: GroupBy) -> Self {
        Self {
            failures: Failures::new(by),
            delivered: 0,
            suppressed: 0,
            lost: BTreeMap::new(),
            places: Places::default(),
            start: None,
        }
    }
}

/// Of the start.
#[derive(Debug)]
struct Started {
    version: String,
    kernel: String,
    unix_s: f64,
}

impl Started {
    #[expect(clippy::cast_precision_loss, reason = "to a millisecond it is exact for millions of years")]
    fn of(start: &Start) -> Self {
        let unix_ms = (i128::from(start.at.0) + i128::from(start.boot_offset_ns)) / 1_000_000;
        Self { version: start.version.clone(), kernel: start.kernel.clone(), unix_s: unix_ms as f64 / 1000.0 }
    }
}

impl Metrics {
    /// Nothing yet, and where it is told. Who failed is told `by` this. `usage` is asked whenever that is made; `cut` is how many connections were
    /// closed before they were answered.
    pub fn new(
        by: GroupBy,
        usage: impl Fn() -> Usage + Send + Sync + 'static,
        cut: Arc<AtomicU64>,
    ) -> (Self, Exposition) {
        let state = Arc::new(Mutex::new(State::new(by)));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Told {
            state: Arc::clone(&state),
            usage: Box::new(usage),
            cut,
        }));
        (Self(state), Exposition { registry, last: Mutex::new(None) })
    }
}

impl Sink for Metrics {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        let mut state = lock(&self.0);
        match item {
            Item::Start(start) => state.start = Some(Started::of(start)),
            Item::Failure(_) => state.delivered += 1,
            Item::Suppressed(suppressed) => state.suppressed += suppressed.count,
            Item::Lost(lost) => *state.lost.entry(lost.reason).or_default() += lost.count,
            Item::Counts(counts) => state.failures.add(counts),
            Item::Ports(snapshot) => state.places.see(snapshot, opinions, Instant::now()),
            // Counts have told it.
            Item::Summary(_) | Item::End(_) => {}
            Item::Sysctl(_) | Item::Searches(_) | Item::RecentSearches(_) | Item::Missing(_) => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the library asks for.
struct Told {
    state: Arc<Mutex<State>>,
    usage: Box<dyn Fn() -> Usage + Send + Sync>,
    cut: Arc<AtomicU64>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Told").finish_non_exhaustive()
    }
}

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let usage = (self.usage)();
        let cut = self.cut.load(Ordering::Relaxed);
        encode::encode(&lock(&self.state), &usage, cut, Instant::now(), &mut encoder)
    }
}

/// All metrics as text, at any moment.
#[derive(Debug)]
pub struct Exposition {
    registry: Registry,
    /// As OpenMetrics, and when it was made.
    last: Mutex<Option<(Instant, String)>>,
}

impl Exposition {
    /// As of now, or a tenth of a second ago. None if the library refuses, which no value makes it do.
    #[must_use]
    pub fn told(&self, format: Format) -> Option<String> {
        let mut last = lock(&self.last);
        if last.as_ref().is_none_or(|(made, _)| made.elapsed() >= FRESH) {
            let mut made = String::new();
            text::encode(&mut made, &self.registry).ok()?;
            *last = Some((Instant::now(), made));
        }
        last.as_ref().map(|(_, exposition)| format.of(exposition))
    }
}

/// Counters are right after each step, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
