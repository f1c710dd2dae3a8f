//! `portwatch trace`: live, one line per failed connect, a summary at the end.

use std::io::BufWriter;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::TraceArgs;
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
    let session = Session::begin(&args.live, Pace::default(), stop)?;
    let output = BufWriter::new(Output::new());
    let mut sink: Box<dyn Sink> = if args.json {
        Box::new(Json::new(output))
    } else {
        Box::new(Text::new(output, paint, TimeZone::system()))
    };
    session.confine(false);
    session.say_ready("");
    session.run(&mut [&mut *sink]).await.detach()
}
