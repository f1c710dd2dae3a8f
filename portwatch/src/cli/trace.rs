//! `portwatch trace`: live, one line per failed connect, a summary at the end.

use std::io::BufWriter;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Outcome;
use super::args::TraceArgs;
use super::output::Output;
use crate::enrich::Enricher;
use crate::event::{Filter, Tgid};
use crate::kernel::{HookState, Tracer};
use crate::pipeline;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::text::Text;
use crate::source::live::{Live, Until};
use crate::term::Paint;

pub(super) fn run(args: &TraceArgs, paint: Paint) -> Result<Outcome> {
    // The ring's task has a thread of its own: an output that blocks must not keep it from reading.
    let runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().context("start the runtime")?;
    runtime.block_on(watch(args, paint))?;
    Ok(Outcome::Done)
}

async fn watch(args: &TraceArgs, paint: Paint) -> Result<()> {
    // Before attaching, so that a signal in between is not lost.
    let stop = stop(args.duration)?;
    let filter = Filter {
        tgid: args.pid.map(Tgid),
        comm: args.comm.clone(),
        destination: args.dest,
        errnos: args.errno.clone().unwrap_or_default(),
    };
    let tracer = Tracer::attach(&filter).map_err(|refused| refused.refusal)?;
    let ready = ready_line(&tracer);
    let mut live = Live::new(tracer, Enricher::new("/proc"), filter, Until { stop, count: args.count })?;
    eprintln!("{ready}");
    let output = BufWriter::new(Output::new());
    let sink: Box<dyn Sink> = if args.json {
        Box::new(Json::new(output))
    } else {
        Box::new(Text::new(output, paint, TimeZone::system()))
    };
    pipeline::run(&mut live, &mut [sink]).await
}

/// Resolves at SIGINT, SIGTERM or when the time is over. A second signal, while the end takes its time (an output
/// that nobody reads), kills as if nobody had caught it.
fn stop(duration: Option<Duration>) -> Result<Pin<Box<dyn Future<Output = ()>>>> {
    let catch = |kind: SignalKind| signal(kind).context("catch signals");
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    let (stopped, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        // The command may be at its end already.
        let _ = stopped.send(());
        either(&mut interrupt, &mut terminate).await;
        give_up();
    });
    Ok(Box::pin(async move {
        let time = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stop => {}
            () = time => {}
        }
    }))
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[expect(
    clippy::exit,
    reason = "the main thread hangs in a write that nobody reads; programs detach with the process"
)]
fn give_up() {
    eprintln!("portwatch: stopped by a second signal before the output was written");
    std::process::exit(1);
}

fn ready_line(tracer: &Tracer) -> String {
    let attached = tracer.hooks().iter().filter(|hook| matches!(hook.state, HookState::Attached(_)));
    let functions: Vec<&str> = attached.map(|hook| hook.function).collect();
    format!("portwatch: ready: watching failed connects by fexit on {}", functions.join(", "))
}
