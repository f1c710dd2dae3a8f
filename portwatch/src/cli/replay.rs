//! `portwatch replay`: what trace would have printed, from captures.

use std::io::BufWriter;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::ReplayArgs;
use super::output::Output;
use super::{Outcome, captures, on_this_thread};
use crate::diagnose::{Observer, Warn};
use crate::pipeline;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::text::Text;
use crate::source::replay::Replay;
use crate::term::Paint;

pub(super) fn run(args: &ReplayArgs, paint: Paint) -> Result<Outcome> {
    let output = BufWriter::new(Output::new());
    let mut sink: Box<dyn Sink> = if args.json {
        Box::new(Json::new(output))
    } else {
        Box::new(Text::new(output, paint, TimeZone::system()).grouped(args.group_by.into()))
    };
    captures::confine(&captures::find(&args.files)?);
    let mut replay = Replay::of(&args.files)?;
    let mut observer = Observer::new(args.warn.map_or(Warn::AsRecorded, Warn::FromPermille));
    on_this_thread(pipeline::run(&mut replay, &mut observer, &mut [&mut *sink]))?;
    Ok(Outcome::Done)
}
