//! Items from the running kernel.
//!
//! Order: the start; failures as they happen, with losses told as they are noticed, and who holds the ports where they
//! ran short; after the stop the programs fall
//! silent, queue and ring are read to their ends, and summary and end follow from the kernel's exact counts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::clocks::{now, now_with_offset};
use super::survey::Connected;
use super::{Source, Stop};
use crate::decode::{self, NoRecord};
use crate::enrich::Enricher;
use crate::event::{
    BootNs, End, Errno, Errnos, Failure, Fault, Filter, Item, NetnsId, NoRoom, Row, Searches, SettingChange,
    Snapshot, Stage, Start, Summary, Text, TimeWait,
};
use crate::kernel::{
    Counters, FailureCount, FailureKey, HookState, Kind, Mode, Queue, Records, Refusal, Ring, SkippedRuns,
    Tracer,
};
use crate::ports::Netns;
use changed_settings::ChangedSettings;
use doubts::Doubts;
use full_tables::FullTables;
use intervals::Intervals;
use ledger::Ledger;
use recent_searches::Looks;
use rounds::Rounds;
use surveys::{Regular, Surveys};

mod changed_settings;
mod doubts;
mod full_tables;
mod intervals;
mod ledger;
mod recent_searches;
mod rounds;
mod surveys;

/// How long a program that was running at the stop may take to finish.
const STRAGGLER_WAIT: Duration = Duration::from_millis(2);
/// How often that is granted.
const STRAGGLER_ROUNDS: u32 = 20;

/// How long who holds the ports is waited for after all that was asked for is there,
const PATIENT_WAIT: Duration = Duration::from_secs(2);
/// after a signal where holders were asked for: the results are to be complete within 200 ms,
const HOLDERS_WAIT: Duration = Duration::from_millis(120);
/// and where they were not.
const SURVEY_WAIT: Duration = Duration::from_millis(40);

/// What ends a live source.
pub struct Until {
    /// Resolves when watching shall end.
    pub stop: Pin<Box<dyn Future<Output = Stop>>>,
    /// After so many failures have been shown.
    pub count: Option<u64>,
}

/// What is to be seen, and until when.
pub struct Wanted {
    /// Which failures.
    pub filter: Filter,
    /// Whether searches for a port are measured.
    pub search_times: bool,
    /// From which share of the usable ports on somebody is warned, in thousandths: for who reads the start.
    pub warn_permille: Option<u32>,
    /// Where is looked again and again.
    pub look: Option<Look>,
    /// How often exact counts are wanted, where they are not only at the end.
    pub count_interval: Option<Duration>,
    /// When it ends.
    pub until: Until,
}

/// What is looked at again and again, whatever happens.
pub struct Look {
    /// How often.
    pub interval: Duration,
    /// Which namespaces.
    pub netns: Netns,
    /// What of it is told.
    pub told: Told,
}

/// Of regular looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Each.
    All,
    /// Those in which half of the ports are taken somewhere, what comes after, and the first.
    UnderPressure,
}

/// Attached programs and what they have sent.
pub struct Live {
    tracer: Tracer,
    queue: Queue,
    enricher: Enricher,
    until: Until,
    rounds: Rounds,
    began: Instant,
    ledger: Ledger,
    /// Runs skipped while the programs were attached and silent.
    skipped_before: SkippedRuns,
    /// Runs skipped since, as of the last look for losses; none where the kernel does not tell.
    skipped: Option<SkippedRuns>,
    /// As of the same.
    counters: Counters,
    shortages_only: bool,
    search_times: bool,
    /// The only one that is wanted.
    netns: Option<NetnsId>,
    /// Whether nobody waits for the end.
    is_patient: bool,
    /// None where nobody is warned.
    recent_searches: Option<Looks>,
    /// None where exact counts are wanted at the end only.
    intervals: Option<Intervals<FailureKey>>,
    full_tables: FullTables,
    settings: ChangedSettings,
    doubts: Doubts,
    surveys: Surveys,
    /// Owners that were forgotten, and when that was last seen.
    forgotten: (u64, Option<BootNs>),
    /// Whether `doubts` has looked after the last of `records`, or of the counts, was taken.
    has_looked: bool,
    records: Records,
    start: Start,
    items: VecDeque<Item>,
    phase: Phase,
}

enum Phase {
    Watching,
    /// Programs are silent; the ring's task ends, and what it took is shown.
    Draining,
    /// The ring is read here, until the books agree or these rounds are used up.
    Settling(Box<Ring>, u32),
    Ended,
}

impl Live {
    /// Starts reading what `tracer` sees; needs a tokio runtime.
    ///
    /// # Errors
    /// When the ring cannot be read or this host's clocks and names cannot be.
    pub fn new(mut tracer: Tracer, enricher: Enricher, wanted: Wanted) -> Result<Self> {
        let Wanted { filter, search_times, warn_permille, look: look_regularly, count_interval, until } =
            wanted;
        let queue = tracer.take_ring()?.start().context("wait for the ring of events")?;
        let shortages_only = filter.errnos == Errnos::Shortage;
        let (towards, netns) = (filter.destination, filter.netns);
        let start = Start { warn_permille, ..start(&tracer, filter)? };
        let began_at = start.at;
        // Before they count, so that the bound of what is missing is not too low.
        let skipped_before = tracer.skipped_runs().unwrap_or_default();
        // Before they start, so that no change falls in between.
        let settings = ChangedSettings::new(!tracer.sees_sysctls());
        tracer.start().context("start the programs")?;
        let recent_searches =
            look_regularly.as_ref().filter(|_| search_times).map(|look| Looks::new(look.interval, began_at));
        let regular = look_regularly.map(|look| Regular::new(look, towards));
        let surveys =
            Surveys::new(regular, connected(&tracer), tracer.is_disturbed_by_calls(), enricher.beside());
        Ok(Self {
            tracer,
            queue,
            enricher,
            until,
            rounds: Rounds::new().context("make a timer")?,
            began: Instant::now(),
            ledger: Ledger::new(start.at),
            skipped_before,
            skipped: None,
            counters: Counters::default(),
            shortages_only,
            search_times,
            netns,
            is_patient: false,
            recent_searches,
            intervals: count_interval.map(|length| Intervals::new(length, began_at)),
            full_tables: FullTables::default(),
            settings,
            doubts: Doubts::new(began_at),
            surveys,
            forgotten: (0, None),
            has_looked: false,
            records: Records::default(),
            items: VecDeque::from([Item::Start(start.clone())]),
            start,
            phase: Phase::Watching,
        })
    }

    /// What is watched, and how; also the first item.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// Failures so far, shown or not; none where the kernel does not tell.
    #[must_use]
    pub fn counted(&self) -> Option<u64> {
        let tables = self.tracer.tables();
        let counts = tables.counts().ok()?;
        Some(counts.iter().map(|(_, value)| value.count).sum::<u64>() + tables.counters().keys_full)
    }

    /// Silences the programs, and lets the ring's task finish.
    fn stop(&mut self) -> Result<()> {
        if matches!(self.phase, Phase::Watching) {
            self.phase = Phase::Draining;
            self.look_at_settings();
            self.tracer.stop().context("stop the programs")?;
            self.queue.stop();
        }
        Ok(())
    }

    /// A snapshot, with what is known to be missing in it.
    fn show(&mut self, mut snapshot: Snapshot) {
        let forgotten = self.counters.owners_forgotten;
        if forgotten > self.forgotten.0 {
            self.forgotten = (forgotten, Some(snapshot.at));
        }
        if self.forgotten.1.is_some_and(|at| snapshot.at.0 - at.0 < TimeWait::LENGTH_NS) {
            snapshot.limits.push(
                "sockets were forgotten for newer ones within a minute after they had connected: in TIME_WAIT they are \
                 nobody's"
                    .to_owned(),
            );
        }
        self.items.push_back(Item::Ports(snapshot));
    }

    /// Keeps records for [`Self::take_record`], which has taken all others.
    fn keep(&mut self, records: Records) -> Result<()> {
        self.has_looked = false;
        self.records = records;
        self.rounds.hasten().context("set a timer")
    }

    /// What the next record is about, if it is one and wanted.
    fn take_record(&mut self) -> Result<Option<Item>> {
        while let Some(record) = self.records.pop() {
            let mut item = match decode::record(record, self.settings.ticks_per_second) {
                Ok(item) => item,
                Err(NoRecord::Failure) => {
                    self.ledger.malformed += 1;
                    continue;
                }
                Err(NoRecord::Sysctl) => {
                    self.settings.malformed += 1;
                    continue;
                }
            };
            let is_wanted = match &mut item {
                Item::Failure(failure) => self.complete(failure)?,
                Item::Sysctl(change) => self.complete_change(change),
                _ => false,
            };
            if is_wanted {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Adds to a failure what its record does not tell; whether it is wanted.
    fn complete(&mut self, failure: &mut Failure) -> Result<bool> {
        if self.until.count.is_some_and(|count| self.ledger.delivered >= count) {
            self.ledger.beyond_count += 1;
            return Ok(false);
        }
        failure.fault = self.doubted(failure.fault, failure.at, failure.at);
        self.enricher.enrich(&mut failure.process, failure.at);
        self.surveys.note(failure);
        self.ledger.delivered += 1;
        if self.until.count == Some(self.ledger.delivered) {
            self.stop()?;
        }
        Ok(true)
    }

    /// The same for the change of a setting.
    fn complete_change(&mut self, change: &mut SettingChange) -> bool {
        // Sets of ports are sent whatever was written.
        if change.old.as_ref() == Some(&change.new) || self.netns.is_some_and(|netns| netns != change.netns) {
            return false;
        }
        change.by.iter_mut().for_each(|process| self.enricher.enrich(process, change.at));
        true
    }

    /// "The port search did not fail" holds only if its hook would have told, of each failure between `first` and
    /// `last`.
    fn doubted(&mut self, mut fault: Fault, first: BootNs, last: BootNs) -> Fault {
        if fault.stage == Stage::OutsidePortSearch && fault.errno == Errno::EADDRNOTAVAIL {
            if !self.has_looked {
                self.has_looked = true;
                self.look_for_doubts();
            }
            let watched = self.tracer.sees_port_search(fault.address.is_ipv6());
            if !watched || self.doubts.concern(first, last) {
                fault.stage = Stage::Unknown;
            }
        }
        fault
    }

    /// What comes by no record.
    fn look_around(&mut self) -> Result<()> {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= Instant::now());
        if is_due(self.settings.due()) {
            self.look_at_settings();
        }
        if is_due(self.recent_searches.as_ref().map(Looks::due)) {
            self.look_at_searches()?;
        }
        self.look_for_losses()?;
        self.look_at_counts()?;
        if !self.items.is_empty() {
            self.rounds.hasten().context("set a timer")?;
        }
        let due = [self.settings.due(), self.recent_searches.as_ref().map(Looks::due)];
        due.into_iter().flatten().try_for_each(|due| self.rounds.not_after(due)).context("set a timer")
    }

    /// Searches for a port since the last look.
    fn look_at_searches(&mut self) -> Result<()> {
        let rows = self.searches().context("read how long searches took")?.rows;
        let recent = self.recent_searches.as_mut().and_then(|looks| looks.look(&rows, now()));
        self.items.extend(recent.map(Item::RecentSearches));
        Ok(())
    }

    /// Settings that were changed since the last look, where no hook tells.
    fn look_at_settings(&mut self) {
        let is_wanted = |change: &SettingChange| self.netns.is_none_or(|netns| netns == change.netns);
        let changes = self.settings.changes(now());
        self.items.extend(changes.into_iter().filter(is_wanted).map(Item::Sysctl));
    }

    /// How often the hook on the port search has not told so far: its runs that were skipped, and what found no room.
    fn look_for_doubts(&mut self) {
        let began = now();
        let skipped = self.tracer.skipped_runs().map(|runs| runs.since(&self.skipped_before).search);
        let no_room = self.tracer.tables().counters().details_full;
        let untold = skipped.map(|skipped| skipped + no_room);
        self.doubts.look(began, untold, now());
    }

    /// Losses since the last look.
    fn look_for_losses(&mut self) -> Result<()> {
        let began = now();
        let counters = self.tracer.tables().counters();
        self.ledger.ring_full = counters.ring_full;
        self.ledger.suppressed = counters.suppressed;
        self.ledger.queue_full = self.queue.refused();
        self.skipped = self.tracer.skipped_runs().map(|runs| runs.since(&self.skipped_before));
        let untold = self.skipped.map(|runs| runs.search + counters.details_full);
        self.doubts.look(began, untold, now());
        self.counters = counters;
        self.ledger.skipped_runs = self.blind_runs().unwrap_or(0);
        self.full_tables.warn(&counters);
        self.tell_losses(false);
        Ok(())
    }

    fn tell_losses(&mut self, last: bool) {
        let now = now();
        let lost = self.ledger.news(now);
        self.items.extend(lost.into_iter().map(Item::Lost));
        self.items.extend(self.ledger.suppressed_news(now, last).map(Item::Suppressed));
    }

    /// Runs of programs that saw nothing: skipped, or too late to learn what the call was about. None where the kernel does
    /// not tell.
    fn blind_runs(&self) -> Option<u64> {
        self.skipped.map(|runs| runs.total() + self.counters.calls_unknown)
    }

    /// The most failures that no program saw.
    fn possibly_missed(&self) -> Option<u64> {
        let runs = self.skipped?;
        Some(match self.tracer.mode() {
            // Neither of the two reports what the other has missed.
            Mode::Tracepoints => runs.total() + self.counters.calls_unknown,
            _ if self.shortages_only => runs.missed_shortages(&self.counters),
            _ => runs.missed_errors(&self.counters),
        })
    }

    /// One round of waiting for programs that were running at the stop.
    async fn settle(&mut self, mut ring: Box<Ring>, rounds: u32) -> Result<()> {
        let records = ring.take();
        if !records.is_empty() {
            self.keep(records)?;
            self.phase = Phase::Settling(ring, rounds);
            return Ok(());
        }
        // Losses first: whatever finishes in between is then counted, and not yet accounted for.
        self.look_for_losses()?;
        let counts = self.tracer.tables().counts().context("read the table of counts")?;
        let summary = self.summary(counts.clone());
        if self.ledger.accounted() >= total(&summary) || rounds == 0 {
            self.is_patient |= self.until.count.is_some_and(|count| self.ledger.delivered >= count);
            // Who asks for holders wants to know who has the ports in the end.
            let again = self.tracer.owners() > 0;
            let limit = match (self.is_patient, again) {
                (true, _) => PATIENT_WAIT,
                (false, true) => HOLDERS_WAIT,
                (false, false) => SURVEY_WAIT,
            };
            let snapshots = self.surveys.last(limit, again).await;
            snapshots.into_iter().for_each(|snapshot| self.show(snapshot));
            return self.close(counts, summary);
        }
        sleep(STRAGGLER_WAIT).await;
        self.phase = Phase::Settling(ring, rounds - 1);
        Ok(())
    }

    /// What was measured, summary and end. `counts` are those of the summary.
    fn close(&mut self, counts: Vec<(FailureKey, FailureCount)>, summary: Summary) -> Result<()> {
        self.phase = Phase::Ended;
        self.ledger.unaccounted = total(&summary).saturating_sub(self.ledger.accounted());
        self.tell_losses(true);
        if self.search_times {
            let searches = self.searches().context("read how long searches took")?;
            self.items.push_back(Item::Searches(searches));
        }
        let end = End {
            failures: total(&summary),
            delivered: self.ledger.delivered,
            suppressed: self.ledger.suppressed(),
            beyond_count: self.ledger.beyond_count,
            lost: self.ledger.lost(),
            skipped_runs: self.blind_runs(),
            possibly_missed: self.possibly_missed(),
            owners: (self.tracer.owners() > 0).then_some(self.counters.owners),
            sysctls_lost: self.settings.lost(&self.counters, &self.queue, self.skipped),
            lookups_unanswered: self.enricher.unanswered(),
            no_room: NoRoom {
                callers: self.counters.callers_full,
                details: self.counters.details_full,
                repeats: self.counters.reported_full,
                owners: self.counters.owners_forgotten,
            },
            watched: self.began.elapsed(),
        };
        self.tell_counts(counts);
        self.items.extend([Item::Summary(summary), Item::End(end)]);
        Ok(())
    }

    fn searches(&self) -> Result<Searches> {
        let tables = self.tracer.tables();
        let searches = tables.searches()?;
        let mut rows: Vec<_> = searches.iter().map(|(key, times)| decode::search_row(key, times)).collect();
        rows.retain(|row| self.netns.is_none_or(|netns| netns == row.netns));
        rows.sort_by_key(|row| std::cmp::Reverse((row.times.slow, row.times.count)));
        let other = decode::search_times(&tables.other_searches()?);
        Ok(Searches { rows, other, unmeasured: self.counters.search_unmeasured })
    }

    fn summary(&mut self, counts: Vec<(FailureKey, FailureCount)>) -> Summary {
        let mut other = self.tracer.tables().counters().keys_full;
        let mut rows = self.rows(counts, &mut other);
        rows.sort_by(|a: &Row, b: &Row| b.count.cmp(&a.count).then(a.first.cmp(&b.first)));
        Summary { rows, other }
    }

    /// Counts since the last interval, if that is long enough ago and anything happened.
    fn look_at_counts(&mut self) -> Result<()> {
        let known = self.ledger.accounted();
        if self.intervals.as_mut().is_some_and(|intervals| intervals.is_due(known, now())) {
            let counts = self.tracer.tables().counts().context("read the table of counts")?;
            self.tell_counts(counts);
        }
        Ok(())
    }

    /// What of these, which are all counts there are, was not told yet.
    fn tell_counts(&mut self, counts: Vec<(FailureKey, FailureCount)>) {
        let Some(mut intervals) = self.intervals.take() else { return };
        let mut other = intervals.grown_other(self.tracer.tables().counters().keys_full);
        let grown = intervals.grown(counts, |value| &mut value.count);
        let rows = self.rows(grown, &mut other);
        self.items.extend(intervals.end(rows, other, now()).map(Item::Counts));
        self.intervals = Some(intervals);
    }

    /// The rows of these counts; adds to `other` those of which there is none.
    fn rows(&mut self, counts: Vec<(FailureKey, FailureCount)>, other: &mut u64) -> Vec<Row> {
        self.has_looked = false;
        let mut rows = Vec::with_capacity(counts.len());
        for (key, value) in counts {
            let Ok(mut row) = decode::row(&key, &value) else {
                *other += value.count;
                continue;
            };
            row.fault = self.doubted(row.fault, row.first, row.last);
            self.enricher.recall(&mut row.process);
            rows.push(row);
        }
        rows
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
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::Ended => return Ok(None),
                Phase::Settling(ring, rounds) => self.settle(ring, rounds).await?,
                Phase::Draining => {
                    self.phase = Phase::Draining;
                    match self.queue.next().await {
                        Some(records) => self.keep(records)?,
                        None => {
                            let ring = self.queue.into_ring().await.context("read the ring of events")?;
                            self.phase = Phase::Settling(Box::new(ring), STRAGGLER_ROUNDS);
                        }
                    }
                }
                Phase::Watching => {
                    self.phase = Phase::Watching;
                    tokio::select! {
                        records = self.queue.next() => match records {
                            Some(records) => self.keep(records)?,
                            // The task ended by itself; the phases that follow tell why.
                            None => self.stop()?,
                        },
                        snapshot = self.surveys.next() => self.show(snapshot),
                        round = self.rounds.next() => {
                            round.context("set a timer")?;
                            self.look_around()?;
                        }
                        how = &mut self.until.stop => {
                            self.is_patient = how == Stop::InTime;
                            self.stop()?;
                        }
                    }
                }
            }
        }
    }

    fn has_more(&self) -> bool {
        !self.items.is_empty() || !self.records.is_empty()
    }
}

/// Who connected a socket, and when, where the programs remember that.
fn connected(tracer: &Tracer) -> Arc<Connected> {
    let owners = (tracer.owners() > 0).then(|| tracer.tables().owners());
    Arc::new(move |cookie| {
        let owner = owners.as_ref()?.get(cookie)?;
        Some((decode::owner(&owner), decode::connected_at(&owner)))
    })
}

fn total(summary: &Summary) -> u64 {
    summary.rows.iter().map(|row| row.count).sum::<u64>() + summary.other
}

fn start(tracer: &Tracer, filter: Filter) -> Result<Start> {
    let (at, boot_offset_ns) = now_with_offset();
    let names = nix::sys::utsname::uname().context("ask for the kernel's name")?;
    let hooks = tracer.hooks().iter().map(|hook| {
        let how = match &hook.state {
            HookState::Attached => hook.kind.name().to_owned(),
            HookState::Absent(why) => format!("absent: {why}"),
            HookState::Refused(Refusal { finding, .. }) => format!("refused: {finding}"),
        };
        // A function may have a program at either end, or have been tried in two ways.
        let place = match hook.kind {
            Kind::Entry => " (entry)",
            Kind::MultiEntry | Kind::MultiExit if !hook.is_attached() => " (kprobe.multi)",
            _ => "",
        };
        (format!("{}{place}", hook.function), how)
    });
    Ok(Start {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: Text::of(names.nodename()),
        kernel: names.release().to_string_lossy().into_owned(),
        hooks: hooks.collect(),
        limits: tracer.limits(),
        at,
        boot_offset_ns,
        filter,
        warn_permille: None,
        part: None,
        first_part: None,
    })
}
