//! `portwatch doctor`: can this host be traced, by which hooks, and what to do if not.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;

mod confinement;
mod kubernetes;
mod names;
mod options;

use super::Outcome;
use super::output::Output;
use crate::enrich;
use crate::event::Filter;
use crate::kernel::preflight::{Confinement, Offered, TypeInformation, type_information};
use crate::kernel::{Hook, HookState, Mode, OUTSIDE, Refusal, Tracer, Watch, privilege_hint};
use crate::term::{Paint, named};

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Ok,
    /// Good to know, no obstacle.
    Note,
    Bad,
    NotTried,
}

struct Check {
    mark: Mark,
    what: String,
    finding: String,
    hint: Option<String>,
}

pub(super) fn run(paint: Paint) -> Result<Outcome> {
    let confinement = Confinement::of_this_process();
    let types = type_information();
    let promised = types.as_ref().ok().map(untried);
    let mut checks = vec![kernel(), type_check(types), lockdown(&confinement), privileges(&confinement)];
    let (hooks, outcome) = match promised {
        // Without them trying would only say again what is missing.
        None => (Vec::new(), Outcome::CannotTrace),
        Some(_) if confinement.missing_capabilities().is_empty() => tried(),
        Some(promised) => (promised, Outcome::CannotTrace),
    };
    checks.extend(hooks);
    checks.push(names::check(&enrich::reach()));
    checks.extend(kubernetes::tried());
    checks.extend(confinement::tried());
    say_each_hint_once(&mut checks);
    let mut text: String = checks.iter().map(|check| shown(check, paint)).collect();
    let gaps = checks.iter().any(|check| check.mark == Mark::Bad);
    text.push_str(match outcome {
        Outcome::CannotTrace => {
            "\nThis host cannot be traced as things are; the hints above say what to do.\n"
        }
        _ if gaps => "\nThis host can be traced: run `portwatch trace`. What FAILED above is not seen.\n",
        _ => "\nThis host can be traced: run `portwatch trace`.\n",
    });
    let mut output = Output::new();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(outcome)
}

/// Hooks are often refused for one reason: its hint stands below the last of them.
fn say_each_hint_once(checks: &mut [Check]) {
    let hints: Vec<Option<String>> = checks.iter().skip(1).map(|check| check.hint.clone()).collect();
    for (check, next) in checks.iter_mut().zip(hints) {
        if check.hint == next {
            check.hint = None;
        }
    }
}

fn kernel() -> Check {
    let finding = match nix::sys::utsname::uname() {
        Ok(names) => {
            format!("{} {} {}", named(names.sysname()), named(names.release()), named(names.machine()))
        }
        Err(error) => format!("unknown: {error}"),
    };
    Check { mark: Mark::Ok, what: "kernel".to_owned(), finding, hint: None }
}

fn type_check(types: Result<TypeInformation, Refusal>) -> Check {
    let what = "type information (BTF)".to_owned();
    match types {
        Ok(types) => {
            let finding = format!("/sys/kernel/btf/vmlinux, {} KiB", types.size_bytes / 1024);
            Check { mark: Mark::Ok, what, finding, hint: None }
        }
        Err(Refusal { finding, hint, .. }) => Check { mark: Mark::Bad, what, finding, hint: Some(hint) },
    }
}

fn lockdown(confinement: &Confinement) -> Check {
    let (mark, finding) = match confinement.lockdown.as_deref() {
        Some("none") => (Mark::Ok, "none".to_owned()),
        Some("confidentiality") => (
            Mark::Note,
            "confidentiality; no obstacle, but destinations of UDP and some IPv6 addresses are not read"
                .to_owned(),
        ),
        Some(level) => (Mark::Note, format!("{level}; no obstacle")),
        None => (Mark::Note, "unknown (securityfs is not mounted); no obstacle by itself".to_owned()),
    };
    Check { mark, what: "lockdown".to_owned(), finding, hint: None }
}

fn privileges(confinement: &Confinement) -> Check {
    let missing = confinement.missing_capabilities();
    let what = "privileges".to_owned();
    if missing.is_empty() {
        let mut finding = "CAP_BPF, CAP_PERFMON".to_owned();
        if confinement.user_namespace {
            // Writing to a String cannot fail.
            let _ =
                write!(finding, ", but in a user namespace of its own, where they do not reach the kernel");
        }
        if confinement.seccomp {
            let _ = write!(finding, "; a seccomp filter is on, which may block bpf()");
        }
        let mark = match (confinement.user_namespace, confinement.seccomp) {
            (true, _) => Mark::Bad,
            (false, true) => Mark::Note,
            (false, false) => Mark::Ok,
        };
        let hint = confinement.user_namespace.then(|| OUTSIDE.to_owned());
        return Check { mark, what, finding, hint };
    }
    Check {
        mark: Mark::Bad,
        what,
        finding: format!("missing {}", missing.join(" and ")),
        hint: Some(privilege_hint()),
    }
}

/// Loads and attaches for real, and lets go at once: whether it works is found by trying.
fn tried() -> (Vec<Check>, Outcome) {
    match Tracer::attach(&Watch::new(&Filter::default())) {
        Ok(tracer) => {
            let in_use = |hook: &&Hook| tracer.mode() != Mode::Tracepoints || hook.is_attached();
            let mut checks: Vec<Check> = tracer.hooks().iter().filter(in_use).map(hook).collect();
            for (check, hook) in checks.iter_mut().zip(tracer.hooks().iter().filter(in_use)) {
                // Another sees the same.
                if check.mark == Mark::Bad && tracer.is_seen_elsewhere(hook) {
                    check.mark = Mark::Note;
                }
            }
            checks.extend(better_way(&tracer));
            checks.push(way(&tracer));
            let default = options::Default::of(&tracer);
            // Two at a time would tell nothing more, and take twice the memory.
            drop(tracer);
            checks.extend(options::tried(&default));
            (checks, Outcome::Done)
        }
        Err(refused) => {
            let mut checks: Vec<Check> = refused.hooks.iter().map(hook).collect();
            let Refusal { attempt, finding, hint } = refused.refusal;
            if !checks.iter().any(|check| check.hint.as_ref() == Some(&hint)) {
                let finding = format!("could not {attempt}: {finding}");
                checks.push(Check {
                    mark: Mark::Bad,
                    what: "programs".to_owned(),
                    finding,
                    hint: Some(hint),
                });
            }
            (checks, Outcome::CannotTrace)
        }
    }
}

/// What type information promises, where trying is not permitted.
fn untried(types: &TypeInformation) -> Vec<Check> {
    let check = |Offered { function, kind, why_not }: &Offered| Check {
        mark: if why_not.is_none() { Mark::NotTried } else { Mark::Note },
        what: format!("hook {function}"),
        finding: why_not
            .clone()
            .unwrap_or_else(|| format!("{}: this kernel has it; not tried without privileges", kind.name())),
        hint: None,
    };
    types.offered.iter().map(check).collect()
}

/// Why a better way was not taken.
fn better_way(tracer: &Tracer) -> Option<Check> {
    if tracer.mode() != Mode::Tracepoints {
        return None;
    }
    let refused = tracer.hooks().iter().find(|hook| !hook.is_attached())?;
    let (why, hint) = match &refused.state {
        HookState::Attached => return None,
        HookState::Absent(why) => (why.clone(), None),
        HookState::Refused(refusal) => (refusal.finding.clone(), Some(refusal.hint.clone())),
    };
    let finding = format!("on {}: {why}", refused.function);
    Some(Check { mark: Mark::Note, what: "hooks on functions".to_owned(), finding, hint })
}

/// Which way was taken, and what it cannot do.
fn way(tracer: &Tracer) -> Check {
    let what = "way".to_owned();
    let limits = tracer.limits();
    let (mark, finding) = match (tracer.mode(), limits.is_empty()) {
        (Mode::Tracepoints, _) => (Mark::Note, limits.join("; ")),
        (_, true) => (Mark::Ok, "at the return of kernel functions".to_owned()),
        (_, false) => (Mark::Note, format!("at the return of kernel functions; {}", limits.join("; "))),
    };
    Check { mark, what, finding, hint: None }
}

fn hook(hook: &Hook) -> Check {
    let (mark, finding, hint) = match &hook.state {
        HookState::Attached => (Mark::Ok, format!("{}: loaded and attached", hook.kind.name()), None),
        HookState::Absent(why) => (Mark::Note, why.clone(), None),
        HookState::Refused(refusal) => (Mark::Bad, refusal.finding.clone(), Some(refusal.hint.clone())),
    };
    Check { mark, what: format!("hook {}", hook.function), finding, hint }
}

fn shown(check: &Check, paint: Paint) -> String {
    let mark = match check.mark {
        Mark::Ok => "ok        ".to_owned(),
        Mark::Note => "note      ".to_owned(),
        Mark::Bad => paint.strong("FAILED    "),
        Mark::NotTried => "not tried ".to_owned(),
    };
    let mut text = format!("{mark} {:<29} {}\n", check.what, check.finding);
    if let Some(hint) = &check.hint {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:41}hint: {hint}", "");
    }
    text
}
