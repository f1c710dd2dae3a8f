//! `portwatch report`: what happened, from captures.

use std::fs::{File, Metadata};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::tz::TimeZone;

use super::args::{ReportArgs, ReportFormat};
use super::output::Output;
use super::{Outcome, captures, on_this_thread};
use crate::capture::Files;
use crate::diagnose::{Observer, Warn};
use crate::event::Text;
use crate::pipeline;
use crate::sink::report::{Format, Report, Window};
use crate::source::replay::Replay;
use crate::term::{Paint, named};

pub(super) fn run(args: &ReportArgs, paint: Paint) -> Result<Outcome> {
    let found = captures::find(&args.files)?;
    // Before the long part.
    let output = args.output.as_deref().map(|path| create(path, &args.files)).transpose()?;
    let zone = TimeZone::system();
    captures::confine(&found);
    let mut replay = Replay::of(&args.files)?;
    let window =
        (args.from.is_some() || args.to.is_some()).then_some(Window { from: args.from, to: args.to });
    let files = args.files.iter().map(Text::of);
    let mut report = Report::new(window).grouped(args.group_by.into()).of_files(files.collect());
    let mut observer = Observer::new(Warn::FromPermille(args.warn));
    on_this_thread(pipeline::run(&mut replay, &mut observer, &mut [&mut report]))?;
    let (output, paint): (Box<dyn Write>, Paint) = match output {
        None => (Box::new(Output::new()), paint),
        Some(file) => {
            // What was there is gone only now that there is something better. Pipes and devices hold nothing.
            if file.metadata().is_ok_and(|facts| facts.is_file()) {
                file.set_len(0).context("empty the file of the report")?;
            }
            (Box::new(file), Paint::Plain)
        }
    };
    let mut output = BufWriter::new(output);
    let format = match args.format {
        ReportFormat::Text => Format::Text,
        ReportFormat::Html => Format::Html,
        ReportFormat::Json => Format::Json,
    };
    report.write(format, &mut output, paint, &zone).and_then(|()| output.flush()).with_context(|| {
        let name = args.output.as_ref().map_or("standard output".into(), |path| path.to_string_lossy());
        format!("write the report to {name}")
    })?;
    Ok(Outcome::Done)
}

/// The file of the report, for its owner alone, as captures are: command lines are in both. None of what is read.
fn create(path: &Path, captures: &[PathBuf]) -> Result<File> {
    let name = named(path);
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).with_context(|| format!("create {name}"))?;
    let id = |facts: &Metadata| (facts.dev(), facts.ino());
    let own = file.metadata().with_context(|| format!("look at {name}"))?;
    // What cannot be found is said when it is read.
    let read = Files::find(captures).map(|files| files.paths).unwrap_or_default();
    if read.iter().any(|capture| capture.metadata().is_ok_and(|facts| id(&facts) == id(&own))) {
        bail!(
            "write the report to {name}: this is a capture that is to be read\nhint: name another file behind -o"
        );
    }
    Ok(file)
}
