//! `portwatch trace`: live, one line per failed connect, a summary at the end.

use std::io::BufWriter;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::TraceArgs;
use super::metrics::{Endpoint, Served};
use super::output::Output;
use super::session::{Pace, Session};
use super::stop::stop;
use super::{Outcome, on_runtime};
use crate::diagnose::Observer;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::text::Text;
use crate::term::Paint;

pub(super) fn run(args: &TraceArgs, paint: Paint) -> Result<Outcome> {
    let observer = on_runtime(watch(args, paint))?;
    Ok(Outcome::of(&observer, args.live.fail_on))
}

async fn watch(args: &TraceArgs, paint: Paint) -> Result<Observer> {
    // Before attaching, so that a signal in between is not lost.
    let stop = stop(args.live.duration, true)?;
    let metrics = args.metrics.metrics.map(Endpoint::open).transpose()?;
    let session = Session::begin(&args.live, Endpoint::pace(metrics.as_ref(), Pace::default()), stop)?;
    let where_metrics_are = Endpoint::words(metrics.as_ref());
    let mut metrics = metrics.map(|endpoint| endpoint.serve(args.group_by.into())).transpose()?;
    let output = BufWriter::new(Output::new());
    let mut sink: Box<dyn Sink> = if args.json {
        Box::new(Json::new(output))
    } else {
        Box::new(Text::new(output, paint, TimeZone::system()).grouped(args.group_by.into()))
    };
    let mut sinks: Vec<&mut dyn Sink> = metrics.iter_mut().map(Served::sink).collect();
    sinks.push(&mut *sink);
    session.confine(false);
    session.say_ready(&where_metrics_are);
    session.run(&mut sinks).await.detach()
}
