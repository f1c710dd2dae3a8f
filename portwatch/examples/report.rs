//! Prints a report of a recording that is made up: `text`, `json` or `html`.

use std::io;

use jiff::tz::TimeZone;
use portwatch::sink::Sink as _;
use portwatch::sink::report::{Format, Report};
use portwatch::term::Paint;

#[path = "../tests/recording/mod.rs"]
mod recording;

fn main() -> io::Result<()> {
    let format = match std::env::args().nth(1).as_deref() {
        Some("html") => Format::Html,
        Some("json") => Format::Json,
        _ => Format::Text,
    };
    let mut report = Report::new(None).of_files(vec![portwatch::event::Text(b"web-1.jsonl.zst".to_vec())]);
    for (item, opinions) in recording::recording() {
        report.item(&item, &opinions)?;
    }
    report.write(format, &mut io::stdout().lock(), Paint::Plain, &TimeZone::UTC)
}
