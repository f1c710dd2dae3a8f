//! What a recorder shows meanwhile, which never ends the recording, nor holds it up.

use std::io::{self, BufWriter, Write};

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::RecordArgs;
use super::beside::{Beside, Writer};
use super::outcome::say;
use super::output::Output;
use crate::diagnose::Opinion;
use crate::event::Item;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::text::Text;
use crate::term::Paint;

/// As long as somebody reads it.
pub(super) struct Shown {
    sink: Option<Box<dyn Sink>>,
    writer: Option<Writer>,
    /// Whether it was said that nothing more is shown.
    has_failed: bool,
}

impl Shown {
    /// As asked for; on stderr where stdout is that of a command.
    pub(super) fn new(args: &RecordArgs, paint: Paint) -> Result<Self> {
        if args.quiet {
            return Ok(Self { sink: None, writer: None, has_failed: false });
        }
        let output: Box<dyn Write + Send> =
            if args.command.is_empty() { Box::new(Output::new()) } else { Box::new(io::stderr()) };
        let (beside, writer) = Beside::start(output)?;
        let output = BufWriter::new(beside);
        let text = |output| Text::new(output, paint, TimeZone::system()).grouped(args.group_by.into());
        let sink: Box<dyn Sink> = match (args.json, args.print) {
            (true, _) => Box::new(Json::new(output)),
            (_, true) => Box::new(text(output)),
            _ => Box::new(text(output).without_failures()),
        };
        Ok(Self { sink: Some(sink), writer: Some(writer), has_failed: false })
    }

    /// Waits until all of it is written.
    pub(super) fn finish(self) {
        // What it still holds is written first.
        drop(self.sink);
        let has_said = self.has_failed;
        match self.writer.map(Writer::finish) {
            Some(Ok(dropped @ 1..)) => say(&format!(
                "portwatch: {dropped} bytes of what was to be shown were not, as nobody read; the capture has it all"
            )),
            Some(Err(error)) if !has_said && error.kind() != io::ErrorKind::BrokenPipe => {
                say(&format!(
                    "portwatch: {error}; the last of what was to be shown is not; the capture has it all"
                ));
            }
            _ => {}
        }
    }

    /// Shows no more after an error.
    fn go_on(&mut self, result: &io::Result<()>) {
        if let Err(error) = result {
            (self.sink, self.has_failed) = (None, true);
            if error.kind() != io::ErrorKind::BrokenPipe {
                say(&format!("portwatch: {error}; recording goes on, and nothing more is shown"));
            }
        }
    }
}

impl Sink for Shown {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        let result = self.sink.as_mut().map_or(Ok(()), |sink| sink.item(item, opinions));
        self.go_on(&result);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.sink.as_mut().map_or(Ok(()), |sink| sink.flush());
        self.go_on(&result);
        Ok(())
    }
}
