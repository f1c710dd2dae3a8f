//! Loads programs and attaches them, as far as the kernel allows.

use aya::programs::fexit::FExitLink;
use aya::programs::{FExit, ProgramError};
use aya::{Btf, Ebpf};

use super::plan::{Plan, Planned};
use super::refusal::{self, Refusal};

/// A kernel function and what became of the hook at its return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The function.
    pub function: &'static str,
    /// Whether tracing without it, or something in its place, is not worth the name.
    pub required: bool,
    /// What became of it.
    pub state: HookState,
}

/// What became of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It runs, as an fexit program.
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

/// Attached programs: they run until the links are dropped.
pub(super) struct Attached {
    pub(super) hooks: Vec<Hook>,
    pub(super) links: Vec<FExitLink>,
}

/// Attaches by the plan: of the ways to see the port search the first that works.
pub(super) fn attach(ebpf: &mut Ebpf, btf: &Btf, plan: &Plan) -> Result<Attached, Refused> {
    let mut attached = Attached { hooks: Vec::new(), links: Vec::new() };
    let mut decisive = None;
    for way in &plan.port_search {
        let refusal = attached.try_all(ebpf, btf, way);
        if refusal.is_none() {
            decisive = None;
            break;
        }
        decisive = decisive.or(refusal);
    }
    decisive = decisive.or(attached.try_all(ebpf, btf, &plan.connect));
    match decisive {
        Some(refusal) => Err(Refused { refusal, hooks: attached.hooks }),
        None => Ok(attached),
    }
}

impl Attached {
    /// Tries each; returns why a required one does not run.
    fn try_all(&mut self, ebpf: &mut Ebpf, btf: &Btf, planned: &[Planned]) -> Option<Refusal> {
        let mut decisive = None;
        for plan in planned {
            let state = match &plan.program {
                Err(why) => HookState::Absent(why.clone()),
                Ok(program) => match try_one(ebpf, btf, program, plan.function) {
                    Ok(link) => {
                        self.links.push(link);
                        HookState::Attached
                    }
                    Err(error) => HookState::Refused(refusal::of_program(plan.function, &error)),
                },
            };
            let hook = Hook { function: plan.function, required: plan.required, state };
            if plan.required {
                decisive = decisive.or(hook.refusal());
            }
            self.hooks.push(hook);
        }
        decisive
    }
}

fn try_one(ebpf: &mut Ebpf, btf: &Btf, program: &str, function: &str) -> Result<FExitLink, ProgramError> {
    let program = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?;
    let program: &mut FExit = program.try_into()?;
    program.load(function, btf)?;
    let link = program.attach()?;
    program.take_link(link)
}
