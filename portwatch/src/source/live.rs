//! Items from the running kernel.
//!
//! Order: the start; failures as they happen, with losses told as they are noticed; after the stop the programs fall
//! silent, the ring is read to its end, and summary and end follow from the kernel's exact counts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use nix::time::{ClockId, clock_gettime};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::Source;
use crate::decode;
use crate::enrich::Enricher;
use crate::event::{BootNs, End, Fault, Filter, Item, Row, Stage, Start, Summary, Text};
use crate::kernel::{HookState, Queue, Refusal, Tracer};
use ledger::Ledger;

mod ledger;

/// How often losses are looked for.
const LOSS_INTERVAL: Duration = Duration::from_millis(250);
/// How long a program that was running at the stop may take to finish.
const STRAGGLER_WAIT: Duration = Duration::from_millis(2);
/// How often that is granted.
const STRAGGLER_ROUNDS: u32 = 20;

/// What ends a live source.
pub struct Until {
    /// Resolves when watching shall end.
    pub stop: Pin<Box<dyn Future<Output = ()>>>,
    /// After so many failures.
    pub count: Option<u64>,
}

/// Attached programs and what they have sent.
pub struct Live {
    tracer: Tracer,
    queue: Queue,
    enricher: Enricher,
    until: Until,
    ticks: Interval,
    began: Instant,
    ledger: Ledger,
    records: VecDeque<Bytes>,
    items: VecDeque<Item>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Watching,
    Draining,
    Ended,
}

impl Live {
    /// Starts reading what `tracer` sees; needs a tokio runtime.
    ///
    /// # Errors
    /// When the ring cannot be read or this host's clocks and names cannot be.
    pub fn new(mut tracer: Tracer, enricher: Enricher, filter: Filter, until: Until) -> Result<Self> {
        let queue = tracer.take_ring()?.start().context("wait for the ring of events")?;
        let start = start(&tracer, filter)?;
        let mut ticks = interval(LOSS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            tracer,
            queue,
            enricher,
            until,
            ticks,
            began: Instant::now(),
            ledger: Ledger::new(start.at),
            records: VecDeque::new(),
            items: VecDeque::from([Item::Start(start)]),
            phase: Phase::Watching,
        })
    }

    /// Silences the programs, and lets the ring's task finish.
    fn stop(&mut self) -> Result<()> {
        if self.phase == Phase::Watching {
            self.phase = Phase::Draining;
            self.tracer.stop().context("stop the programs")?;
            self.queue.stop();
        }
        Ok(())
    }

    /// The next record's failure, if it is one and wanted.
    fn take_record(&mut self) -> Result<Option<Item>> {
        while let Some(record) = self.records.pop_front() {
            if self.until.count.is_some_and(|count| self.ledger.delivered >= count) {
                self.ledger.suppressed += 1;
                continue;
            }
            let Ok(mut failure) = decode::failure(&record) else {
                self.ledger.malformed += 1;
                continue;
            };
            failure.fault = self.doubted(failure.fault);
            self.enricher.enrich(&mut failure.process);
            self.ledger.delivered += 1;
            if self.until.count == Some(self.ledger.delivered) {
                self.stop()?;
            }
            return Ok(Some(Item::Failure(failure)));
        }
        Ok(None)
    }

    /// "The port search was never reached" holds only if its hook would have told.
    fn doubted(&self, mut fault: Fault) -> Fault {
        if fault.stage == Stage::BeforePortSearch
            && (!self.tracer.sees_port_search() || self.tracer.port_search_missed())
        {
            fault.stage = Stage::Unknown;
        }
        fault
    }

    /// Losses since the last look.
    fn look_for_losses(&mut self) -> Result<()> {
        let ring_full = self.tracer.tables().ring_full().context("read the counter of refused records")?;
        self.ledger.ring_full = ring_full;
        self.ledger.queue_full = self.queue.refused();
        let lost = self.ledger.news(now());
        self.items.extend(lost.into_iter().map(Item::Lost));
        Ok(())
    }

    /// Summary and end, once programs and ring are silent.
    async fn close(&mut self) -> Result<()> {
        self.phase = Phase::Ended;
        let mut summary = self.summary()?;
        for _ in 0..STRAGGLER_ROUNDS {
            self.look_for_losses()?;
            if self.ledger.accounted() >= total(&summary) {
                break;
            }
            sleep(STRAGGLER_WAIT).await;
            summary = self.summary()?;
        }
        self.ledger.unaccounted = total(&summary).saturating_sub(self.ledger.accounted());
        let lost = self.ledger.news(now());
        self.items.extend(lost.into_iter().map(Item::Lost));
        let end = End {
            failures: total(&summary),
            delivered: self.ledger.delivered,
            suppressed: self.ledger.suppressed,
            lost: self.ledger.lost(),
            watched: self.began.elapsed(),
        };
        self.items.extend([Item::Summary(summary), Item::End(end)]);
        Ok(())
    }

    fn summary(&self) -> Result<Summary> {
        let tables = self.tracer.tables();
        let counts = tables.counts().context("read the table of counts")?;
        let mut rows = Vec::with_capacity(counts.len());
        for (key, value) in counts {
            let mut row = decode::row(&key, &value)?;
            row.fault = self.doubted(row.fault);
            self.enricher.recall(&mut row.process);
            rows.push(row);
        }
        rows.sort_by(|a: &Row, b: &Row| b.count.cmp(&a.count).then(a.first.cmp(&b.first)));
        Ok(Summary { rows, other: tables.counts_full().context("read the counter of refused keys")? })
    }
}

impl Source for Live {
    async fn next(&mut self) -> Result<Option<Item>> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Some(item));
            }
            if let Some(failure) = self.take_record()? {
                return Ok(Some(failure));
            }
            match self.phase {
                Phase::Ended => return Ok(None),
                Phase::Draining => match self.queue.next().await {
                    Some(records) => self.records.extend(records),
                    None => self.close().await?,
                },
                Phase::Watching => tokio::select! {
                    records = self.queue.next() => match records {
                        Some(records) => self.records.extend(records),
                        None => self.stop()?,
                    },
                    _ = self.ticks.tick() => self.look_for_losses()?,
                    () = &mut self.until.stop => self.stop()?,
                },
            }
        }
    }

    fn has_more(&self) -> bool {
        !self.items.is_empty() || !self.records.is_empty()
    }
}

fn total(summary: &Summary) -> u64 {
    summary.rows.iter().map(|row| row.count).sum::<u64>() + summary.other
}

fn start(tracer: &Tracer, filter: Filter) -> Result<Start> {
    let wall = ns(ClockId::CLOCK_REALTIME);
    let at = ns(ClockId::CLOCK_BOOTTIME);
    let names = nix::sys::utsname::uname().context("ask for the kernel's name")?;
    let hooks = tracer.hooks().iter().map(|hook| {
        let how = match &hook.state {
            HookState::Attached(how) => how.clone(),
            HookState::Absent(why) => format!("absent: {why}"),
            HookState::Refused(Refusal { finding, .. }) => format!("refused: {finding}"),
        };
        (hook.function.to_owned(), how)
    });
    Ok(Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: Text(names.nodename().as_encoded_bytes().to_vec()),
        kernel: names.release().to_string_lossy().into_owned(),
        hooks: hooks.collect(),
        at: BootNs(at),
        boot_offset_ns: i64::try_from(i128::from(wall) - i128::from(at)).unwrap_or(0),
        filter,
    })
}

fn now() -> BootNs {
    BootNs(ns(ClockId::CLOCK_BOOTTIME))
}

/// Nanoseconds of a clock; 0 from a kernel without it, which none that loads programs is.
fn ns(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .ok()
        .and_then(|time| u64::try_from(Duration::from(time).as_nanos()).ok())
        .unwrap_or(0)
}
