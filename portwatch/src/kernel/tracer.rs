//! Loads the programs, attaches them, and lets go of them.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{MapError, RingBuf};
use aya::programs::ProgramFd;
use aya::programs::fexit::FExitLink;
use aya::{Ebpf, Pod};
use aya_log::EbpfLogger;
use portwatch_ebpf::abi;

use super::attach::{Hook, Refused, attach};
use super::plan::plan;
use super::preflight::running_kernels_types;
use super::refusal::{self, Refusal};
use super::ring::Ring;
use super::tables::Tables;
use super::{aya_btf, filter, layout};
use crate::event::Filter;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portwatch-hooks.o"));

/// Attached programs. Dropping it detaches them; nothing is ever pinned.
pub struct Tracer {
    ebpf: Ebpf,
    hooks: Vec<Hook>,
    _links: Vec<FExitLink>,
    tables: Tables,
}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Injected(abi::Settings);

// SAFETY: integers without padding (asserted in abi.rs), so every byte is initialised and any value is valid.
unsafe impl Pod for Injected {}

/// By which functions the search for a port is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortSearchBy {
    /// The best that works here.
    #[default]
    Best,
    /// The wrappers around `__inet_hash_connect`, also where that works; for tests.
    Wrappers,
}

impl Tracer {
    /// Loads and attaches what this kernel allows.
    ///
    /// # Errors
    /// [`Refused`] when a required hook is missing: the findings are sentences for the user.
    pub fn attach(filter: &Filter, by: PortSearchBy) -> Result<Self, Refused> {
        let (types, _) = running_kernels_types()?;
        let settings = Injected(abi::Settings {
            layout: layout::resolve(&types)
                .map_err(|error| refusal::unknown_structures(&error.to_string()))?,
            filter: filter::injected(filter),
        });
        let mut plan = plan(&types);
        if by == PortSearchBy::Wrappers {
            plan.port_search.remove(0);
        }
        let functions = plan.functions().filter_map(|name| Some((name, types.function(name)?))).collect();
        // Megabytes; the next step needs some of its own.
        drop(types);
        let btf = aya_btf::with_functions(functions);
        // Programs log only for somebody who reads it: the verifier removes what is below this level.
        let level: u8 = if log::log_enabled!(log::Level::Trace) { 4 } else { 0 };
        let mut ebpf = aya_btf::loader()
            .override_global("SETTINGS", &settings, true)
            .override_global(aya_log::LEVEL, &level, false)
            .load(OBJECT)
            .map_err(|error| refusal::of_object(&error))?;
        let attached = attach(&mut ebpf, &btf, &plan)?;
        let tables = Tables::take(&mut ebpf).map_err(|error| refusal::of_object(&error.into()))?;
        Ok(Self { ebpf, hooks: attached.hooks, _links: attached.links, tables })
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

    /// Runs of the hooks that the kernel is known to have skipped; none where it does not tell.
    #[must_use]
    pub fn skipped_runs(&self) -> Option<u64> {
        self.ebpf.programs().filter_map(|(_, program)| program.fd().ok()).map(skipped).sum()
    }

    /// Whether the kernel may have skipped a run of a port-search hook: on preemptible kernels a task that is
    /// preempted inside a program makes others on its processor skip it. Linux 5.12 and newer tell; older ones do
    /// not skip.
    #[must_use]
    pub fn port_search_missed(&self) -> bool {
        let hooks = self.ebpf.programs().filter(|(name, _)| name.starts_with("port_search"));
        // What cannot be read (an executable with file capabilities may not) cannot be ruled out.
        hooks.filter_map(|(_, program)| program.fd().ok()).any(|fd| skipped(fd) != Some(0))
    }

    /// Whether a hook runs that sees the search for a port on IPv4, or on IPv6.
    #[must_use]
    pub fn sees_port_search(&self, ipv6: bool) -> bool {
        let wrapper = if ipv6 { "inet6_hash_connect" } else { "inet_hash_connect" };
        self.hooks
            .iter()
            .filter(|hook| hook.is_attached())
            .any(|hook| hook.function == "__inet_hash_connect" || hook.function == wrapper)
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

/// How often the kernel has skipped this program because it was running on the processor already.
fn skipped(program: &ProgramFd) -> Option<u64> {
    let path = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
    let info = fs::read_to_string(path).ok()?;
    // Before 5.12 there is no such line, and no skipping.
    let count = info.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    count.map_or(Some(0), |count| count.trim().parse().ok())
}
