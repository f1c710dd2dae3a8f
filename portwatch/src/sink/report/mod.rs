//! What happened, told when all of it has been read: as text, JSON or HTML.
//!
//! In: items of any number of sessions, one after the other, and opinions on them. Out: one document. Its memory is
//! bounded, whatever comes: each table has a size, and what exceeds it is counted. Must not know: where items come from.

mod dial;
mod gaps;
mod groups;
mod html;
mod json;
mod model;
mod places;
mod said;
mod series;
mod session;
mod settings;
mod story;
mod stretch;
mod tally;
mod text;
mod timeline;
mod wall;

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::Sink;
use super::words::GroupBy;
use crate::clock::Clock;
use crate::diagnose::Opinion;
use crate::event::{
    BootNs, Counts, End, Failure, Item, LossReason, MissingWhy, Row, SearchRow, SearchTimes, Searches, Start,
    Summary, Text,
};
use crate::term::Paint;
use gaps::Gaps;
use model::Model;
use places::Places;
use said::Sayings;
use session::{Ledger, Session};
use settings::Settings;
use stretch::Stretch;
use tally::{Key, Tally, Times};
use timeline::{Target, Timeline};
use wall::WallNs;
pub use wall::Window;

/// Sessions that are told apart; what happened in further ones is in the same sums.
const SESSIONS: usize = 256;
/// Hosts that are told apart; one more stands for all others.
const NAMED_HOSTS: usize = 64;
const FURTHER_HOSTS: &[u8] = b"further hosts";
/// Bytes of hooks and limits of all of them.
const SENTENCES_BYTES: usize = 4 << 20;
/// Rows of summaries that are kept as they were, and bytes of them. Of one session there are at most 24,576.
const SUMMARY_ROWS: usize = 49_152;
const SUMMARY_BYTES: usize = 12 << 20;
/// Rows of measured searches that are kept.
const SEARCHES: usize = 256;

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal.
    Text,
    /// One object.
    Json,
    /// One file for a browser.
    Html,
}

/// Collects what happened.
#[derive(Debug, Default)]
pub struct Report {
    window: Option<Window>,
    group_by: GroupBy,
    files: Vec<Text>,
    hosts: Vec<Text>,
    /// The last one is running, unless `is_open` is not set.
    sessions: Vec<Session>,
    is_open: bool,
    /// Sessions beyond those that are told apart.
    sessions_left_out: u64,
    /// Their ledger.
    left_out: Option<Ledger>,
    /// Rows of their summaries.
    rows_left_out: u64,
    summary_rows: usize,
    summary_bytes: usize,
    /// For hooks and limits.
    room_bytes: usize,
    tally: Tally,
    timeline: Timeline,
    /// Seen since the last counts of an interval, which will have it.
    since: Timeline,
    places: Places,
    sayings: Sayings,
    settings: Settings,
    gaps: Gaps,
    searches: Searches,
}

impl Report {
    /// Of what happened within `window`, or of everything.
    #[must_use]
    pub fn new(window: Option<Window>) -> Self {
        Self { window, room_bytes: SENTENCES_BYTES, ..Self::default() }
    }

    /// The same, naming the files that it was read from.
    #[must_use]
    pub fn of_files(self, files: Vec<Text>) -> Self {
        Self { files, ..self }
    }

    /// The same, with what these had in common.
    #[must_use]
    pub fn grouped(self, group_by: GroupBy) -> Self {
        Self { group_by, ..self }
    }

    /// Writes it; times of day in `zone`, colours where `paint` allows them.
    ///
    /// # Errors
    /// When the output refuses.
    pub fn write(
        &mut self,
        format: Format,
        output: &mut dyn Write,
        paint: Paint,
        zone: &TimeZone,
    ) -> io::Result<()> {
        self.close();
        let model = Model::of(self);
        match format {
            Format::Text => text::write(&model, output, paint, zone),
            Format::Json => json::write(&model, output),
            Format::Html => html::write(&model, output, zone),
        }
    }

    fn holds(&self, at: WallNs) -> bool {
        self.window.is_none_or(|window| window.holds(at))
    }

    /// The running session; one of which nothing is known where items come without a start.
    fn session(&mut self) -> &mut Session {
        if !self.is_open || self.sessions.is_empty() {
            let host = self.host(&Text::default());
            let session = Session::new(host, None, &mut self.room_bytes);
            self.open(session);
        }
        let last = self.sessions.len() - 1;
        &mut self.sessions[last]
    }

    fn open(&mut self, session: Session) {
        if self.sessions.len() >= SESSIONS
            && let Some(last) = self.sessions.pop()
        {
            // Its failures are in the sums; its own ledger is not shown.
            self.sessions_left_out += 1;
            self.rows_left_out += last.rows_left_out + last.rows.len() as u64;
            let ledger = last.ledger(self.window);
            self.left_out = Some(match self.left_out.take() {
                Some(sum) => sum.and(ledger),
                None => ledger,
            });
        }
        self.sessions.push(session);
        self.is_open = true;
    }

    /// Its number; those beyond what is told apart share one.
    fn host(&mut self, name: &Text) -> u16 {
        let name = session::name(name);
        let place = self.hosts.iter().position(|host| *host == name).unwrap_or_else(|| {
            match self.hosts.len() {
                len if len > NAMED_HOSTS => {}
                NAMED_HOSTS => self.hosts.push(Text(FURTHER_HOSTS.to_vec())),
                _ => self.hosts.push(name),
            }
            self.hosts.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn start(&mut self, start: &Start) {
        let host = self.host(&start.host);
        self.close();
        let begun_before = self.sessions.iter().rposition(|session| session.goes_on_with(start, host));
        let Some(place) = begun_before else {
            let session = Session::new(host, Some(start), &mut self.room_bytes);
            return self.open(session);
        };
        // What it had is in the sums already.
        let session = self.sessions.remove(place);
        self.sessions.push(Session { is_resumed: true, ..session });
        self.is_open = true;
    }

    /// The running session is over.
    fn close(&mut self) {
        if !self.is_open {
            return;
        }
        let has_window = self.window.is_some();
        let session = self.session();
        let others = session.counted_other.saturating_add(session.unseen_since);
        let is_told_by_summary = !has_window && !session.is_resumed;
        let other_summed = session.summed.map(|(_, other)| other).filter(|_| is_told_by_summary);
        match other_summed {
            Some(other) => self.tally.others = self.tally.others.saturating_add(other),
            None => {
                self.tally.close();
                self.tally.others = self.tally.others.saturating_add(others);
            }
        }
        self.timeline.take(&mut self.since);
        self.is_open = false;
    }

    fn failure(&mut self, failure: &Failure) {
        let session = self.session();
        let at = WallNs::of(failure.at, session.clock);
        let key = Key::of(session.host, &failure.process, failure.netns, &failure.fault);
        let is_counted = session.counted_until.is_some_and(|until| failure.at <= until);
        if !self.holds(at) {
            return;
        }
        let session = self.session();
        session.hear(at);
        session.delivered += 1;
        if is_counted {
            return self.tally.learn(key, &failure.process, at);
        }
        session.seen_since += 1;
        self.tally.saw(key, &failure.process, at);
        self.since.add(at, Some(Target::of(&failure.fault)), 1);
    }

    /// Failures without detail: those of an interval that is counted are known from there.
    fn unseen(&mut self, count: u64, from: BootNs, to: BootNs, lost: Option<LossReason>) {
        let session = self.session();
        let at = WallNs::of(to, session.clock);
        if !self.holds(at) {
            return;
        }
        let session = self.session();
        session.hear(at);
        match lost {
            Some(reason) => {
                let lost = session.lost.entry(reason).or_default();
                *lost = lost.saturating_add(count);
            }
            None => session.suppressed = session.suppressed.saturating_add(count),
        }
        if lost == Some(LossReason::SkippedRun) {
            return;
        }
        // Those that were counted are taken to be as many as their part of the time.
        let until = session.counted_until.unwrap_or(from);
        let since =
            Stretch::new(WallNs(0), WallNs(i64::try_from(to.0.saturating_sub(from.0)).unwrap_or(i64::MAX)));
        let counted = i64::try_from(until.0.saturating_sub(from.0)).unwrap_or(i64::MAX);
        let count = if to <= until && until > from { 0 } else { count - since.until(WallNs(counted), count) };
        session.unseen_since = session.unseen_since.saturating_add(count);
        self.since.add(at, None, count);
    }

    fn counts(&mut self, counts: &Counts) {
        let session = self.session();
        session.count(counts);
        let (host, clock) = (session.host, session.clock);
        let until = WallNs::of(counts.to, clock);
        let mut exact = Timeline::default();
        let mut rows = Vec::new();
        let mut counted = 0_u64;
        for row in &counts.rows {
            let (last, key) =
                (WallNs::of(row.last, clock), Key::of(host, &row.process, row.netns, &row.fault));
            // One alone was the last; of several it is not known how they were spread.
            let first = if row.count == 1 { row.last } else { row.first.max(counts.from) };
            let stretch = Stretch::new(WallNs::of(first, clock), last);
            let within = stretch.within(self.window, row.count);
            let count = within.max(self.tally.pending(&key)).min(row.count);
            if count == 0 {
                continue;
            }
            counted = counted.saturating_add(count);
            let stretch = stretch.cut(self.window);
            exact.spread(stretch, Some(Target::of(&row.fault)), count);
            let first = WallNs::of(row.first, clock);
            let first = if self.holds(first) { first } else { stretch.from };
            rows.push((key, &row.process, Times { count, first, last: stretch.to }));
        }
        self.tally.begin_interval();
        for (key, process, times) in rows {
            self.tally.counted(key, process, times);
        }
        let stretch = Stretch::new(WallNs::of(counts.from, clock), until);
        let other = stretch.within(self.window, counts.other);
        if other > 0 {
            exact.spread(stretch.cut(self.window), None, other);
        }
        // What was seen in full is known to the instant.
        let is_seen_in_full = self.since.sum == exact.sum;
        self.timeline.take(if is_seen_in_full { &mut self.since } else { &mut exact });
        self.since.clear();
        let is_within = self.holds(until);
        let session = self.session();
        session.counted = session.counted.saturating_add(counted).saturating_add(other);
        session.counted_other = session.counted_other.saturating_add(other);
        if is_within {
            session.hear(until);
        }
    }

    fn summary(&mut self, summary: &Summary) {
        let (rows_left, bytes_left) = (SUMMARY_ROWS - self.summary_rows, SUMMARY_BYTES - self.summary_bytes);
        let (mut room, mut bytes) = (0, 0);
        for row in summary.rows.iter().take(rows_left) {
            let next =
                bytes + tally::bytes(&row.process.details) + row.process.comm.0.len() + size_of::<Row>();
            if next > bytes_left {
                break;
            }
            (room, bytes) = (room + 1, next);
        }
        self.summary_rows += room;
        self.summary_bytes += bytes;
        let is_whole = self.window.is_none();
        let session = self.session();
        session.sum_up(summary, room);
        let (host, clock) = (session.host, session.clock);
        if is_whole && !session.is_resumed {
            self.tally.forget();
            for row in &summary.rows {
                let key = Key::of(host, &row.process, row.netns, &row.fault);
                self.tally.summed(key, &row.process, times(row, clock));
            }
        }
    }

    fn end(&mut self, end: &End) {
        let session = self.session();
        session.end = Some(end.clone());
        self.close();
    }

    fn searched(&mut self, searches: &Searches) {
        let Searches { rows, other, unmeasured } = searches;
        let add = |sum: &mut SearchTimes, times: &SearchTimes| {
            sum.count = sum.count.saturating_add(times.count);
            sum.slow = sum.slow.saturating_add(times.slow);
            sum.total = sum.total.saturating_add(times.total);
            sum.longest = sum.longest.max(times.longest);
        };
        for row in rows {
            let place = |row: &SearchRow| (row.netns, row.source, row.destination);
            let has_room = self.searches.rows.len() < SEARCHES;
            match self.searches.rows.iter_mut().find(|known| place(known) == place(row)) {
                Some(known) => add(&mut known.times, &row.times),
                None if has_room => self.searches.rows.push(row.clone()),
                None => add(&mut self.searches.other, &row.times),
            }
        }
        add(&mut self.searches.other, other);
        self.searches.unmeasured = self.searches.unmeasured.saturating_add(*unmeasured);
    }

    fn opinions(&mut self, opinions: &[Opinion]) {
        for opinion in opinions {
            let at = match opinion {
                Opinion::Verdict(verdict) => verdict.at,
                Opinion::Pressure(pressure) => pressure.at,
                Opinion::Slowness(slowness) => slowness.at,
                Opinion::Forecast { .. } => continue,
            };
            let session = self.session();
            let (host, at) = (session.host, WallNs::of(at, session.clock));
            if self.holds(at) {
                self.sayings.hear(host, at, opinion);
            }
        }
    }
}

impl Sink for Report {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        match item {
            Item::Failure(failure) => self.failure(failure),
            Item::Start(start) => self.start(start),
            Item::Lost(lost) => self.unseen(lost.count, lost.from, lost.to, Some(lost.reason)),
            Item::Suppressed(suppressed) => {
                self.unseen(suppressed.count, suppressed.from, suppressed.to, None);
            }
            Item::Sysctl(change) => {
                let session = self.session();
                let (host, at) = (session.host, WallNs::of(change.at, session.clock));
                if self.holds(at) {
                    self.session().hear(at);
                    self.settings.change(host, at, change);
                }
            }
            Item::Ports(snapshot) => {
                let session = self.session();
                if session.start.is_none() && session.heard.is_none() {
                    // Without a start it is all that tells the time of day.
                    session.clock.boot_offset_ns = snapshot.boot_offset_ns;
                }
                let (host, at) = (session.host, WallNs::of(snapshot.at, session.clock));
                self.settings.see(host, at, snapshot);
                if self.holds(at) {
                    self.session().hear(at);
                    self.places.see(host, at, snapshot);
                }
            }
            Item::Counts(counts) => self.counts(counts),
            Item::Missing(missing) => {
                if missing.why == MissingWhy::NoStart {
                    // What follows is of another session.
                    self.close();
                }
                self.gaps.note(missing);
            }
            Item::Searches(searches) => self.searched(searches),
            Item::RecentSearches(_) => {}
            Item::Summary(summary) => self.summary(summary),
            Item::End(end) => self.end(end),
        }
        self.opinions(opinions);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn times(row: &Row, clock: Clock) -> Times {
    Times { count: row.count, first: WallNs::of(row.first, clock), last: WallNs::of(row.last, clock) }
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;
