//! Lines for a person: one a failure, a summary at the end.
//!
//! In: items. Out: aligned columns; strings of processes escaped.

mod summary;

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::Sink;
use crate::clock::Clock;
use crate::diagnose::cause;
use crate::event::{BootNs, Details, Failure, Item, LossReason, Lost, PortRange, Start};
use crate::term::{Paint, clean};

/// Writes lines.
pub struct Text<W: Write> {
    output: W,
    paint: Paint,
    zone: TimeZone,
    clock: Clock,
    heading_written: bool,
    summary: Option<String>,
}

impl<W: Write> Text<W> {
    /// Writes to `output`, times of day in `zone`.
    pub fn new(output: W, paint: Paint, zone: TimeZone) -> Self {
        Self { output, paint, zone, clock: Clock::default(), heading_written: false, summary: None }
    }

    fn start(&mut self, start: &Start) {
        self.clock = Clock { boot_offset_ns: start.boot_offset_ns };
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        if !self.heading_written {
            self.heading_written = true;
            let zone = self.clock.at(failure.at).to_zoned(self.zone.clone()).strftime("%Z").to_string();
            let heading = columns(
                &format!("TIME ({zone})"),
                ["PID", "COMM", "ERRNO", "DESTINATION", "PORT RANGE", "CAUSE", "NETNS", "EXE"]
                    .map(str::to_owned),
            );
            writeln!(self.output, "{}", self.paint.faint(&heading))?;
        }
        let fault = &failure.fault;
        let PortRange { low, high } = failure.port_range;
        let exe = match &failure.process.details {
            Details::Read { exe: Some(exe), .. } => clean(&exe.0),
            Details::Read { exe: None, .. } | Details::NotRead => "-".to_owned(),
            Details::Exited => "(exited)".to_owned(),
        };
        let line = columns(
            &self.time_of_day(failure.at),
            [
                failure.process.tgid.0.to_string(),
                clean(&failure.process.comm.0),
                fault.errno.name(),
                fault.destination.to_string(),
                format!("{low}-{high}"),
                cause(fault).name().to_owned(),
                failure.netns.0.to_string(),
                exe,
            ],
        );
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

/// One line; every column but the last is padded.
fn columns(time: &str, cells: [String; 8]) -> String {
    let [pid, comm, errno, destination, range, cause, netns, exe] = cells;
    format!(
        "{time:<12}  {pid:<7}  {comm:<15}  {errno:<13}  {destination:<21}  {range:<11}  {cause:<17}  {netns:<10}  {exe}"
    )
}

#[cfg(test)]
mod tests;
