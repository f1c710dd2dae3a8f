//! `portwatch trace`: live, one line per failed connect, a summary at the end.

use std::io::BufWriter;
use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::args::{ModeChoice, TraceArgs};
use super::outcome::{nobody_reads, say};
use super::output::Output;
use super::stop::stop;
use super::{Outcome, on_runtime};
use crate::diagnose::Observer;
use crate::enrich::Enricher;
use crate::event::{Filter, NetnsId, Tgid};
use crate::kernel::{Hook, Mode, OWNERS, OpenCgroup, Tracer, Watch};
use crate::pipeline;
use crate::ports::{Netns, netns_id, own_id};
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::text::Text;
use crate::source::live::{Live, Look, Until};
use crate::term::Paint;

/// How often ports are looked at for `--warn`.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

pub(super) fn run(args: &TraceArgs, paint: Paint) -> Result<Outcome> {
    let observer = on_runtime(watch(args, paint))?;
    Ok(Outcome::of(&observer, args.fail_on))
}

async fn watch(args: &TraceArgs, paint: Paint) -> Result<Observer> {
    // Before attaching, so that a signal in between is not lost.
    let (asked, done) = stop(args.duration)?;
    let netns = args.netns.as_ref().map(netns_id).transpose()?.flatten();
    let cgroup = args.cgroup.as_deref().map(OpenCgroup::find).transpose()?;
    let filter = Filter {
        netns,
        cgroup: cgroup.as_ref().map(|cgroup| cgroup.facts.clone()),
        tgid: args.pid.map(Tgid),
        comm: args.comm.clone(),
        destination: args.dest,
        errnos: args.errno.clone().unwrap_or_default(),
    };
    let watch = Watch {
        mode: args.mode.map(mode),
        search_times: args.search_time,
        detail_per_window: args.detail,
        owners: args.holders.map(|holders| holders.unwrap_or(OWNERS)),
        cgroup: cgroup.as_ref(),
        own_netns: netns.or_else(own_id),
        ..Watch::new(&filter)
    };
    let tracer = Tracer::attach(&watch).map_err(|refused| refused.refusal)?;
    for limit in tracer.limits() {
        log::warn!("{limit}");
    }
    let ready = ready_line(tracer.hooks());
    let until = Until { stop: asked, count: args.count };
    let mut live = Live::new(
        tracer,
        Enricher::new("/proc"),
        filter,
        args.search_time,
        args.warn.map(|_| Look { interval: LOOK_INTERVAL, netns: looked_at(args.netns.as_ref(), netns) }),
        until,
    )?;
    say(&ready);
    let output = BufWriter::new(Output::new());
    let sink: Box<dyn Sink> = if args.json {
        Box::new(Json::new(output))
    } else {
        Box::new(Text::new(output, paint, TimeZone::system()))
    };
    let mut observer = Observer::new(args.warn);
    let result = pipeline::run(&mut live, &mut observer, &mut [sink]).await;
    // All is said; how long the kernel takes to let go of the programs is no reason to give up.
    done.tell();
    result.map(|()| observer).inspect_err(|error| {
        if let (false, Some(counted)) = (nobody_reads(error), live.counted()) {
            // What could not be written is not gone without a word.
            say(&format!("portwatch: failures counted until then: {counted}; their summary is not shown"));
        }
    })
}

/// The namespace to look at, by the way into it that the user knows; `id` is its number.
fn looked_at(wanted: Option<&Netns>, id: Option<NetnsId>) -> Netns {
    match (wanted, id) {
        // To enter it takes privileges that the own one does not.
        (_, Some(id)) if own_id() == Some(id) => Netns::Own,
        (Some(Netns::All), _) => Netns::All,
        (Some(Netns::Process(tgid)), Some(id)) => Netns::Near(id, *tgid),
        (Some(wanted), Some(_)) => wanted.clone(),
        _ => Netns::Own,
    }
}

fn mode(choice: ModeChoice) -> Mode {
    match choice {
        ModeChoice::Functions => Mode::Functions,
        ModeChoice::Wrappers => Mode::Wrappers,
        ModeChoice::Tracepoints => Mode::Tracepoints,
    }
}

fn ready_line(hooks: &[Hook]) -> String {
    let attached = hooks.iter().filter(|hook| hook.is_attached());
    let names: Vec<String> = attached.map(|hook| format!("{}:{}", hook.kind.name(), hook.function)).collect();
    format!("portwatch: ready: watching by {}", names.join(", "))
}
