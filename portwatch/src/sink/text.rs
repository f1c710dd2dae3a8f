//! Lines for a person: one a failure, a summary at the end.
//!
//! In: items. Out: aligned columns; strings of processes escaped.

mod columns;
mod summary;

use std::io::{self, Write};
use std::net::SocketAddr;

use jiff::tz::TimeZone;

use super::Sink;
use crate::clock::Clock;
use crate::diagnose::cause;
use crate::event::{BootNs, Details, Failure, Item, LossReason, Lost, PortRange, Start};
use crate::term::{Paint, clean};
use columns::{Align, Columns};

const HEADING: [&str; 10] =
    ["TIME", "PID", "COMM", "ERRNO", "SOURCE", "DESTINATION", "PORT RANGE", "CAUSE", "NETNS", "EXE"];

/// Writes lines.
pub struct Text<W: Write> {
    output: W,
    paint: Paint,
    zone: TimeZone,
    clock: Clock,
    columns: Columns<10>,
    heading_written: bool,
    summary: Option<String>,
}

impl<W: Write> Text<W> {
    /// Writes to `output`, times of day in `zone`.
    pub fn new(output: W, paint: Paint, zone: TimeZone) -> Self {
        let left = |width| (Align::Left, width);
        // The usual: an IPv4 address with a port is 21 characters at most, an IPv6 one up to 47.
        let columns = Columns::new([12, 7, 15, 13, 15, 21, 11, 17, 10, 0].map(left));
        let (clock, heading_written, summary) = (Clock::default(), false, None);
        Self { output, paint, zone, clock, columns, heading_written, summary }
    }

    fn start(&mut self, start: &Start) {
        self.clock = Clock { boot_offset_ns: start.boot_offset_ns };
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        let fault = &failure.fault;
        let PortRange { low, high } = failure.port_range;
        let exe = match &failure.process.details {
            Details::Read { exe: Some(exe), .. } => clean(&exe.0),
            Details::Read { exe: None, .. } | Details::NotRead => "-".to_owned(),
            Details::Exited => "(exited)".to_owned(),
        };
        let cells = [
            self.time_of_day(failure.at),
            failure.process.tgid.0.to_string(),
            clean(&failure.process.comm.0),
            fault.errno.name(),
            source(failure.source),
            fault.destination.to_string(),
            format!("{low}-{high}"),
            cause(fault).name().to_owned(),
            failure.netns.0.to_string(),
            exe,
        ];
        self.columns.fit(&cells);
        if !self.heading_written {
            self.heading_written = true;
            let zone = self.clock.at(failure.at).to_zoned(self.zone.clone()).strftime("%Z").to_string();
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
        let what =
            format!("{count} failures without detail ({}); the summary counts them", reason_words(reason));
        let when = format!("{} to {}", self.time_of_day(from), self.time_of_day(to));
        writeln!(self.output, "{}", self.paint.strong(&format!("lost: {what}; {when}")))
    }

    fn time_of_day(&self, instant: BootNs) -> String {
        self.clock.at(instant).to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string()
    }
}

impl<W: Write> Sink for Text<W> {
    fn item(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Start(start) => self.start(start),
            Item::Failure(failure) => self.failure(failure)?,
            Item::Lost(lost) => self.lost(*lost)?,
            Item::Summary(summary) => {
                self.summary = Some(summary::table(summary, self.paint, |instant| self.time_of_day(instant)));
            }
            Item::End(end) => {
                if self.heading_written {
                    writeln!(self.output)?;
                }
                writeln!(self.output, "{}", summary::total(end))?;
                if let Some(table) = self.summary.take() {
                    write!(self.output, "{table}")?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Where detail was lost, in words.
fn reason_words(reason: LossReason) -> &'static str {
    match reason {
        LossReason::RingFull => "the kernel's ring was full",
        LossReason::QueueFull => "the output is too slow",
        LossReason::MalformedRecord => "malformed records",
        LossReason::Unaccounted => "counted, but never seen",
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
