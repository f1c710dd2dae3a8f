//! One run of a recorder: from its start to its end, or to where it stops without one.
//!
//! In: what its items say of it. Out: its ledger, as exact as it can be. Must not know: which rows it has.

use std::collections::BTreeMap;
use std::time::Duration;

use super::stretch::Stretch;
use super::wall::{WallNs, Window};
use crate::clock::Clock;
use crate::event::{
    BootNs, Cgroup, Counts, End, Errnos, Filter, LossReason, NoRoom, Row, Start, Summary, Text,
};

/// Hooks and limits of a session that are kept, and bytes of each.
const SENTENCES: usize = 64;
const SENTENCE_BYTES: usize = 512;
/// Bytes of a name: the host's, a thread's, that of a control group.
const NAME_BYTES: usize = 256;
/// Errors that were asked for: more than there are.
const ERRNOS: usize = 256;

/// What is known of one.
#[derive(Debug)]
pub(super) struct Session {
    /// Number of its host.
    pub(super) host: u16,
    /// How it began; none where that is missing.
    pub(super) start: Option<Start>,
    /// Whether not all of its hooks and limits had room.
    pub(super) is_cut: bool,
    /// From its boot clock to the time of day.
    pub(super) clock: Clock,
    /// Whether it goes on after others: its rows are those of its intervals then, as the first of them are in the sums.
    pub(super) is_resumed: bool,
    /// When something was last heard of it.
    pub(super) heard: Option<WallNs>,
    /// Failures whose detail is there.
    pub(super) delivered: u64,
    /// Failures whose detail was not sent.
    pub(super) suppressed: u64,
    /// Failures whose detail was lost; skipped runs as well.
    pub(super) lost: BTreeMap<LossReason, u64>,
    /// Until when intervals were counted.
    pub(super) counted_until: Option<BootNs>,
    /// The longest of these.
    pub(super) interval: Duration,
    /// Failures in them,
    pub(super) counted: u64,
    /// and those of them whose row is not known.
    pub(super) counted_other: u64,
    /// Failures seen since, and those without detail since.
    pub(super) seen_since: u64,
    pub(super) unseen_since: u64,
    /// The summary's rows, as they were.
    pub(super) rows: Vec<Row>,
    /// Those of them that had no room.
    pub(super) rows_left_out: u64,
    /// All failures of the summary, and those beyond its rows.
    pub(super) summed: Option<(u64, u64)>,
    /// Its own ledger.
    pub(super) end: Option<End>,
}

/// What became of failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// All of them; at least so many where `is_exact` is not set.
    pub(super) failures: u64,
    /// Whether that is the kernel's own count.
    pub(super) is_exact: bool,
    /// With detail.
    pub(super) delivered: u64,
    /// Without, as meant.
    pub(super) suppressed: u64,
    /// Without, by reason.
    pub(super) lost: BTreeMap<LossReason, u64>,
    /// The most that can be in no other number; none where that is not known.
    pub(super) possibly_missed: Option<u64>,
    /// Changes of settings that may be missing.
    pub(super) sysctls_lost: u64,
    /// How often a process was not looked up.
    pub(super) lookups_unanswered: u64,
    /// What had no room.
    pub(super) no_room: NoRoom,
    /// How long was watched.
    pub(super) watched: Duration,
}

impl Session {
    /// One that begins; hooks and limits take from `room_bytes`.
    pub(super) fn new(host: u16, start: Option<&Start>, room_bytes: &mut usize) -> Self {
        let clock = start.map_or_else(Clock::default, |start| Clock { boot_offset_ns: start.boot_offset_ns });
        let kept = start.map(|start| trimmed(start, room_bytes));
        let sentences = |start: &Start| start.hooks.len() + start.limits.len();
        let is_cut = start.map(sentences) > kept.as_ref().map(sentences);
        Self {
            host,
            start: kept,
            is_cut,
            clock,
            is_resumed: false,
            heard: start.map(|start| WallNs::of(start.at, clock)),
            delivered: 0,
            suppressed: 0,
            lost: BTreeMap::new(),
            counted_until: None,
            interval: Duration::ZERO,
            counted: 0,
            counted_other: 0,
            seen_since: 0,
            unseen_since: 0,
            rows: Vec::new(),
            rows_left_out: 0,
            summed: None,
            end: None,
        }
    }

    /// Whether this is its start again, behind what is of others.
    pub(super) fn goes_on_with(&self, start: &Start, host: u16) -> bool {
        let same = |own: &Start| (own.at, own.boot_offset_ns) == (start.at, start.boot_offset_ns);
        self.host == host && self.end.is_none() && self.start.as_ref().is_some_and(same)
    }

    /// Something that happened then.
    pub(super) fn hear(&mut self, at: WallNs) {
        self.heard = self.heard.max(Some(at));
    }

    /// An interval was counted.
    pub(super) fn count(&mut self, counts: &Counts) {
        self.counted_until = self.counted_until.max(Some(counts.to));
        let interval = Duration::from_nanos(counts.to.0.saturating_sub(counts.from.0));
        self.interval = self.interval.max(interval);
        (self.seen_since, self.unseen_since) = (0, 0);
    }

    /// Its summary; of its rows as many as `room` has room for are kept.
    pub(super) fn sum_up(&mut self, summary: &Summary, room: usize) {
        let all = summary.rows.iter().fold(summary.other, |sum, row| sum.saturating_add(row.count));
        self.summed = Some((all, summary.other));
        let (kept, rest) = summary.rows.split_at(room.min(summary.rows.len()));
        self.rows = kept.to_vec();
        self.rows_left_out = rest.len() as u64;
    }

    /// What became of its failures; with a window only of those in it, of which no end tells.
    pub(super) fn ledger(&self, window: Option<Window>) -> Ledger {
        let has_window = window.is_some();
        if let (Some(end), false) = (&self.end, has_window) {
            let mut lost: BTreeMap<_, _> = end.lost.iter().copied().collect();
            lost.extend(end.skipped_runs.filter(|runs| *runs > 0).map(|runs| (LossReason::SkippedRun, runs)));
            return Ledger {
                failures: end.failures,
                is_exact: true,
                delivered: end.delivered,
                suppressed: end.suppressed,
                lost,
                possibly_missed: end.possibly_missed,
                sysctls_lost: end.sysctls_lost,
                lookups_unanswered: end.lookups_unanswered,
                no_room: end.no_room,
                watched: end.watched,
            };
        }
        let summed = self.summed.filter(|_| !has_window).map(|(all, _)| all);
        let watched = self.watched(window).map_or(0, |(from, to)| to.0.saturating_sub(from.0));
        let watched = u64::try_from(watched).unwrap_or(0);
        // Of parts of the time nothing tells these: they are bounds of all of it.
        let bounds = self.end.as_ref().map(|end| (end.possibly_missed, end.sysctls_lost, end.no_room));
        let (possibly_missed, sysctls_lost, no_room) = bounds.unwrap_or_default();
        Ledger {
            failures: summed.unwrap_or_else(|| self.known()),
            is_exact: summed.is_some(),
            delivered: self.delivered,
            suppressed: self.suppressed,
            lost: self.lost.clone(),
            watched: Duration::from_nanos(watched),
            possibly_missed,
            sysctls_lost,
            lookups_unanswered: self.end.as_ref().map_or(0, |end| end.lookups_unanswered),
            no_room,
        }
    }

    /// From when to when it watched, as far as is known; none of `window` where it did not in that.
    pub(super) fn watched(&self, window: Option<Window>) -> Option<(WallNs, WallNs)> {
        let begun = self.start.as_ref().map(|start| WallNs::of(start.at, self.clock));
        let lasted = |end: &End| u64::try_from(end.watched.as_nanos()).unwrap_or(u64::MAX);
        let ended = self.start.as_ref().zip(self.end.as_ref());
        let ended =
            ended.map(|(start, end)| WallNs::of(BootNs(start.at.0.saturating_add(lasted(end))), self.clock));
        let last = ended.max(self.heard);
        let (first, last) = (begun.or(last)?, last.or(begun)?);
        let whole = Stretch::new(first, last.max(first));
        let part = whole.cut(window);
        let is_outside = window.is_some() && (part.from > whole.to || part.to < whole.from);
        (!is_outside).then_some((part.from, part.to))
    }

    /// Failures that are known without a summary.
    pub(super) fn known(&self) -> u64 {
        self.counted.saturating_add(self.seen_since).saturating_add(self.unseen_since)
    }
}

impl Ledger {
    /// What became of the failures of both.
    pub(super) fn and(mut self, other: Self) -> Self {
        for (reason, count) in other.lost {
            let lost = self.lost.entry(reason).or_default();
            *lost = lost.saturating_add(count);
        }
        let missed =
            self.possibly_missed.into_iter().chain(other.possibly_missed).reduce(u64::saturating_add);
        let NoRoom { callers, details, repeats, owners } = other.no_room;
        self.no_room.callers = self.no_room.callers.saturating_add(callers);
        self.no_room.details = self.no_room.details.saturating_add(details);
        self.no_room.repeats = self.no_room.repeats.saturating_add(repeats);
        self.no_room.owners = self.no_room.owners.saturating_add(owners);
        Self {
            failures: self.failures.saturating_add(other.failures),
            is_exact: self.is_exact && other.is_exact,
            delivered: self.delivered.saturating_add(other.delivered),
            suppressed: self.suppressed.saturating_add(other.suppressed),
            possibly_missed: missed,
            sysctls_lost: self.sysctls_lost.saturating_add(other.sysctls_lost),
            lookups_unanswered: self.lookups_unanswered.saturating_add(other.lookups_unanswered),
            watched: self.watched.saturating_add(other.watched),
            ..self
        }
    }
}

/// As much of it as a start of ours has; without hooks and limits where these are more than `room_bytes`.
fn trimmed(start: &Start, room_bytes: &mut usize) -> Start {
    let cut =
        |text: &String| text.get(..text.floor_char_boundary(SENTENCE_BYTES)).unwrap_or_default().to_owned();
    let Filter { tgid, comm, destination, netns, cgroup, errnos } = &start.filter;
    let named = |cgroup: &Cgroup| Cgroup { id: cgroup.id, path: name(&cgroup.path) };
    let errnos = match errnos {
        Errnos::These(errnos) => Errnos::These(errnos.iter().take(ERRNOS).copied().collect()),
        errnos => errnos.clone(),
    };
    let limits: Vec<String> = start.limits.iter().take(SENTENCES).map(cut).collect();
    let hooks: Vec<_> = start.hooks.iter().take(SENTENCES).map(|(name, how)| (cut(name), cut(how))).collect();
    let each = limits.iter().chain(hooks.iter().flat_map(|(name, how)| [name, how]));
    let bytes = each.map(|text| text.len() + size_of::<String>()).sum();
    let (limits, hooks) = match room_bytes.checked_sub(bytes) {
        Some(rest) => {
            *room_bytes = rest;
            (limits, hooks)
        }
        None => (Vec::new(), Vec::new()),
    };
    Start {
        version: cut(&start.version),
        host: name(&start.host),
        kernel: cut(&start.kernel),
        hooks,
        limits,
        filter: Filter {
            tgid: *tgid,
            comm: comm.as_ref().map(name),
            destination: *destination,
            netns: *netns,
            cgroup: cgroup.as_ref().map(named),
            errnos,
        },
        ..*start
    }
}

/// As much of a name as is kept.
pub(super) fn name(text: &Text) -> Text {
    Text(text.0.get(..NAME_BYTES).unwrap_or(&text.0).to_vec())
}
