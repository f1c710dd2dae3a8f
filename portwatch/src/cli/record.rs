//! `portwatch record`: live, into a capture; or while a command runs.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::args::RecordArgs;
use super::child::Child;
use super::metrics::{Endpoint, Served};
use super::outcome::say;
use super::session::{Pace, Session};
use super::shown::Shown;
use super::stop::{Asked, stop};
use super::{Outcome, on_runtime};
use crate::capture::{Loss, Outcome as Recorded, Recorder, Sealer, Target};
use crate::diagnose::Observer;
use crate::event::{Item, Missing, MissingWhy, Start};
use crate::lines::Encoder;
use crate::privileges::{self, Duty};
use crate::sink::Sink;
use crate::sink::capture::Capture;
use crate::sink::exec::{self, Exec, Launcher};
use crate::sink::json::Json;
use crate::source::Stop;
use crate::term::{Paint, clean, named};

/// How often ports are looked at, and counts written down, whatever happens.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn run(args: &RecordArgs, paint: Paint) -> Result<Outcome> {
    // SAFETY: the runtime, which has threads, begins below.
    let launcher = args.on_failure_exec.as_deref().map(|command| unsafe { Launcher::fork(command) });
    let launcher =
        launcher.transpose().context("start a process that runs the command of --on-failure-exec")?;
    let observer = on_runtime(record(args, launcher, paint))?;
    Ok(Outcome::of(&observer, args.live.fail_on))
}

async fn record(args: &RecordArgs, launcher: Option<Launcher>, paint: Paint) -> Result<Observer> {
    // Before attaching, so that nothing is attached in vain, and that a signal in between is not lost.
    let target = match args.keep {
        // Goes on where another one ended, as after a restart of the host: nothing is overwritten.
        Some(keep) => Target::folder(&args.output, keep),
        None => Target::file(&args.output, args.force),
    }?;
    let seals = signal(SignalKind::user_defined1()).context("catch SIGUSR1")?;
    let (asked, done) = stop(args.live.duration, false)?;
    let (tell, ended) = oneshot::channel();
    let pace = Pace { look: Some(INTERVAL), count: Some(INTERVAL), owners: !args.no_holders };
    let metrics = args.metrics.metrics.map(Endpoint::open).transpose()?;
    let pace = Endpoint::pace(metrics.as_ref(), pace);
    let session = Session::begin(&args.live, pace, (until_either(asked, ended), done))?;
    let start = session.start().clone();
    let where_metrics_are = Endpoint::words(metrics.as_ref());
    let mut served = metrics.map(|endpoint| endpoint.serve(args.group_by.into())).transpose()?;
    let mut shown = Shown::new(args, paint)?;
    let mut recorder = Recorder::start(target, headers(start), not_written, told, only_record)?;
    let child = match Child::start(&args.command, tell) {
        Ok(child) => child,
        Err(error) => {
            // A command that does not exist costs no file.
            recorder.abandon();
            return Err(error);
        }
    };
    tokio::spawn(seal_when_asked(seals, recorder.sealer()));
    // The command has started with all that the user has.
    session.confine(child.is_some());
    session.say_ready(&format!("recording to {}; {}", named(&args.output), where_metrics_are));
    let ended = {
        let mut capture = Capture::new(&mut recorder, args.on_failure);
        let mut exec =
            launcher.map(|launcher| Exec::new(launcher, exec::EVERY, |lines| Box::new(Json::new(lines))));
        let mut sinks: Vec<&mut dyn Sink> = vec![&mut capture];
        sinks.extend(served.iter_mut().map(Served::sink));
        sinks.push(&mut shown);
        sinks.extend(exec.as_mut().map(|exec| exec as &mut dyn Sink));
        session.run(&mut sinks).await
    };
    let recorded = recorder.finish();
    if let Some(child) = child {
        child.end();
    }
    // Last, as a terminal may stand still.
    shown.finish();
    // Whatever else went wrong, what is in the capture is said.
    let concluded = conclude(&args.output, recorded);
    let observer = ended.detach()?;
    concluded.map(|()| observer)
}

/// When somebody asks for the end, or the command has ended; who runs none never tells.
fn until_either(asked: Asked, ended: oneshot::Receiver<()>) -> Asked {
    Box::pin(async move {
        tokio::select! {
            how = asked => how,
            Ok(()) = ended => Stop::InTime,
        }
    })
}

async fn seal_when_asked(mut signals: Signal, sealer: Sealer) {
    while signals.recv().await.is_some() {
        sealer.seal("SIGUSR1");
    }
}

/// What each file of a recording begins with, so that it can be read alone. The first part that one is asked for is the one
/// that the recording begins with, wherever in its folder that is.
fn headers(start: Start) -> impl Fn(Option<u32>) -> Vec<u8> + Send {
    let first: Cell<Option<u32>> = Cell::new(None);
    move |part| {
        let first_part = first.get().or(part);
        first.set(first_part);
        let mut line = Vec::new();
        Encoder::default().item(&Item::Start(Start { part, first_part, ..start.clone() }), &mut line);
        line
    }
}

/// What stands in a capture for lines that could not be written.
fn not_written(loss: &Loss) -> Vec<u8> {
    let Loss { lines, bytes, error, from_unix_ns, to_unix_ns } = loss;
    let time = |ns: i64| Timestamp::from_nanosecond(ns.into()).unwrap_or_default();
    let when = format!("{:.3} to {:.3}", time(*from_unix_ns), time(*to_unix_ns));
    let why = MissingWhy::NotWritten(format!("{error}; {when}"));
    let mut line = Vec::new();
    let missing = Missing { why, file: None, lines: *lines, bytes: *bytes };
    Encoder::default().item(&Item::Missing(missing), &mut line);
    line
}

/// What the thread that writes the capture does.
fn only_record(folder: BorrowedFd<'_>) {
    privileges::confine(&Duty::Record(folder));
}

/// What the recorder has to say meanwhile.
fn told(sentence: &str) {
    say(&format!("portwatch: {}", clean(sentence.as_bytes())));
}

/// What has become of the capture.
fn conclude(output: &Path, Recorded { state, synced }: Recorded) -> Result<()> {
    let name = named(output);
    let parts = if state.parts > 1 { format!(" in {} parts", state.parts) } else { String::new() };
    say(&format!(
        "portwatch: recorded {} bytes{parts}; `portwatch report {name}` tells what happened",
        state.written_bytes
    ));
    if state.lost_lines > 0 {
        let why = state.last_error.as_deref().unwrap_or("the disk was too slow");
        bail!(
            "{name}: {} lines ({} bytes) could not be written: {why}\nhint: the summary above counts everything; free \
             space, or record elsewhere",
            state.lost_lines,
            state.lost_bytes
        );
    }
    if state.parts_for_room > 0 {
        bail!(
            "{name}: {} parts were removed before their time, as the disk is full\nhint: free space, or keep less",
            state.parts_for_room
        );
    }
    if state.seal_errors > 0 {
        bail!("{name}: {} copies could not be sealed, or are not whole", state.seal_errors);
    }
    synced.with_context(|| format!("{name}: write the last of it"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::headers;
    use crate::event::{BootNs, Filter, Item, Start, Text};
    use crate::lines::Decoder;

    #[test]
    fn every_part_says_which_one_its_recording_began_with() {
        let start = Start {
            version: "0".to_owned(),
            host: Text(b"h".to_vec()),
            kernel: "6.1".to_owned(),
            hooks: Vec::new(),
            limits: Vec::new(),
            at: BootNs(5),
            boot_offset_ns: 7,
            filter: Filter::default(),
            warn_permille: None,
            part: None,
            first_part: None,
        };
        for (parts, first) in [([Some(9), Some(10), Some(11)], Some(9)), ([None; 3], None)] {
            let header = headers(start.clone());
            for part in parts {
                let mut items = VecDeque::new();
                Decoder::default().line(header(part).trim_ascii_end(), &mut items).unwrap();
                assert_eq!(items, [Item::Start(Start { part, first_part: first, ..start.clone() })]);
            }
        }
    }
}
