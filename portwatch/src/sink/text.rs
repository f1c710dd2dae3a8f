//! Lines for a person: one a failure, a summary at the end.
//!
//! In: items. Out: aligned columns; strings of processes escaped.

mod missing;
mod ports;
mod searches;
mod settings;
mod summary;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;

use jiff::tz::TimeZone;

use super::Sink;
use super::words::columns::{Align, Columns};
use super::words::{GroupBy, address, pid, reason_words, runs_in, short, verdict};
use crate::clock::Clock;
use crate::diagnose::{Opinion, Path, Verdict, cause};
use crate::event::{BootNs, Failure, Item, LossReason, Lost, Snapshot, Start, State, Suppressed};
use crate::term::{Paint, clean};
pub use ports::Fit;

const HEADING: [&str; 10] =
    ["TIME", "PID", "COMM", "ERRNO", "SOURCE", "DESTINATION", "PORT RANGE", "CAUSE", "NETNS", "EXE"];

/// Forecasts below a table; the fullest rows come first.
const SHOWN_FORECASTS: usize = 5;
/// Changed settings below a table, the last ones: each table takes the place of the one before.
const SHOWN_CHANGES: usize = 3;
/// Verdicts that are kept for the end.
const KEPT_VERDICTS: usize = 64;

/// Writes lines.
pub struct Text<W: Write> {
    output: W,
    paint: Paint,
    zone: TimeZone,
    clock: Option<Clock>,
    columns: Columns<10>,
    heading_written: bool,
    summary: Option<String>,
    searches: Option<String>,
    fit: Fit,
    group_by: GroupBy,
    /// Whether snapshots are shown as tables, instead of what they explain.
    tables: bool,
    /// Whether each failure has a line.
    failures: bool,
    /// Settings that were changed, as lines below tables.
    changes: VecDeque<String>,
    /// The last of each kind, in the order in which they came up.
    verdicts: Vec<Verdict>,
    /// Limits of snapshots that were told.
    limits: Vec<String>,
}

impl<W: Write> Text<W> {
    /// Writes to `output`, times of day in `zone`.
    pub fn new(output: W, paint: Paint, zone: TimeZone) -> Self {
        let left = |width| (Align::Left, width);
        // The usual: an IPv4 address with a port is 21 characters at most, an IPv6 one up to 47.
        let columns = Columns::new([12, 7, 15, 13, 15, 21, 11, 17, 10, 0].map(left));
        Self {
            output,
            paint,
            zone,
            clock: None,
            columns,
            heading_written: false,
            summary: None,
            searches: None,
            fit: Fit::default(),
            group_by: GroupBy::default(),
            tables: false,
            failures: true,
            changes: VecDeque::new(),
            verdicts: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// The same, with snapshots as tables, as large as this.
    #[must_use]
    pub fn fitted(self, fit: Fit) -> Self {
        Self { fit, tables: true, ..self }
    }

    /// The same, with rows of the summary by this.
    #[must_use]
    pub fn grouped(self, group_by: GroupBy) -> Self {
        Self { group_by, ..self }
    }

    /// The same without a line for each failure.
    #[must_use]
    pub fn without_failures(self) -> Self {
        Self { failures: false, ..self }
    }

    /// The table, and below it what it explains.
    fn table(&mut self, snapshot: &Snapshot, opinions: &[Opinion]) -> io::Result<()> {
        let time = self.clock.unwrap_or_default().at(snapshot.at).to_zoned(self.zone.clone());
        let time = time.strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
        let mut below: Vec<String> = self.changes.iter().cloned().collect();
        let mut verdicts = Vec::new();
        let mut forecasts = 0;
        for opinion in opinions {
            match opinion {
                Opinion::Pressure(pressure) => {
                    let time = self.time_of_day(pressure.at);
                    below.push(verdict::pressure(pressure, &time, Paint::Plain));
                }
                Opinion::Forecast { path, forecast, .. } if forecasts < SHOWN_FORECASTS => {
                    let line = verdict::forecast(path, forecast);
                    forecasts += usize::from(line.is_some());
                    below.extend(line);
                }
                Opinion::Forecast { .. } | Opinion::Slowness(_) => {}
                Opinion::Verdict(verdict) if self.fit.watching => {
                    below.extend(verdict.diagnoses.iter().map(verdict::sentence));
                }
                Opinion::Verdict(verdict) => verdicts.push(verdict.clone()),
            }
        }
        write!(self.output, "{}", ports::shown(snapshot, &below, &self.fit, &time, self.paint))?;
        if !verdicts.is_empty() {
            write!(
                self.output,
                "\n{}",
                verdict::in_full(&verdicts, |instant| self.time_of_day(instant), self.paint)
            )?;
        }
        Ok(())
    }

    /// What is to be said, where there is no table; a verdict is about the snapshot.
    fn explained(&mut self, snapshot: Option<&Snapshot>, opinions: &[Opinion]) -> io::Result<()> {
        for opinion in opinions {
            match opinion {
                Opinion::Pressure(pressure) => {
                    let time = self.time_of_day(pressure.at);
                    writeln!(self.output, "{}", verdict::pressure(pressure, &time, self.paint))?;
                }
                Opinion::Slowness(slowness) => {
                    let time = self.time_of_day(slowness.at);
                    writeln!(self.output, "{}", verdict::slowness(slowness, &time, self.paint))?;
                }
                Opinion::Forecast { .. } => {}
                Opinion::Verdict(verdict) => {
                    if let (Some(snapshot), true) = (snapshot, verdict.is_news) {
                        let row = snapshot.rows.iter().find(|row| Path::of(row) == verdict.path);
                        let time = self.time_of_day(verdict.at);
                        write!(self.output, "{}", verdict::in_short(verdict, row, &time, self.paint))?;
                        self.tell_limits(snapshot)?;
                    }
                    self.keep(verdict);
                }
            }
        }
        Ok(())
    }

    /// What the snapshot could not see, once each.
    fn tell_limits(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        for limit in &snapshot.limits {
            if !self.limits.contains(limit) && self.limits.len() < KEPT_VERDICTS {
                writeln!(self.output, "  note:  {limit}")?;
                self.limits.push(limit.clone());
            }
        }
        Ok(())
    }

    /// For the end.
    fn keep(&mut self, verdict: &Verdict) {
        let same = |known: &&mut Verdict| (known.path, known.cause) == (verdict.path, verdict.cause);
        match self.verdicts.iter_mut().find(same) {
            Some(known) => known.clone_from(verdict),
            None => {
                if self.verdicts.len() >= KEPT_VERDICTS {
                    self.verdicts.remove(0);
                }
                self.verdicts.push(verdict.clone());
            }
        }
    }

    fn start(&mut self, start: &Start) {
        self.clock = Some(Clock { boot_offset_ns: start.boot_offset_ns });
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        let fault = &failure.fault;
        let cells = [
            self.time_of_day(failure.at),
            pid(&failure.process),
            clean(&failure.process.comm.0),
            fault.errno.name(),
            source(failure.source),
            fault.destination().map_or_else(|| "-".to_owned(), |_| address(fault)),
            range(failure),
            why(failure),
            failure.netns.0.to_string(),
            executable(failure),
        ];
        self.columns.fit(&cells);
        if !self.heading_written {
            self.heading_written = true;
            let zone = self
                .clock
                .unwrap_or_default()
                .at(failure.at)
                .to_zoned(self.zone.clone())
                .strftime("%Z")
                .to_string();
            let mut heading = HEADING.map(str::to_owned);
            heading[0] = format!("TIME ({zone})");
            let heading = self.columns.line(&heading);
            writeln!(self.output, "{}", self.paint.faint(&heading))?;
        }
        let line = self.columns.line(&cells);
        writeln!(self.output, "{line}")
    }

    fn lost(&mut self, lost: Lost) -> io::Result<()> {
        let Lost { reason, count, from, to } = lost;
        let what = if reason == LossReason::SkippedRun {
            format!(
                "the kernel skipped {count} runs of the programs; what one missed another may have reported, \
                 the end tells how much nobody can have"
            )
        } else {
            format!("{count} failures without detail ({}); the summary counts them", reason_words(reason))
        };
        self.between(&format!("lost: {what}"), from, to)
    }

    fn suppressed(&mut self, suppressed: Suppressed) -> io::Result<()> {
        let Suppressed { count, from, to } = suppressed;
        let what = format!("suppressed: {count} more failures of the kinds shown; the summary counts them");
        self.between(&what, from, to)
    }

    fn between(&mut self, what: &str, from: BootNs, to: BootNs) -> io::Result<()> {
        let when = format!("{} to {}", self.time_of_day(from), self.time_of_day(to));
        writeln!(self.output, "{}", self.paint.strong(&format!("{what}; {when}")))
    }

    fn time_of_day(&self, instant: BootNs) -> String {
        self.clock
            .unwrap_or_default()
            .at(instant)
            .to_zoned(self.zone.clone())
            .strftime("%H:%M:%S%.3f")
            .to_string()
    }
}

impl<W: Write> Sink for Text<W> {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        match item {
            Item::Start(start) => self.start(start),
            Item::Failure(failure) if self.failures => self.failure(failure)?,
            Item::Lost(lost) => self.lost(*lost)?,
            Item::Suppressed(suppressed) => self.suppressed(*suppressed)?,
            Item::Ports(snapshot) => {
                self.clock.get_or_insert(Clock { boot_offset_ns: snapshot.boot_offset_ns });
                if self.tables {
                    self.table(snapshot, opinions)?;
                } else {
                    self.explained(Some(snapshot), opinions)?;
                }
            }
            Item::Sysctl(change) if self.tables => {
                if self.changes.len() == SHOWN_CHANGES {
                    self.changes.pop_front();
                }
                let line = settings::line(change, &self.time_of_day(change.at));
                self.changes.push_back(line);
            }
            Item::Sysctl(change) => {
                let line = settings::line(change, &self.time_of_day(change.at));
                writeln!(self.output, "{}", self.paint.strong(&line))?;
            }
            Item::RecentSearches(_) => self.explained(None, opinions)?,
            Item::Searches(searches) => self.searches = Some(searches::table(searches, self.paint)),
            Item::Failure(_) | Item::Counts(_) => {}
            Item::Missing(missing) => {
                let line = missing::line(missing);
                writeln!(self.output, "{}", self.paint.strong(&line))?;
            }
            Item::Summary(summary) => {
                self.summary = Some(summary::table(summary, self.group_by, self.paint, |instant| {
                    self.time_of_day(instant)
                }));
            }
            Item::End(end) => {
                if self.heading_written {
                    writeln!(self.output)?;
                }
                writeln!(self.output, "{}", summary::total(end))?;
                for table in [self.summary.take(), self.searches.take()].into_iter().flatten() {
                    write!(self.output, "{table}")?;
                }
                if !self.verdicts.is_empty() {
                    // The latest first.
                    let mut verdicts = std::mem::take(&mut self.verdicts);
                    verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.at));
                    let text = verdict::in_full(&verdicts, |instant| self.time_of_day(instant), self.paint);
                    write!(self.output, "\n{text}")?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The range that the port was searched in.
fn range(failure: &Failure) -> String {
    let range = failure.port_range;
    match failure.own_range {
        Some(own) => format!("{} (socket's own)", range.narrowed_by(own)),
        None => range.to_string(),
    }
}

fn why(failure: &Failure) -> String {
    let cause = cause(&failure.fault).name();
    match failure.search {
        Some(search) => format!("{cause} ({} search)", short(search)),
        None => cause.to_owned(),
    }
}

/// The executable, and where it runs.
fn executable(failure: &Failure) -> String {
    let name = match &failure.process.details.state {
        State::Alive { exe: Some(exe), .. } => clean(&exe.0),
        _ if failure.fault.kernel_socket => "(kernel)".to_owned(),
        State::Alive { exe: None, .. } | State::NotRead => "-".to_owned(),
        State::Exited => "(exited)".to_owned(),
    };
    match runs_in(&failure.process.details) {
        Some(place) if !failure.fault.kernel_socket => format!("{name} in {place}"),
        _ => name,
    }
}

/// Address, and port where the socket had one; `-` where it had, or is known to have had, neither.
fn source(source: SocketAddr) -> String {
    match (source.ip().is_unspecified(), source.port()) {
        (true, 0) => "-".to_owned(),
        (false, 0) => source.ip().to_string(),
        _ => source.to_string(),
    }
}

#[cfg(test)]
mod tests;
