//! What a stream says of itself: start, losses, what is missing, end. And settings that were changed meanwhile.

use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::bounded::{Bounded, Pairs};
use super::strings::{FromText, Hex, Named, Of, Parsed, exact};
use super::who::Who;
use crate::event::{
    BootNs, Cgroup, CgroupId, Destination, End, Filter, LossReason, Lost, Missing, MissingWhy, NetnsId,
    NoRoom, SettingChange, Start, Suppressed, Text, Tgid,
};
use crate::lines::SCHEMA;
use crate::lines::words::Word as _;

/// More than there are programs, and ways to attach each.
const MOST_HOOKS: usize = 1024;

/// More sentences than anybody reads.
pub(super) const MOST_LIMITS: usize = 256;

/// More reasons than there are.
const MOST_REASONS: usize = 64;

/// Those of `start`. Without these two no time can be told; what else is missing, as another version wrote it, is not known.
#[derive(Deserialize)]
pub(super) struct StartFields {
    schema: Option<u64>,
    monotonic_ns: u64,
    boot_offset_ns: i64,
    #[serde(default)]
    portwatch: String,
    host: Option<Of<Text>>,
    host_hex: Option<Of<Hex>>,
    #[serde(default)]
    kernel: String,
    #[serde(default)]
    hooks: Pairs<String, String, MOST_HOOKS>,
    #[serde(default)]
    limits: Bounded<String, MOST_LIMITS>,
    #[serde(default)]
    filters: FilterFields,
    warn_permille: Option<u32>,
    part: Option<u32>,
    first_part: Option<u32>,
}

impl StartFields {
    /// That in which the lines are meant, where it is a later one.
    pub(super) fn newer_schema(&self) -> Option<u64> {
        self.schema.filter(|schema| *schema > u64::from(SCHEMA))
    }

    pub(super) fn start(self) -> Start {
        Start {
            version: self.portwatch,
            host: self.host.map(|host| exact(host, self.host_hex)).unwrap_or_default(),
            kernel: self.kernel,
            hooks: self.hooks.0,
            limits: self.limits.0,
            at: BootNs(self.monotonic_ns),
            boot_offset_ns: self.boot_offset_ns,
            filter: self.filters.into(),
            warn_permille: self.warn_permille,
            part: self.part,
            first_part: self.first_part,
        }
    }
}

#[derive(Deserialize, Default)]
struct FilterFields {
    pid: Option<u32>,
    comm: Option<Of<Text>>,
    comm_hex: Option<Of<Hex>>,
    destination: Option<There>,
    netns: Option<u32>,
    cgroup: Option<u64>,
    cgroup_path: Option<Of<Text>>,
    cgroup_path_hex: Option<Of<Hex>>,
    errno: Option<Named>,
}

impl From<FilterFields> for Filter {
    fn from(fields: FilterFields) -> Self {
        let path = fields.cgroup_path.map(|path| exact(path, fields.cgroup_path_hex)).unwrap_or_default();
        Self {
            tgid: fields.pid.map(Tgid),
            comm: fields.comm.map(|comm| exact(comm, fields.comm_hex)),
            destination: fields.destination.map(Destination::from),
            netns: fields.netns.map(NetnsId),
            cgroup: fields.cgroup.map(|id| Cgroup { id: CgroupId(id), path }),
            errnos: fields.errno.map(|Named(errnos)| errnos).unwrap_or_default(),
        }
    }
}

/// A network and a port.
#[derive(Deserialize)]
pub(super) struct There {
    network: Option<Of<Parsed<IpNet>>>,
    port: Option<u16>,
}

impl From<There> for Destination {
    fn from(there: There) -> Self {
        Self { network: there.network.map(|Of(Parsed(network))| network), port: there.port }
    }
}

/// Why something was lost; of which nobody here has heard is not accounted for.
struct Reason(LossReason);

impl FromText for Reason {
    const NAME: &'static str = "reason";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(LossReason::of(text).unwrap_or(LossReason::Unaccounted)))
    }
}

/// Those of `lost`.
#[derive(Deserialize)]
pub(super) struct LostFields {
    reason: Of<Reason>,
    count: u64,
    from_ns: u64,
    to_ns: u64,
}

impl From<LostFields> for Lost {
    fn from(LostFields { reason, count, from_ns, to_ns }: LostFields) -> Self {
        Self { reason: reason.0.0, count, from: BootNs(from_ns), to: BootNs(to_ns) }
    }
}

/// Those of `suppressed`.
#[derive(Deserialize)]
pub(super) struct SuppressedFields {
    count: u64,
    from_ns: u64,
    to_ns: u64,
}

impl From<SuppressedFields> for Suppressed {
    fn from(SuppressedFields { count, from_ns, to_ns }: SuppressedFields) -> Self {
        Self { count, from: BootNs(from_ns), to: BootNs(to_ns) }
    }
}

/// Those of `sysctl`.
#[derive(Deserialize)]
pub(super) struct SysctlFields {
    monotonic_ns: u64,
    key: Of<Text>,
    key_hex: Option<Of<Hex>>,
    netns: u32,
    old: Option<String>,
    new: String,
    process: Option<Who>,
}

impl From<SysctlFields> for SettingChange {
    fn from(fields: SysctlFields) -> Self {
        Self {
            at: BootNs(fields.monotonic_ns),
            key: exact(fields.key, fields.key_hex),
            netns: NetnsId(fields.netns),
            old: fields.old,
            new: fields.new,
            by: fields.process.map(|Who(process)| process),
        }
    }
}

/// Those of `missing`.
#[derive(Deserialize)]
pub(super) struct MissingFields {
    why: String,
    #[serde(default)]
    error: String,
    file: Option<Of<Text>>,
    file_hex: Option<Of<Hex>>,
    #[serde(default)]
    lines: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    schema: u64,
}

impl MissingFields {
    pub(super) fn missing(self) -> Missing {
        let why = match self.why.as_str() {
            "unreadable" => MissingWhy::Unreadable(self.error),
            "not_written" => MissingWhy::NotWritten(self.error),
            "cut_off" => MissingWhy::CutOff,
            "damaged" => MissingWhy::Damaged,
            "too_large" => MissingWhy::TooLarge,
            "malformed" => MissingWhy::Malformed,
            "unknown_type" => MissingWhy::UnknownType,
            "rows_of_snapshot" => MissingWhy::RowsOfSnapshot,
            "no_start" => MissingWhy::NoStart,
            "no_end" => MissingWhy::NoEnd,
            "earlier_parts" => MissingWhy::EarlierParts,
            "part" => MissingWhy::Part,
            "newer_schema" => MissingWhy::NewerSchema(self.schema),
            _ => MissingWhy::Other(self.why),
        };
        let file = self.file.map(|file| exact(file, self.file_hex));
        Missing { why, file, lines: self.lines, bytes: self.bytes }
    }
}

/// Those of `end`.
#[derive(Deserialize)]
pub(super) struct EndFields {
    failures: u64,
    delivered: u64,
    suppressed: u64,
    #[serde(default)]
    beyond_count: u64,
    lost: Pairs<Of<Reason>, u64, MOST_REASONS>,
    skipped_runs: Option<u64>,
    possibly_missed: Option<u64>,
    owners: Option<u64>,
    #[serde(default)]
    no_room: NoRoomFields,
    #[serde(default)]
    sysctls_lost: u64,
    #[serde(default)]
    lookups_unanswered: u64,
    #[serde(default)]
    watched_ns: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NoRoomFields {
    callers: u64,
    details: u64,
    repeats: u64,
    owners: u64,
}

impl From<EndFields> for End {
    fn from(fields: EndFields) -> Self {
        let NoRoomFields { callers, details, repeats, owners } = fields.no_room;
        Self {
            failures: fields.failures,
            delivered: fields.delivered,
            suppressed: fields.suppressed,
            beyond_count: fields.beyond_count,
            lost: summed(fields.lost),
            skipped_runs: fields.skipped_runs,
            possibly_missed: fields.possibly_missed,
            owners: fields.owners,
            no_room: NoRoom { callers, details, repeats, owners },
            sysctls_lost: fields.sysctls_lost,
            lookups_unanswered: fields.lookups_unanswered,
            watched: Duration::from_nanos(fields.watched_ns),
        }
    }
}

/// Each reason once, as several words may be the same to this version.
fn summed(lost: Pairs<Of<Reason>, u64, MOST_REASONS>) -> Vec<(LossReason, u64)> {
    let mut sums: Vec<(LossReason, u64)> = Vec::new();
    for (Of(Reason(reason)), count) in lost.0 {
        match sums.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => *sum = sum.saturating_add(count),
            None => sums.push((reason, count)),
        }
    }
    sums
}
