//! What options of `trace` add, tried one by one as `trace` would.
//!
//! In: what works without them. Out: a check for each hook that an option needs, and one that says in a sentence what
//! the option sees. Nothing here decides whether the host can be traced.

use super::{Check, Mark};
use crate::event::{Errnos, Filter};
use crate::kernel::{Hook, Kind, Mode, OWNERS, Refusal, Refused, Tracer, Watch};

/// An option and what it sees where everything that it needs works.
struct Choice {
    option: &'static str,
    sees: &'static str,
    all_errors: bool,
    search_times: bool,
    owners: Option<u32>,
}

const CHOICES: [Choice; 3] = [
    Choice {
        option: "--errno all",
        sees: "also sees refusals on this host and what the network answers, with the process that called",
        all_errors: true,
        search_times: false,
        owners: None,
    },
    Choice {
        option: "--search-time",
        sees: "measures searches for a port",
        all_errors: false,
        search_times: true,
        owners: None,
    },
    Choice {
        option: "--holders",
        sees: "remembers who connects, for as long as the kernel holds the port",
        all_errors: false,
        search_times: false,
        owners: Some(OWNERS),
    },
];

/// What works without options.
pub(super) struct Default {
    hooks: Vec<(&'static str, Kind)>,
    limits: Vec<String>,
}

impl Default {
    /// What `tracer` does, which has none.
    pub(super) fn of(tracer: &Tracer) -> Self {
        Self { hooks: tracer.hooks().iter().map(place).collect(), limits: tracer.limits() }
    }
}

fn place(hook: &Hook) -> (&'static str, Kind) {
    (hook.function, hook.kind)
}

/// Attaches with each option, and lets go at once.
pub(super) fn tried(default: &Default) -> Vec<Check> {
    CHOICES.iter().flat_map(|choice| with(choice, default)).collect()
}

fn with(choice: &Choice, default: &Default) -> Vec<Check> {
    let errnos = if choice.all_errors { Errnos::All } else { Errnos::Shortage };
    let filter = Filter { errnos, ..Filter::default() };
    let watch = Watch { search_times: choice.search_times, owners: choice.owners, ..Watch::new(&filter) };
    let what = choice.option.to_owned();
    match Tracer::attach(&watch) {
        Ok(tracer) => {
            let (mode, hooks) = (tracer.mode(), tracer.hooks());
            let added = added(hooks, mode, default);
            let mut limits = tracer.limits();
            limits.retain(|limit| !default.limits.contains(limit));
            let measures = added.iter().any(|hook| hook.kind == Kind::Entry && hook.is_attached());
            if choice.search_times && !measures && limits.is_empty() {
                limits.push("does not measure searches: tracepoints do not see when one begins".to_owned());
            }
            let mut checks: Vec<Check> = added.into_iter().map(super::hook).collect();
            checks.push(sentence(choice, &limits));
            checks
        }
        Err(Refused { refusal: Refusal { attempt, finding, hint }, .. }) => {
            let finding = format!("cannot be used: could not {attempt}: {finding}");
            vec![Check { mark: Mark::Bad, what, finding, hint: Some(hint) }]
        }
    }
}

/// The hooks that the option brings; by tracepoints those of the better way say nothing new.
fn added<'a>(hooks: &'a [Hook], mode: Mode, default: &Default) -> Vec<&'a Hook> {
    let is_new = |hook: &&Hook| !default.hooks.contains(&place(hook));
    let in_use = |hook: &&Hook| mode != Mode::Tracepoints || hook.is_attached();
    hooks.iter().filter(is_new).filter(in_use).collect()
}

fn sentence(choice: &Choice, limits: &[String]) -> Check {
    let (mark, finding) = match limits {
        [] => (Mark::Ok, choice.sees.to_owned()),
        _ => (Mark::Note, limits.join("; ")),
    };
    Check { mark, what: choice.option.to_owned(), finding, hint: None }
}

#[cfg(test)]
mod tests {
    use super::{CHOICES, Default, added, sentence};
    use crate::cli::doctor::shown;
    use crate::kernel::{Hook, HookState, Kind, Mode};
    use crate::term::Paint;

    fn hook(function: &'static str, kind: Kind, unseen: Option<&'static str>, state: HookState) -> Hook {
        Hook { function, kind, unseen, state }
    }

    fn absent() -> HookState {
        HookState::Absent("this kernel has no such function".to_owned())
    }

    #[test]
    fn an_option_is_a_line_that_says_what_it_sees_or_does_not() {
        let [errno, search, holders] = &CHOICES;
        let missing =
            "connects that a security module refuses are not seen: no hook on security_socket_connect";
        let cases = [
            (
                sentence(errno, &[]),
                "ok         --errno all                   also sees refusals on this host and what the network answers, \
                 with the process that called\n",
            ),
            (
                sentence(errno, &[missing.to_owned()]),
                "note       --errno all                   connects that a security module refuses are not seen: no hook \
                 on security_socket_connect\n",
            ),
            (
                sentence(search, &[]),
                "ok         --search-time                 measures searches for a port\n",
            ),
            (
                sentence(holders, &[]),
                "ok         --holders                     remembers who connects, for as long as the kernel holds the \
                 port\n",
            ),
        ];
        for (check, expected) in cases {
            assert_eq!(shown(&check, Paint::Plain), expected);
        }
    }

    #[test]
    fn only_what_an_option_brings_is_told_of_it() {
        let default = Default { hooks: vec![("__inet_hash_connect", Kind::Exit)], limits: Vec::new() };
        let search = [
            hook("__inet_hash_connect", Kind::Exit, None, HookState::Attached),
            hook(
                "__inet_hash_connect",
                Kind::Entry,
                Some("the times of searches for a port"),
                HookState::Attached,
            ),
        ];
        let missing = [hook("inet_dgram_connect", Kind::Exit, Some("UDP connects that fail"), absent())];
        let cases: [(&str, &[Hook], Mode, &[Kind]); 3] = [
            ("at the other end of a function", &search, Mode::Functions, &[Kind::Entry]),
            ("one that is missing", &missing, Mode::Functions, &[Kind::Exit]),
            ("tracepoints in its place", &missing, Mode::Tracepoints, &[]),
        ];
        for (what, hooks, mode, expected) in cases {
            let kinds: Vec<_> = added(hooks, mode, &default).into_iter().map(|hook| hook.kind).collect();
            assert_eq!(kinds, expected, "{what}");
        }
    }
}
