//! `portwatch report`: what happened, from captures.

use std::fs::{File, Metadata};
use std::io::{BufWriter, ErrorKind, Write};
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
    let output = args.output.as_deref().map(|path| Created::new(path, &args.files)).transpose()?;
    let zone = TimeZone::system();
    captures::confine(&found);
    let mut replay = Replay::of(&args.files)?;
    let window =
        (args.from.is_some() || args.to.is_some()).then_some(Window { from: args.from, to: args.to });
    let files = args.files.iter().map(Text::of);
    let mut report = Report::new(window).of_files(files.collect()).grouped(args.group_by.into());
    let mut observer = Observer::new(Warn::FromPermille(args.warn));
    on_this_thread(pipeline::run(&mut replay, &mut observer, &mut [&mut report]))?;
    let (output, paint): (Box<dyn Write>, Paint) = match output {
        None => (Box::new(Output::new()), paint),
        Some(created) => (Box::new(created.empty()?), Paint::Plain),
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

/// The file of the report, for its owner alone, as captures are: command lines are in both.
struct Created<'a> {
    file: File,
    /// What is to go again where nothing can be reported.
    new: Option<&'a Path>,
}

impl<'a> Created<'a> {
    /// Fails where it could not be written, and for one of the captures.
    fn new(path: &'a Path, captures: &[PathBuf]) -> Result<Self> {
        let name = named(path);
        let mut options = File::options();
        options.write(true).mode(0o600);
        let (file, new) = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (options.create(true).open(path), None),
            other => (other, Some(path)),
        };
        let file = file.with_context(|| format!("create {name}"))?;
        let id = |facts: &Metadata| (facts.dev(), facts.ino());
        let own = file.metadata().with_context(|| format!("look at {name}"))?;
        // What cannot be found is said when it is read.
        let read = Files::find(captures).map(|files| files.paths).unwrap_or_default();
        if read.iter().any(|capture| capture.metadata().is_ok_and(|facts| id(&facts) == id(&own))) {
            bail!(
                "write the report to {name}: this is a capture that is to be read\nhint: name another file behind -o"
            );
        }
        Ok(Self { file, new })
    }

    /// What was there is gone only now that there is something better.
    fn empty(mut self) -> Result<File> {
        self.new = None;
        let file = self.file.try_clone().context("open the file of the report once more")?;
        // Pipes and devices hold nothing.
        if file.metadata().is_ok_and(|facts| facts.is_file()) {
            file.set_len(0).context("empty the file of the report")?;
        }
        Ok(file)
    }
}

impl Drop for Created<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.new {
            // It is empty, and what went wrong is said.
            let _ = std::fs::remove_file(path);
        }
    }
}
