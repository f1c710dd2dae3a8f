//! Loads programs and attaches them, as far as the kernel allows.

use std::io;

use aya::programs::{BtfTracePoint, FEntry, FExit, Program, ProgramError};
use aya::{Btf, Ebpf};

use super::multi::Multi;
use super::plan::{Feature, Kind, Planned};
use super::refusal::{self, Refusal};

/// A place in the kernel and what became of the hook there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The function or tracepoint.
    pub function: &'static str,
    /// How it is attached, or would be.
    pub kind: Kind,
    /// What is not seen without it; none where tracing is not possible without it, or something in its place.
    pub unseen: Option<&'static str>,
    /// What became of it.
    pub state: HookState,
}

/// What became of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It runs.
    Attached,
    /// This kernel has no such function, or one of another shape.
    Absent(String),
    /// The kernel refused.
    Refused(Refusal),
}

/// Why tracing is not possible here, and how far it got.
#[derive(Debug)]
pub struct Refused {
    /// The reason that decided.
    pub refusal: Refusal,
    /// Each hook that was tried.
    pub hooks: Vec<Hook>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, hooks: Vec::new() }
    }
}

impl Hook {
    /// Whether it runs.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.state == HookState::Attached
    }

    /// The reason for its absence, as one that decides about tracing.
    fn refusal(&self) -> Option<Refusal> {
        match &self.state {
            HookState::Attached => None,
            HookState::Absent(why) => Some(Refusal::new(
                format!("find {} in this kernel's type information", self.function),
                why,
                "this kernel is built without it, or it was inlined; please report it with the output of \
                 `portwatch doctor`",
            )),
            HookState::Refused(refusal) => Some(refusal.clone()),
        }
    }
}

/// Attaches by the plan: of the ways to see something the first that works. Programs run until `ebpf` is dropped.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    multi: &mut Multi,
    plan: &[Feature],
) -> Result<Vec<Hook>, Refused> {
    let mut hooks = Vec::new();
    let mut decisive = None;
    for feature in plan {
        let mut missing = None;
        for way in &feature.ways {
            let refusal = try_way(ebpf, btf, multi, way, feature.unseen, &mut hooks);
            if refusal.is_none() {
                missing = None;
                break;
            }
            missing = missing.or(refusal);
        }
        if feature.unseen.is_none() {
            decisive = decisive.or(missing);
        }
    }
    match decisive {
        Some(refusal) => Err(Refused { refusal, hooks }),
        None => Ok(hooks),
    }
}

/// Tries each hook of a way; returns why one that it needs does not run.
fn try_way(
    ebpf: &mut Ebpf,
    btf: &Btf,
    multi: &mut Multi,
    way: &[Planned],
    unseen: Option<&'static str>,
    hooks: &mut Vec<Hook>,
) -> Option<Refusal> {
    let mut missing = None;
    for Planned { function, kind, program, needed } in way {
        let state = match program {
            Err(why) => HookState::Absent(why.clone()),
            Ok(program) if matches!(kind, Kind::MultiEntry | Kind::MultiExit) => {
                match try_multi(multi, program, function, *kind) {
                    Ok(()) => HookState::Attached,
                    Err(error) => HookState::Refused(refusal::of_multi(function, &error)),
                }
            }
            Ok(program) => match try_one(ebpf, btf, program, function) {
                Ok(()) => HookState::Attached,
                Err(error) => HookState::Refused(refusal::of_program(function, &error)),
            },
        };
        let unseen = if *needed { unseen } else { Some("details of IPv6 shortages") };
        let hook = Hook { function, kind: *kind, unseen, state };
        if *needed {
            missing = missing.or(hook.refusal());
        }
        hooks.push(hook);
    }
    missing
}

fn try_multi(multi: &mut Multi, program: &'static str, function: &str, kind: Kind) -> io::Result<()> {
    if kind == Kind::MultiExit {
        multi.attach_around("call_begins", program, function)
    } else {
        multi.attach(program, function)
    }
}

fn try_one(ebpf: &mut Ebpf, btf: &Btf, program: &str, function: &str) -> Result<(), ProgramError> {
    match ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)? {
        Program::FExit(program) => {
            FExit::load(program, function, btf)?;
            program.attach().map(|_| ())
        }
        Program::FEntry(program) => {
            FEntry::load(program, function, btf)?;
            program.attach().map(|_| ())
        }
        Program::BtfTracePoint(program) => {
            BtfTracePoint::load(program, function, btf)?;
            program.attach().map(|_| ())
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
