//! Loads the programs, attaches them, and lets go of them.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{MapError, RingBuf};
use aya::programs::fexit::FExitLink;
use aya::programs::{FExit, ProgramError};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Pod};
use aya_log::EbpfLogger;
use portwatch_ebpf::abi;

use super::btf::Btf;
use super::plan::{Planned, plan};
use super::refusal::{self, Refusal};
use super::ring::Ring;
use super::tables::Tables;
use super::{filter, layout};
use crate::event::Filter;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portwatch-hooks.o"));

/// A kernel function and what became of the hook at its return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The function.
    pub function: &'static str,
    /// What became of it.
    pub state: HookState,
}

/// What became of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// It runs; how.
    Attached(String),
    /// This kernel has no such function, or one of another shape.
    Absent(String),
    /// The kernel refused.
    Refused(Refusal),
}

/// Attached programs. Dropping it detaches them; nothing is ever pinned.
pub struct Tracer {
    ebpf: Ebpf,
    hooks: Vec<Hook>,
    _links: Vec<FExitLink>,
    tables: Tables,
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

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Injected(abi::Settings);

// SAFETY: integers without padding (asserted in abi.rs), so every byte is initialised and any value is valid.
unsafe impl Pod for Injected {}

impl Tracer {
    /// Loads and attaches what this kernel allows.
    ///
    /// # Errors
    /// [`Refused`] when a required hook is missing: the findings are sentences for the user.
    pub fn attach(filter: &Filter) -> Result<Self, Refused> {
        let bytes =
            fs::read("/sys/kernel/btf/vmlinux").map_err(|error| refusal::no_btf(&error.to_string()))?;
        let types = Btf::parse(bytes).map_err(|error| refusal::no_btf(&error.to_string()))?;
        let settings = Injected(abi::Settings {
            layout: layout::resolve(&types).map_err(|error| refusal::no_btf(&error.to_string()))?,
            filter: filter::injected(filter),
        });
        let planned = plan(&types);
        drop(types);
        // Programs log only for somebody who reads it: the verifier removes what is below this level.
        let level: u8 = if log::log_enabled!(log::Level::Trace) { 4 } else { 0 };
        let btf = AyaBtf::from_sys_fs().map_err(|error| refusal::no_btf(&error.to_string()))?;
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("SETTINGS", &settings, true)
            .override_global(aya_log::LEVEL, &level, false)
            .load(OBJECT)
            .map_err(|error| refusal::of_object(&error))?;
        let (hooks, links) = attach_all(&mut ebpf, &btf, &planned)?;
        let tables = Tables::take(&mut ebpf).map_err(|error| refusal::of_object(&error.into()))?;
        Ok(Self { ebpf, hooks, _links: links, tables })
    }

    /// The hooks, attached or not.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// Counts and losses.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The ring; there is one, so this works once.
    ///
    /// # Errors
    /// When the ring was taken before, or cannot be mapped into memory.
    pub fn take_ring(&mut self) -> Result<Ring, Refusal> {
        let attempt = "map the ring of events into memory";
        let map = self
            .ebpf
            .take_map("EVENTS")
            .ok_or_else(|| Refusal::new(attempt, "it is taken", "report this"))?;
        let ring = RingBuf::try_from(map).map_err(|error| refusal::of_object(&error.into()))?;
        let logger =
            if log::log_enabled!(log::Level::Trace) { EbpfLogger::init(&mut self.ebpf).ok() } else { None };
        Ok(Ring::new(ring, logger))
    }

    /// Whether the kernel may have skipped a run of a port-search hook: on preemptible kernels a task that is
    /// preempted inside a program makes others on its processor skip it. Linux 5.12 and newer tell; older ones do
    /// not skip.
    #[must_use]
    pub fn port_search_missed(&self) -> bool {
        self.ebpf.programs().filter(|(name, _)| name.starts_with("port_search")).any(|(_, program)| {
            let Ok(fd) = program.fd() else { return false };
            let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
            // What cannot be read (an executable with file capabilities may not) cannot be ruled out.
            fs::read_to_string(path).map_or(true, |info| {
                info.lines()
                    .any(|line| line.strip_prefix("recursion_misses:").is_some_and(|n| n.trim() != "0"))
            })
        })
    }

    /// Whether a port-search hook runs at all.
    #[must_use]
    pub fn sees_port_search(&self) -> bool {
        let attached = |hook: &Hook| matches!(hook.state, HookState::Attached(_));
        self.hooks.iter().any(|hook| hook.function.contains("hash_connect") && attached(hook))
    }

    /// Makes the programs count and send nothing more. They are detached when this is dropped, which may take the
    /// kernel a while.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<(), MapError> {
        self.tables.stop()
    }
}

fn attach_all(
    ebpf: &mut Ebpf,
    btf: &AyaBtf,
    planned: &[Planned],
) -> Result<(Vec<Hook>, Vec<FExitLink>), Refused> {
    let (mut hooks, mut links) = (Vec::new(), Vec::new());
    let mut decisive = None;
    for plan in planned {
        let state = match plan.program.clone() {
            Err(why) => {
                if plan.required {
                    decisive.get_or_insert_with(|| not_here(plan.function, &why));
                }
                HookState::Absent(why)
            }
            Ok(program) => match attach(ebpf, btf, program, plan.function) {
                Ok(link) => {
                    links.push(link);
                    HookState::Attached("fexit".to_owned())
                }
                Err(error) => {
                    let refusal = refusal::of_program(plan.function, &error);
                    decisive = decisive.or_else(|| plan.required.then(|| refusal.clone()));
                    HookState::Refused(refusal)
                }
            },
        };
        hooks.push(Hook { function: plan.function, state });
    }
    match decisive {
        Some(refusal) => Err(Refused { refusal, hooks }),
        None => Ok((hooks, links)),
    }
}

fn not_here(function: &str, why: &str) -> Refusal {
    Refusal::new(
        format!("find {function} in this kernel's type information"),
        why,
        "this kernel is built without it, or it was inlined; please report it with the output of `portwatch doctor`",
    )
}

fn attach(ebpf: &mut Ebpf, btf: &AyaBtf, program: &str, function: &str) -> Result<FExitLink, ProgramError> {
    let program = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?;
    let program: &mut FExit = program.try_into()?;
    program.load(function, btf)?;
    let link = program.attach()?;
    program.take_link(link)
}
