//! `portwatch ports`: who holds the local ports now.

use std::io::{BufWriter, IsTerminal as _};

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::PortsArgs;
use super::output::Output;
use super::session::enricher;
use super::stop::stop;
use super::{Outcome, on_runtime};
use crate::diagnose::{Observer, Warn};
use crate::pipeline;
use crate::ports::{Query, enters_another, netns_id};
use crate::privileges::{self, Duty, Looking};
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::text::{Fit, Text};
use crate::source::snapshots::{Again, Snapshots};
use crate::term::{self, Paint};

pub(super) fn run(args: &PortsArgs, paint: Paint) -> Result<Outcome> {
    let observer = on_runtime(look(args, paint))?;
    Ok(Outcome::of(&observer, args.fail_on))
}

async fn look(args: &PortsArgs, paint: Paint) -> Result<Observer> {
    let query =
        Query { netns: args.netns.clone().unwrap_or_default(), destination: args.dest, ..Query::default() };
    let (again, done) = match args.watch {
        None => (None, None),
        Some(interval) => {
            let (stop, done) = stop(args.duration, true)?;
            (Some(Again { interval, stop }), Some(done))
        }
    };
    let output = BufWriter::new(Output::new());
    let mut sink: Box<dyn Sink> = if args.json {
        Box::new(Json::new(output))
    } else {
        let on_screen = std::io::stdout().is_terminal();
        let size: Option<fn() -> _> = if on_screen { Some(term::size) } else { None };
        let top = args.top.and_then(|rows| usize::try_from(rows).ok());
        let fit = Fit { top, size, watching: args.watch.is_some() };
        Box::new(Text::new(output, paint, TimeZone::system()).fitted(fit))
    };
    let wanted = netns_id(&query.netns).ok().flatten();
    let mut snapshots = Snapshots::new(query, again, enricher(args.kubernetes));
    let look = Looking { enters_namespaces: enters_another(wanted), maps: None, ends_command: false };
    privileges::confine(&Duty::Look(look));
    let mut observer = Observer::new(Warn::FromPermille(args.warn));
    let result = pipeline::run(&mut snapshots, &mut observer, &mut [&mut *sink]).await;
    if let Some(done) = done {
        done.tell();
    }
    result.map(|()| observer)
}
