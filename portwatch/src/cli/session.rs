//! A live session, as the commands that watch begin and end it.
//!
//! In: options. Out: items in the sinks of the command. Must not know: which sinks these are.

use std::time::Duration;

use anyhow::Result;

use super::args::{LiveArgs, ModeChoice};
use super::memory;
use super::outcome::{nobody_reads, say};
use super::stop::{Asked, Done};
use crate::diagnose::{Observer, Warn};
use crate::enrich::Enricher;
use crate::event::{Filter, NetnsId, Start, Tgid};
use crate::kernel::{self, Hook, Mode, OWNERS, OpenCgroup, Tracer, Watch};
use crate::pipeline;
use crate::ports::{Netns, enters_another, netns_id, own_id};
use crate::privileges::{self, Duty, Looking};
use crate::sink::Sink;
use crate::source::live::{Live, Look, Told, Until, Wanted};

/// How often ports are looked at for `--warn`.
const WARN_INTERVAL: Duration = Duration::from_secs(2);

/// What is looked at and remembered whatever happens, beyond what was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// How often at the ports, where no warning was asked for.
    pub(super) look: Option<Duration>,
    /// How often at the counts.
    pub(super) count: Option<Duration>,
    /// Whether who connects is remembered.
    pub(super) owners: bool,
}

/// Attached, and counting.
pub(super) struct Session {
    live: Live,
    hooks: Vec<String>,
    observer: Observer,
    done: Done,
    enters_namespaces: bool,
}

impl Session {
    /// Attaches; ends when `asked` resolves. What signals mean from then on, `done` is told.
    pub(super) fn begin(args: &LiveArgs, pace: Pace, (asked, done): (Asked, Done)) -> Result<Self> {
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
            owners: args.holders.map(|holders| holders.unwrap_or(OWNERS)).or(pace.owners.then_some(OWNERS)),
            cgroup: cgroup.as_ref(),
            own_netns: netns.or_else(own_id),
            ..Watch::new(&filter)
        };
        let tracer = Tracer::attach(&watch).map_err(|refused| refused.refusal)?;
        for limit in tracer.limits() {
            log::warn!("{limit}");
        }
        let hooks = attached(tracer.hooks());
        let look = match (args.warn, pace.look) {
            (Some(_), _) => Some((WARN_INTERVAL, Told::All)),
            (None, interval) => interval.map(|interval| (interval, Told::UnderPressure)),
        };
        let look = look.map(|(interval, told)| Look {
            interval,
            netns: looked_at(args.netns.as_ref(), netns),
            told,
        });
        let wanted = Wanted {
            filter,
            search_times: args.search_time,
            warn_permille: args.warn,
            look,
            count_interval: pace.count,
            until: Until { stop: asked, count: args.count },
        };
        let live = Live::new(tracer, enricher(args.kubernetes), wanted)?;
        Ok(Self {
            live,
            hooks,
            observer: Observer::new(args.warn.map_or(Warn::Never, Warn::FromPermille)),
            done,
            enters_namespaces: enters_another(netns),
        })
    }

    /// All is open: this thread, which shows what was seen, keeps what it needs for that. So it comes after whatever is
    /// started with the user's privileges; with `ends_command` that is also a command that is to be ended.
    pub(super) fn confine(&self, ends_command: bool) {
        let look =
            Looking { enters_namespaces: self.enters_namespaces, maps: Some(kernel::answers), ends_command };
        privileges::confine(&Duty::Look(look));
        memory::let_go_of_the_start();
    }

    /// What is watched, and how.
    pub(super) fn start(&self) -> &Start {
        self.live.start()
    }

    /// Says that it counts, and what else there is to say.
    pub(super) fn say_ready(&self, more: &str) {
        say(&format!("portwatch: ready: {more}watching by {}", self.hooks.join(", ")));
    }

    /// Runs to the end.
    pub(super) async fn run(self, sinks: &mut [&mut dyn Sink]) -> Ended {
        let Self { mut live, mut observer, done, .. } = self;
        let result = pipeline::run(&mut live, &mut observer, sinks).await;
        let result = result.map(|()| observer).inspect_err(|error| {
            if let (false, Some(counted)) = (nobody_reads(error), live.counted()) {
                // What could not be written is not gone without a word.
                say(&format!(
                    "portwatch: failures counted until then: {counted}; their summary is not shown"
                ));
            }
        });
        Ended { result, live, done }
    }
}

/// All was seen; the programs are still attached.
pub(super) struct Ended {
    result: Result<Observer>,
    live: Live,
    done: Done,
}

impl Ended {
    /// All is said, too: detaches. How long the kernel takes to let go of the programs is no reason to give up.
    pub(super) fn detach(self) -> Result<Observer> {
        self.done.tell();
        drop(self.live);
        self.result
    }
}

/// Who looks processes up.
pub(super) fn enricher(kubernetes: bool) -> Enricher {
    if kubernetes {
        Enricher::with_kubernetes("/proc", only_look, only_ask)
    } else {
        Enricher::new("/proc", only_look)
    }
}

fn only_look() {
    privileges::confine(&Duty::Look(Looking { enters_namespaces: false, maps: None, ends_command: false }));
}

/// Of whoever asks container runtimes.
pub(super) fn only_ask() {
    privileges::confine(&Duty::Ask);
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

fn attached(hooks: &[Hook]) -> Vec<String> {
    let attached = hooks.iter().filter(|hook| hook.is_attached());
    attached.map(|hook| format!("{}:{}", hook.kind.name(), hook.function)).collect()
}
