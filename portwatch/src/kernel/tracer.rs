//! Loads the programs, attaches them, and lets go of them.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{CgroupArray, MapError, RingBuf};
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported};
use aya::{Ebpf, Pod};
use aya_log::EbpfLogger;
use aya_obj::generated::bpf_prog_info;
use portwatch_ebpf::abi;

use super::attach::{Hook, Refused, attach};
use super::btf::Btf;
use super::cgroup::OpenCgroup;
use super::multi::Multi;
use super::plan::{self, Kind, Wanted};
use super::preflight::{preempts, running_kernels_types};
use super::refusal::{self, Refusal};
use super::ring::Ring;
use super::tables::{Counters, Tables};
use super::{aya_btf, bpf, filter, layout, sysctls};
use crate::event::{Errnos, Filter, NetnsId};

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portwatch-hooks.o"));

/// Attached programs. Dropping it detaches them; nothing is ever pinned.
pub struct Tracer {
    ebpf: Ebpf,
    /// More of them.
    multi: Multi,
    /// Whether a witness is attached, and the kernel tells how often it was skipped.
    witness_is_told: bool,
    hooks: Vec<Hook>,
    mode: Mode,
    /// What programs do here.
    duties: abi::Duties,
    /// Whether it was asked who connects.
    asks_owners: bool,
    tables: Tables,
}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Injected(abi::Settings);

// SAFETY: integers without padding (asserted in abi.rs), so every byte is initialised and any value is valid.
unsafe impl Pod for Injected {}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct InjectedSysctls(abi::SysctlLayout);

// SAFETY: as above.
unsafe impl Pod for InjectedSysctls {}

/// By what failures are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Programs at the return of kernel functions.
    Functions,
    /// The same, with the wrappers around the port search instead of the search.
    Wrappers,
    /// Tracepoints, where programs cannot be attached to functions.
    Tracepoints,
}

impl Mode {
    /// What this way cannot see or say, as a sentence; none for the best one.
    #[must_use]
    pub fn limits(self) -> Option<&'static str> {
        match self {
            Self::Functions | Self::Wrappers => None,
            Self::Tracepoints => Some(
                "by tracepoints: every system call of the host costs some 120 instructions more; not seen is what io_uring, \
                 32-bit programs and the kernel itself do, but for connects that find the range exhausted, nor how \
                 long searches take",
            ),
        }
    }
}

/// What to watch for.
#[derive(Debug, Clone)]
pub struct Watch<'a> {
    /// Which failures.
    pub filter: &'a Filter,
    /// Only in this way; the best that works here where none is given.
    pub mode: Option<Mode>,
    /// Whether to measure searches for a port.
    pub search_times: bool,
    /// Records that one process × destination × cause may send in 1.07 s.
    pub detail_per_window: u32,
    /// Places to remember in who connected sockets; rounded up to a power of two. None remembers nobody.
    pub owners: Option<u32>,
    /// The control group of the filter.
    pub cgroup: Option<&'a OpenCgroup>,
    /// The network namespace whose changed settings others must not hide: the own one, or the only one that is wanted.
    pub own_netns: Option<NetnsId>,
}

impl<'a> Watch<'a> {
    /// The failures that pass `filter`, by the best means.
    #[must_use]
    pub fn new(filter: &'a Filter) -> Self {
        let detail_per_window = abi::DETAIL_PER_WINDOW;
        Self {
            filter,
            mode: None,
            search_times: false,
            detail_per_window,
            owners: None,
            cgroup: None,
            own_netns: None,
        }
    }

    fn wanted(&self, probe_reads: bool) -> Wanted {
        Wanted {
            all_errors: self.filter.errnos != Errnos::Shortage,
            search_times: self.search_times,
            witness: preempts(),
            probe_reads,
        }
    }
}

impl Tracer {
    /// Loads and attaches what this kernel allows.
    ///
    /// # Errors
    /// [`Refused`] when a required hook is missing: the findings are sentences for the user.
    pub fn attach(watch: &Watch<'_>) -> Result<Self, Refused> {
        let (types, _) = running_kernels_types()?;
        let attach = |mode| Self::attach_by(watch, mode, &types);
        match watch.mode {
            Some(mode) => attach(mode),
            None => attach(Mode::Functions).or_else(|refused| {
                // The better way's reasons are what somebody who wants it needs to know.
                let mut tracer = attach(Mode::Tracepoints).map_err(|_| Refused {
                    refusal: refused.refusal.clone(),
                    hooks: refused.hooks.clone(),
                })?;
                tracer.hooks.splice(0..0, refused.hooks.into_iter().filter(|hook| !hook.is_attached()));
                Ok(tracer)
            }),
        }
    }

    fn attach_by(watch: &Watch<'_>, mode: Mode, types: &Btf) -> Result<Self, Refused> {
        let probe_reads = probe_reads();
        let wanted = watch.wanted(probe_reads);
        if mode == Mode::Tracepoints && !probe_reads {
            return Err(refusal::no_kernel_reads().into());
        }
        let mut plan = match mode {
            Mode::Tracepoints => plan::by_tracepoints(types, wanted),
            Mode::Functions | Mode::Wrappers => plan::by_functions(types, wanted),
        };
        if mode == Mode::Wrappers {
            for feature in &mut plan {
                feature.ways.retain(|way| way[0].function != "__inet_hash_connect");
            }
        }
        let means = layout::duties(types, probe_reads);
        // Without cookies there is nothing to remember them by.
        let owners = match watch.owners.filter(|_| means.cookies == 1) {
            Some(owners) => owners.clamp(abi::OWNERS_LEAST, abi::OWNERS_MOST).next_power_of_two(),
            None => 0,
        };
        let settings = Injected(abi::Settings {
            layout: layout::resolve(types)
                .map_err(|error| refusal::unknown_structures(&error.to_string()))?,
            filter: filter::injected(watch.filter),
            duties: abi::Duties {
                all_errors: wanted.all_errors.into(),
                search_times: wanted.search_times.into(),
                tracepoints: match mode {
                    Mode::Tracepoints => abi::TRACEPOINTS_ALONE,
                    _ if plan::makes_up(&plan) => abi::TRACEPOINTS_MAKE_UP,
                    _ => 0,
                },
                detail_per_window: watch.detail_per_window,
                successes: (wanted.all_errors || owners != 0).into(),
                owners,
                ..means
            },
        });
        // Programs log only for somebody who reads it: the verifier removes what is below this level.
        let level: u8 = if log::log_enabled!(log::Level::Trace) { 4 } else { 0 };
        let mut loader = aya_btf::loader();
        // Where a kernel lacks one of these, no program is attached that reads them.
        let sysctls = InjectedSysctls(abi::SysctlLayout {
            own_netns: watch.own_netns.map_or(0, |id| id.0),
            ..sysctls::resolve(types).unwrap_or_default()
        });
        loader
            .override_global("SETTINGS", &settings, true)
            .override_global("SYSCTL_LAYOUT", &sysctls, true)
            .override_global(aya_log::LEVEL, &level, false);
        // Maps that nobody will use take no memory.
        let used = [
            ("CALLERS", wanted.all_errors),
            ("ANSWERS", wanted.all_errors),
            ("SEARCHES", wanted.search_times),
            ("SEARCH_BEGAN", wanted.search_times),
            ("CALLS", wanted.witness && mode != Mode::Tracepoints),
            ("STASHES", mode == Mode::Tracepoints),
            ("SYSCTLS_BEFORE", probe_reads),
            ("TRANSPORTED", wanted.all_errors && mode != Mode::Tracepoints),
            ("CROWDED_TRANSPORTED", wanted.all_errors && mode != Mode::Tracepoints),
        ];
        for (map, _) in used.iter().filter(|(_, used)| !used) {
            loader.map_max_entries(map, 1);
        }
        let owner_groups = (owners / abi::OWNERS_GROUP).max(1);
        loader.map_max_entries("OWNERS", owner_groups);
        let mut ebpf = loader.load(OBJECT).map_err(|error| refusal::of_object(&error))?;
        drop(loader);
        sysctls::watch(&mut ebpf).map_err(|error| refusal::of_object(&error.into()))?;
        if let Some(cgroup) = watch.cgroup {
            choose(&mut ebpf, cgroup).map_err(|error| refusal::of_object(&error.into()))?;
        }
        let btf = aya_btf::of_plan(types, &plan).map_err(|error| refusal::bad_btf(&error.to_string()))?;
        let mut multi = Multi::new(&ebpf);
        let hooks = attach(&mut ebpf, &btf, &mut multi, &plan)?;
        multi.all_are_attached();
        let witness = hooks.iter().find(|hook| hook.is_attached() && hook.function == plan::WITNESS);
        // Of programs by kprobe.multi Linux before 6.7 does not count what it skips.
        let is_told = |hook: &Hook| hook.kind == Kind::Entry || plan::returns_are_whole(types);
        let witness_is_told = witness.is_some_and(is_told);
        let tables =
            Tables::take(&mut ebpf, owner_groups).map_err(|error| refusal::of_object(&error.into()))?;
        let tracer = Self {
            ebpf,
            multi,
            witness_is_told,
            hooks,
            mode,
            duties: settings.0.duties,
            asks_owners: watch.owners.is_some(),
            tables,
        };
        tracer.log_verified();
        Ok(tracer)
    }

    /// Makes the programs count and send; before, and after [`Self::stop`], they do neither.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start(&mut self) -> Result<(), MapError> {
        self.tables.run(true)
    }

    /// The hooks, attached or not.
    #[must_use]
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// By what failures are seen.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What is not seen here, in sentences.
    #[must_use]
    pub fn limits(&self) -> Vec<String> {
        let mut limits: Vec<String> = self.mode.limits().map(str::to_owned).into_iter().collect();
        if self.duties.task_by == abi::TASK_NOT_READ {
            limits.push(
                "this kernel is locked down, and too old to tell when processes started: one that has the pid of an \
                 earlier one is taken for it"
                    .to_owned(),
            );
        }
        if self.duties.probe_reads == 0 {
            limits.push(
                "this kernel is locked down: destinations of UDP and parts of IPv6 addresses are not read"
                    .to_owned(),
            );
        }
        if self.asks_owners && self.duties.owners == 0 {
            limits.push(
                "this kernel gives programs no cookies of sockets (Linux 5.12 and newer do): who connected what is in \
                 TIME_WAIT is known only of sockets that portwatch saw open before"
                    .to_owned(),
            );
        }
        if self.duties.owners != 0 && self.mode == Mode::Tracepoints {
            limits.push("by tracepoints: connects that fail take room for holders, too".to_owned());
        }
        for hook in self.hooks.iter().filter(|hook| !hook.is_attached()) {
            // Ways that were tried before the one that works have nothing to say.
            let Some(unseen) = hook.unseen else { continue };
            // Tracepoints have limits of their own, but for what no tracepoint sees.
            let is_missing = match hook.function {
                plan::SYSCTL_WRITE => !self.sees_sysctls(),
                _ => self.mode != Mode::Tracepoints && !self.is_seen_elsewhere(hook),
            };
            let limit = format!("{unseen} are not seen: no hook on {}", hook.function);
            if is_missing && !limits.contains(&limit) {
                limits.push(limit);
            }
        }
        limits
    }

    /// Whether another hook sees what this one would.
    #[must_use]
    pub fn is_seen_elsewhere(&self, hook: &Hook) -> bool {
        self.hooks.iter().any(|other| other.is_attached() && other.unseen == hook.unseen)
    }

    /// Whether every system call of this process may keep programs from seeing somebody else's failure: by tracepoints they
    /// run at each, and a kernel that preempts may stop one there, which makes others on its processor skip it.
    #[must_use]
    pub fn is_disturbed_by_calls(&self) -> bool {
        self.mode == Mode::Tracepoints && preempts()
    }

    /// Of how many sockets it remembers who connected them; 0 where it does not.
    #[must_use]
    pub fn owners(&self) -> u32 {
        self.duties.owners
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

    /// Runs of programs that the kernel is known to have skipped, since attach; none where it does not tell. On preemptible kernels a task that is preempted inside a
    /// program makes others on its processor skip it. Linux 5.12 and newer tell; older ones do not skip.
    #[must_use]
    pub fn skipped_runs(&self) -> Option<SkippedRuns> {
        let mut runs = SkippedRuns::default();
        for (name, program) in self.loaded() {
            let count = skipped(program)? + self.multi.missed(name)?;
            match name {
                _ if name.starts_with("port_search") => runs.search += count,
                "state_changed" if self.mode == Mode::Tracepoints => runs.search += count,
                "tcp_v4_connect" => runs.connect += count,
                "tcp_v6_connect" => runs.connect_v6 += count,
                _ if name.starts_with("connect_fails") && !self.witness_is_told => {}
                _ if name.starts_with("connect_fails") => *runs.witness.get_or_insert(0) += count,
                // Of no call that fails or succeeds; without its beginning a change has no old value.
                "sysctl_written" => runs.sysctls += count,
                "sysctl_write_begins" => {}
                // What these do not see nobody misses.
                _ if name.starts_with("search_begins") => runs.harmless += count,
                "bind_v4" | "bind_v6" | "autobind" => runs.calls += count,
                // Where it is skipped, it makes up for less.
                plan::MAKES_UP => runs.harmless += count,
                _ => runs.alone += count,
            }
        }
        Some(runs)
    }

    /// The loaded programs, by name. Most of the object never are.
    fn loaded(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        let programs = self.ebpf.programs();
        let loaded = programs.filter_map(|(name, program)| Some((name, program.fd().ok()?.as_fd())));
        loaded.chain(self.multi.programs())
    }

    /// Says what starting took: it is the kernel's verifier that takes most of it, for each instruction on each path.
    fn log_verified(&self) {
        for (name, program) in self.loaded() {
            if let Some(info) = bpf::info::<bpf_prog_info>(program) {
                log::debug!("{name}: {} instructions verified", info.verified_insns);
            }
        }
    }

    /// Whether a hook runs that sees the search for a port on IPv4, or on IPv6.
    #[must_use]
    pub fn sees_port_search(&self, ipv6: bool) -> bool {
        let wrapper = if ipv6 { "inet6_hash_connect" } else { "inet_hash_connect" };
        let seen = match self.mode {
            Mode::Tracepoints => ["inet_sock_set_state"; 2],
            Mode::Functions | Mode::Wrappers => ["__inet_hash_connect", wrapper],
        };
        let attached = self.hooks.iter().filter(|hook| hook.is_attached() && hook.kind != Kind::Entry);
        attached.into_iter().any(|hook| seen.contains(&hook.function))
    }

    /// Whether a hook tells of settings that are changed.
    #[must_use]
    pub fn sees_sysctls(&self) -> bool {
        let sees = |hook: &Hook| hook.function == plan::SYSCTL_WRITE && hook.kind == Kind::Exit;
        self.hooks.iter().any(|hook| hook.is_attached() && sees(hook))
    }

    /// Makes the programs count and send nothing more. They are detached when this is dropped, which may take the
    /// kernel a while.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<(), MapError> {
        self.tables.run(false)
    }
}

/// Runs of programs that the kernel has skipped, by what the programs see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SkippedRuns {
    /// Of those that see the search for a port.
    pub search: u64,
    /// Of the one that sees IPv4 connects return, those of searches included.
    pub connect: u64,
    /// Of the one that sees IPv6 connects return, those of searches included.
    pub connect_v6: u64,
    /// Of the one that sees failed searches that the others were skipped for; none where it is not attached.
    pub witness: Option<u64>,
    /// Of those that see binds, and sockets of UDP that get no port.
    pub calls: u64,
    /// Of those that see what no other program sees.
    pub alone: u64,
    /// Of those that see no failure.
    pub harmless: u64,
    /// Of the one that sees settings change; not among [`Self::total`], which is about calls.
    pub sysctls: u64,
}

impl SkippedRuns {
    /// All of them that are about connects, binds and calls that send.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.search
            + self.connect
            + self.connect_v6
            + self.witness.unwrap_or(0)
            + self.calls
            + self.alone
            + self.harmless
    }

    /// Those since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            search: self.search.saturating_sub(before.search),
            connect: self.connect.saturating_sub(before.connect),
            connect_v6: self.connect_v6.saturating_sub(before.connect_v6),
            witness: self.witness.map(|runs| runs.saturating_sub(before.witness.unwrap_or(0))),
            calls: self.calls.saturating_sub(before.calls),
            alone: self.alone.saturating_sub(before.alone),
            harmless: self.harmless.saturating_sub(before.harmless),
            sysctls: self.sysctls.saturating_sub(before.sysctls),
        }
    }

    /// The most failures that no program saw, where programs at functions see them and only shortages are asked for.
    ///
    /// A failure is missed only if the connect program was skipped and the search program had nothing to report. Over
    /// IPv4 the search program was skipped, too, as every shortage passes it; over IPv6 there may have been no search.
    /// Runs that the other program made up for are no part of such a pair. Where there is a witness, it must have been
    /// skipped as well, or have left it to the connect program.
    #[must_use]
    pub fn missed_shortages(&self, counters: &Counters) -> u64 {
        let connect = (self.connect + self.connect_v6).saturating_sub(counters.connect_made_up);
        let full = counters.details_full;
        let search = (self.search + full).saturating_sub(counters.search_made_up);
        let search = self.witness.map_or(search, |runs| search.min(runs + counters.unproven + full));
        connect.min(search + self.connect_v6) + self.missed_calls(counters)
    }

    /// The most that are no connects of TCP.
    fn missed_calls(&self, counters: &Counters) -> u64 {
        self.calls.saturating_sub(counters.calls_made_up) + self.alone + counters.calls_unknown
    }

    /// The same where every error is asked for: most pass no search.
    #[must_use]
    pub fn missed_errors(&self, counters: &Counters) -> u64 {
        (self.connect + self.connect_v6).saturating_sub(counters.connect_made_up)
            + self.missed_calls(counters)
    }
}

/// Whether programs may read kernel memory by address: not where the kernel is locked down for confidentiality.
fn probe_reads() -> bool {
    is_helper_supported(ProgramType::RawTracePoint, BpfHelper::BPF_FUNC_probe_read_kernel).unwrap_or(false)
}

/// Tells the programs whose calls are reported.
fn choose(ebpf: &mut Ebpf, cgroup: &OpenCgroup) -> Result<(), MapError> {
    let map = ebpf.map_mut("CGROUP").ok_or_else(|| MapError::InvalidName { name: "CGROUP".to_owned() })?;
    CgroupArray::try_from(map)?.set(0, cgroup.folder(), 0)
}

/// How often the kernel has skipped this program because it was running on the processor already. Before 5.12 it has no
/// such number, and does not skip.
fn skipped(program: BorrowedFd<'_>) -> Option<u64> {
    bpf::info::<bpf_prog_info>(program).map(|info| info.recursion_misses)
}

#[cfg(test)]
mod tests {
    use super::SkippedRuns;
    use crate::kernel::Counters;

    #[test]
    fn what_another_program_made_up_for_is_not_missed() {
        let made_up = |search_made_up, connect_made_up| Counters {
            search_made_up,
            connect_made_up,
            unproven: 1,
            ..Counters::default()
        };
        let runs = |search, connect, connect_v6, alone| SkippedRuns {
            search,
            connect,
            connect_v6,
            calls: 0,
            alone,
            harmless: 9,
            sysctls: 9,
            witness: None,
        };
        let with_witness = |skipped, runs| SkippedRuns { witness: Some(skipped), ..runs };
        let calls = |calls, runs| SkippedRuns { calls, ..runs };
        let calls_made_up = |calls_made_up, counters| Counters { calls_made_up, ..counters };
        let cases = [
            ("nothing was skipped", runs(0, 0, 0, 0), made_up(0, 0), 0, 0),
            ("searches only, all made up for", runs(5, 0, 0, 0), made_up(5, 0), 0, 0),
            ("each made up for the other", runs(5, 3, 0, 0), made_up(5, 3), 0, 0),
            ("a pair may be of one failure", runs(5, 3, 0, 0), made_up(4, 2), 1, 1),
            ("connects only: no shortage over IPv4 is missed", runs(0, 4, 0, 0), made_up(0, 0), 0, 4),
            ("over IPv6 there may have been no search", runs(0, 0, 4, 0), made_up(0, 1), 3, 3),
            ("binds, made up for", calls(5, runs(0, 0, 0, 0)), calls_made_up(5, made_up(0, 0)), 0, 0),
            ("binds, some of them", calls(5, runs(0, 0, 0, 0)), calls_made_up(3, made_up(0, 0)), 2, 2),
            ("what one alone sees", runs(0, 0, 0, 2), made_up(0, 0), 2, 2),
            (
                "a witness leaves what it could not prove",
                with_witness(0, runs(9, 8, 0, 0)),
                made_up(0, 0),
                1,
                8,
            ),
            ("a witness may be skipped, too", with_witness(2, runs(9, 8, 0, 0)), made_up(0, 0), 3, 8),
        ];
        for (what, runs, counters, shortages, errors) in cases {
            assert_eq!(runs.missed_shortages(&counters), shortages, "{what}");
            assert_eq!(runs.missed_errors(&counters), errors, "{what}");
        }
    }
}
