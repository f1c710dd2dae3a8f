//! The facts that flow through portwatch, typed.
//!
//! In: nothing. Out: [`Item`], what sources yield and sinks show, and the newtypes of its numbers. Must not know:
//! where facts come from, what they mean, how they are shown.

mod details;
mod ports;
mod range;
mod searches;
mod sysctl;
mod usage;

pub use details::{Container, Details, Pod, PodName, Runtime, State};
pub use ports::{Holder, Holding, Namespace, Occupancy, Scope, Settings, Snapshot, SocketState, TimeWait};
pub use range::PortRange;
pub use searches::{RecentSearch, RecentSearches, SearchRow, SearchTimes, Searches};
pub use sysctl::{Setting, SettingChange};
pub use usage::Usage;

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// A thread-group id in the initial pid namespace: what operators call the pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tgid(pub u32);

/// A thread id in the initial pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

/// The inode number of a network namespace, as in `readlink /proc/PID/ns/net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId(pub u32);

/// A version 2 control group id: the inode number of its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupId(pub u64);

/// A version 2 control group by its name, too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// Which.
    pub id: CgroupId,
    /// Its folder when it was looked for.
    pub path: Text,
}

/// Nanoseconds of `CLOCK_BOOTTIME`: since boot, time asleep included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootNs(pub u64);

/// A positive error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub u16);

impl Errno {
    /// `EADDRINUSE`, include/uapi/asm-generic/errno.h.
    pub const EADDRINUSE: Self = Self(98);
    /// `EADDRNOTAVAIL`, as above.
    pub const EADDRNOTAVAIL: Self = Self(99);
    /// One more than the largest number that names exist for.
    const END: u16 = 192;

    /// The symbol, such as `EADDRNOTAVAIL`; the number where there is none.
    #[must_use]
    pub fn name(self) -> String {
        match nix::errno::Errno::from_raw(self.0.into()) {
            nix::errno::Errno::UnknownErrno => self.0.to_string(),
            known => format!("{known:?}"),
        }
    }

    /// The number behind a symbol, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        (1..Self::END).map(Self).find(|errno| {
            errno.name().eq_ignore_ascii_case(name) && !name.starts_with(|first: char| first.is_ascii_digit())
        })
    }
}

/// Bytes that a process chose: a thread's name, a path, an argument. Hostile: escaped where shown to a
/// terminal, exact everywhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// A path or another name of the system, exactly.
    #[must_use]
    pub fn of(name: impl AsRef<OsStr>) -> Self {
        Self(name.as_ref().as_encoded_bytes().to_vec())
    }
}

/// Who failed, who holds a port, who changed a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// With `start` the identity of a process. 0 where the caller is not known, as it connected before
    /// watching began, or has been forgotten for newer ones.
    pub tgid: Tgid,
    /// Start of the thread-group leader; 0 where the kernel does not let programs read it.
    pub start: BootNs,
    /// The calling thread; none in a summary, which is about whole processes.
    pub tid: Option<Tid>,
    /// Name of the calling thread, or in a summary of the thread-group leader.
    pub comm: Text,
    /// In the initial user namespace.
    pub uid: u32,
    /// In the initial user namespace.
    pub gid: u32,
    /// The control group it was in.
    pub cgroup: CgroupId,
    /// What else is known of it; shared, as thousands of failures of one process have the same.
    pub details: Arc<Details>,
}

#[cfg(test)]
impl Process {
    /// One for tests that ask who it is only.
    pub(crate) fn with_id(tgid: u32) -> Self {
        Self {
            tgid: Tgid(tgid),
            start: BootNs(1),
            tid: None,
            comm: Text::default(),
            uid: 0,
            gid: 0,
            cgroup: CgroupId(0),
            details: Arc::default(),
        }
    }
}

/// The system call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// connect(2), or what reaches the same kernel function.
    Connect,
    /// bind(2), or what reaches the same kernel function.
    Bind,
    /// sendto(2) or another call that sends: over a socket without a port, or connecting on the way.
    Sendto,
}

/// The transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// MPTCP, or TCP as a path of it.
    Mptcp,
}

/// Where in the kernel a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The search for a local port returned the error (`__inet_hash_connect`).
    PortSearch,
    /// Something else in TCP's connect did: before a port was searched (no route, no source address), or after one
    /// was found.
    OutsidePortSearch,
    /// bind(2) did.
    Bind,
    /// A socket that was used without a port got none (`inet_autobind`).
    Autobind,
    /// A security module, a control group's program or the socket layer refused; or UDP did.
    SocketLayer,
    /// The network answered, or did not, after the packet was out.
    Network,
    /// The hook that would tell may not have run, or there is none.
    Unknown,
}

/// What happened, without when and to whom: all that a cause is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The call.
    pub call: Call,
    /// The transport.
    pub protocol: Protocol,
    /// Its error.
    pub errno: Errno,
    /// Where it failed.
    pub stage: Stage,
    /// Whether the socket had a local port before a search began.
    pub had_port: bool,
    /// Where it wanted to go, or the local address that a bind wanted; unspecified where the caller gave none that
    /// could be read. An IPv4 address in its own form also if an IPv6 socket was used.
    pub address: SocketAddr,
    /// Whether an IPv6 socket was used with an IPv4 address.
    pub v4_mapped: bool,
    /// Whether the socket is the kernel's own, or a thread of the kernel called.
    pub kernel_socket: bool,
}

#[cfg(test)]
impl Fault {
    /// For tests: a connect() of TCP that found no port.
    pub(crate) fn no_port(destination: impl Into<SocketAddr>) -> Self {
        Self {
            call: Call::Connect,
            protocol: Protocol::Tcp,
            errno: Errno::EADDRNOTAVAIL,
            stage: Stage::PortSearch,
            had_port: false,
            address: destination.into(),
            v4_mapped: false,
            kernel_socket: false,
        }
    }
}

/// One failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When the kernel returned the error.
    pub at: BootNs,
    /// What happened.
    pub fault: Fault,
    /// To whom.
    pub process: Process,
    /// The socket's network namespace.
    pub netns: NetnsId,
    /// Address and port that the socket had, or that a bind wanted; the unspecified address and 0 where it had none.
    pub source: SocketAddr,
    /// The namespace's range at that moment.
    pub port_range: PortRange,
    /// What the socket itself allows of it (`IP_LOCAL_PORT_RANGE`), where it does not allow all.
    pub own_range: Option<PortRange>,
    /// Time spent looking for a port, where that was measured.
    pub search: Option<Duration>,
}

/// First item of every stream: what is being watched, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Version of portwatch.
    pub version: String,
    /// Host name.
    pub host: Text,
    /// Kernel release.
    pub kernel: String,
    /// Hooks, with how each is attached or why it is not.
    pub hooks: Vec<(String, String)>,
    /// What cannot be seen in this way on this host, in sentences.
    pub limits: Vec<String>,
    /// When watching began.
    pub at: BootNs,
    /// Wall-clock time minus boot-clock time, nanoseconds, measured once at start.
    pub boot_offset_ns: i64,
    /// What is reported.
    pub filter: Filter,
    /// From which share of the usable ports on it warns, in thousandths; none where it does not.
    pub warn_permille: Option<u32>,
    /// Of a recording in parts, which one this begins: from 1 on. The rest of the item is that of the first.
    pub part: Option<u32>,
    /// The number of the part that its recording began with: more than 1 where it went on in the folder of another.
    pub first_part: Option<u32>,
}

/// Exact counts of what happened since the last such item, lost and suppressed detail included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Since.
    pub from: BootNs,
    /// Until.
    pub to: BootNs,
    /// One row a process, namespace and fault; [`Row::first`] is that of all, [`Row::last`] falls into this interval.
    pub rows: Vec<Row>,
    /// Failures beyond the table's bound, whose row is not known.
    pub other: u64,
}

/// What a capture should have, and has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Why.
    pub why: MissingWhy,
    /// In which file; none where the line itself is in the file.
    pub file: Option<Text>,
    /// Lines, where they could be counted.
    pub lines: u64,
    /// Bytes of the file, where it is damaged.
    pub bytes: u64,
}

impl Missing {
    /// Of that file, where nothing can be counted.
    #[must_use]
    pub fn of(file: Option<Text>, why: MissingWhy) -> Self {
        Self { why, file, lines: 0, bytes: 0 }
    }
}

/// Why something is missing in a capture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissingWhy {
    /// It could not be written; with what the system said.
    NotWritten(String),
    /// The file ends within a frame: its recorder was killed, or the file was cut.
    CutOff,
    /// Bytes that are no frame, or whose checksum is wrong.
    Damaged,
    /// A frame or a line that is larger than any that is written.
    TooLarge,
    /// The system did not let the file be read on; with what it said.
    Unreadable(String),
    /// A line that is not what its type demands.
    Malformed,
    /// Lines of a type that this version does not know.
    UnknownType,
    /// Rows of a snapshot that were announced.
    RowsOfSnapshot,
    /// There is no start: it was damaged, or the lines are only a part. What time of day it was is not known.
    NoStart,
    /// There is no end: the recorder was killed, or goes on.
    NoEnd,
    /// Earlier parts, which made room.
    EarlierParts,
    /// A part between others.
    Part,
    /// What the numbers and words mean here: a later version wrote this schema, and may mean something else.
    NewerSchema(u64),
    /// What a later version says with this word.
    Other(String),
}

impl MissingWhy {
    /// As it stands in lines.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::NotWritten(_) => "not_written",
            Self::CutOff => "cut_off",
            Self::Damaged => "damaged",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown_type",
            Self::RowsOfSnapshot => "rows_of_snapshot",
            Self::NoStart => "no_start",
            Self::NoEnd => "no_end",
            Self::EarlierParts => "earlier_parts",
            Self::Part => "part",
            Self::NewerSchema(_) => "newer_schema",
            Self::Other(word) => word,
        }
    }
}

/// Why the detail of a failure is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LossReason {
    /// The kernel's ring was full.
    RingFull,
    /// The queue between ring and output was full.
    QueueFull,
    /// A record that is not one.
    MalformedRecord,
    /// Counted by the kernel, never seen in the ring, and no counter says why; or for a reason that this version does not
    /// know.
    Unaccounted,
    /// The kernel skipped runs of programs, or they came too late to learn what the call was about. No detail of a counted
    /// failure is missing for it, so it is not in [`End::lost`]: see [`End::possibly_missed`].
    SkippedRun,
}

/// Losses since the last such item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub reason: LossReason,
    /// How many.
    pub count: u64,
    /// Since.
    pub from: BootNs,
    /// Until.
    pub to: BootNs,
}

/// Failures since the last such item whose detail was not sent, because there was enough of its kind in about that second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppressed {
    /// How many.
    pub count: u64,
    /// Since.
    pub from: BootNs,
    /// Until.
    pub to: BootNs,
}

/// Exact counts of everything that happened, lost detail included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// One row a process, namespace and fault.
    pub rows: Vec<Row>,
    /// Failures beyond the table's bound, whose row is not known.
    pub other: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Who.
    pub process: Process,
    /// Where.
    pub netns: NetnsId,
    /// What.
    pub fault: Fault,
    /// How often.
    pub count: u64,
    /// First.
    pub first: BootNs,
    /// Last.
    pub last: BootNs,
}

/// Last item of every stream: the ledger. `failures = delivered + suppressed + Σ lost`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct End {
    /// Exact total.
    pub failures: u64,
    /// Shown in detail.
    pub delivered: u64,
    /// Not shown: more of a kind in a second than anybody reads, or `beyond_count`.
    pub suppressed: u64,
    /// Of these the ones after as many as were asked for.
    pub beyond_count: u64,
    /// Not shown, by reason; reasons without a loss are absent.
    pub lost: Vec<(LossReason, u64)>,
    /// Runs of programs that the kernel skipped, or that came too late to learn what the call was about; for calls that failed or
    /// succeeded. None where it does not tell.
    pub skipped_runs: Option<u64>,
    /// The most failures that can be in no other number: those whose every program was skipped. What one program
    /// missed and another reported is not among them. None where the kernel does not tell.
    pub possibly_missed: Option<u64>,
    /// Sockets that connected, and whose owner was remembered. None where that was not asked for, or cannot be.
    pub owners: Option<u64>,
    /// What the kernel side's tables had no room for.
    pub no_room: NoRoom,
    /// The most changes of settings that are in no item: those that found no room, and runs of the program that the
    /// kernel skipped.
    pub sysctls_lost: u64,
    /// How often a process was not looked up, or not wholly, as reading /proc took too long.
    pub lookups_unanswered: u64,
    /// How long was watched.
    pub watched: Duration,
}

/// What tables of the kernel side had no room for, by what that costs. The table of counts is not among them, as it
/// costs nothing but a row: [`Summary::other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoRoom {
    /// Connects under way of which nobody will know who called, should the network answer with an error.
    pub callers: u64,
    /// Failures with less detail than was seen: the cause may be unknown.
    pub details: u64,
    /// Failures that may be counted twice.
    pub repeats: u64,
    /// Sockets whose owner was forgotten for newer ones while they could still be in TIME_WAIT.
    pub owners: u64,
}

/// What flows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// First.
    Start(Start),
    /// One failed call.
    Failure(Failure),
    /// Detail was lost.
    Lost(Lost),
    /// Detail was not sent.
    Suppressed(Suppressed),
    /// A setting was changed.
    Sysctl(SettingChange),
    /// How long searches took; before the summary, if that was asked for.
    Searches(Searches),
    /// Some searches of the last seconds were slow.
    RecentSearches(RecentSearches),
    /// Who holds the local ports.
    Ports(Snapshot),
    /// Exact counts of an interval; where something is recorded.
    Counts(Counts),
    /// Something that should be here is not; of recordings only.
    Missing(Missing),
    /// Last but one.
    Summary(Summary),
    /// Last.
    End(End),
}

/// Which errors are reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Errnos {
    /// Those of a shortage of local ports.
    #[default]
    Shortage,
    /// These.
    These(Vec<Errno>),
    /// Every one.
    All,
}

/// A network, and a port if one was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// None for every address.
    pub network: Option<IpNet>,
    /// None for every port.
    pub port: Option<u16>,
}

impl Destination {
    /// Whether this is there.
    #[must_use]
    pub fn covers(&self, address: SocketAddr) -> bool {
        self.network.is_none_or(|network| network.contains(&address.ip()))
            && self.port.is_none_or(|port| port == address.port())
    }
}

/// Which failures are reported and counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only this process.
    pub tgid: Option<Tgid>,
    /// Only threads of this name.
    pub comm: Option<Text>,
    /// Only to there.
    pub destination: Option<Destination>,
    /// Only of sockets in this network namespace; of settings, only of its.
    pub netns: Option<NetnsId>,
    /// Only of callers in this control group or one below it.
    pub cgroup: Option<Cgroup>,
    /// Only with these errors.
    pub errnos: Errnos,
}

impl Fault {
    /// Where it wanted to go; a bind wants to go nowhere.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        (self.call != Call::Bind).then_some(self.address)
    }
}

/// The address of an IPv6 socket's peer as the packets would carry it: an IPv4-mapped one is IPv4.
#[must_use]
pub fn on_the_wire(address: [u8; 16]) -> IpAddr {
    // ::ffff:0:0/96. As one number, as each failure has two of them.
    const MAPPED: u128 = 0xffff << 32;
    let bits = u128::from_be_bytes(address);
    u32::try_from(bits ^ MAPPED).map_or(Ipv6Addr::from_bits(bits).into(), |v4| Ipv4Addr::from_bits(v4).into())
}
