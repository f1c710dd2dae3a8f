//! A report as it stands: what the three forms of it have in common.
//!
//! In: everything that was collected. Out: tables of a bounded size, in the order in which they are shown. Must not know:
//! how.

use std::cmp::Reverse;
use std::time::Duration;

use super::groups::{Top, top};
use super::places::{PortUse, Use};
use super::said::{Said, Sayings};
use super::series::Axis;
use super::session::{Ledger, Session};
use super::settings::Settings;
use super::tally::Entry;
use super::timeline::{Target, Timeline};
use super::wall::{WallNs, Window};
use super::{Report, gaps::Gaps};
use crate::diagnose::{Cause, Path, cause, counted, grouped};
use crate::event::{BootNs, Call, Errno, Fault, NetnsId, SearchRow, SearchTimes, Text, Tgid};
use crate::sink::words::{Group, GroupBy, wanted};

/// Rows of a table.
const ROWS: usize = 100;
/// Targets that the timeline tells apart, and places whose ports are shown over time.
pub(super) const LINES: usize = 8;
/// Places whose holders are shown.
const HELD: usize = 12;

/// What rows of one program have in common.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Program<'a> {
    pub(super) host: u16,
    pub(super) comm: &'a Text,
    pub(super) exe: Option<&'a Text>,
    pub(super) uid: u32,
}

/// Failures over time.
#[derive(Debug)]
pub(super) struct FailureChart {
    pub(super) axis: Axis,
    /// The most first, each with its sum.
    pub(super) targets: Vec<(Target, u64, Vec<u64>)>,
    /// Of further targets and of none.
    pub(super) others: (u64, Vec<u64>),
    /// How many targets these are.
    pub(super) more_targets: usize,
    /// All of them.
    pub(super) all: Vec<u64>,
}

/// Ports over time.
#[derive(Debug)]
pub(super) struct PortChart {
    pub(super) axis: Axis,
    /// Indices of `Model::places`, each with its values.
    pub(super) lines: Vec<(usize, Vec<Use>)>,
}

/// A verdict with what failed there.
#[derive(Debug)]
pub(super) struct Ranked<'a> {
    pub(super) said: &'a Said,
    pub(super) failures: u64,
    /// Whether these are shared with verdicts on other sources, as it is not counted from where calls failed.
    pub(super) is_of_all_sources: bool,
    /// Whether calls failed there, which another verdict explains.
    pub(super) is_said_of_failures: bool,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) window: Option<Window>,
    /// With a window: counts near its edges are exact to so much.
    pub(super) precision: Duration,
    pub(super) files: &'a [Text],
    pub(super) hosts: &'a [Text],
    pub(super) sessions: &'a [Session],
    pub(super) sessions_left_out: u64,
    pub(super) summary_rows_left_out: u64,
    /// Of all sessions.
    pub(super) ledger: Ledger,
    /// The first and the last thing that happened in them.
    pub(super) span: Option<(WallNs, WallNs)>,
    pub(super) verdicts: Vec<Ranked<'a>>,
    pub(super) sayings: &'a Sayings,
    pub(super) failures: Option<FailureChart>,
    /// Failures of which it is not known when they were.
    pub(super) untimed: u64,
    pub(super) ports: Option<PortChart>,
    /// The fullest places.
    pub(super) places: Vec<(u16, Path, &'a PortUse)>,
    /// Further places that are known,
    pub(super) places_left_out: u64,
    /// and whether there may be more.
    pub(super) has_more_places: bool,
    pub(super) snapshots: u64,
    /// What destinations come before, and units, containers or pods have a table by.
    pub(super) group_by: GroupBy,
    /// Units, containers or pods, of which hosts; none where that was not asked for.
    pub(super) groups: Option<Top<'a, (u16, Group)>>,
    pub(super) programs: Top<'a, Program<'a>>,
    pub(super) processes: Top<'a, (u16, Tgid, BootNs)>,
    pub(super) destinations: Top<'a, String>,
    pub(super) namespaces: Top<'a, (u16, NetnsId)>,
    pub(super) causes: Top<'a, (Cause, Errno)>,
    pub(super) settings: &'a Settings,
    pub(super) searches: Vec<&'a SearchRow>,
    pub(super) other_searches: &'a SearchTimes,
    pub(super) unmeasured_searches: u64,
    pub(super) gaps: &'a Gaps,
}

impl<'a> Model<'a> {
    /// That of everything that was collected.
    pub(super) fn of(report: &'a Report) -> Self {
        let ledgers = report.sessions.iter().map(|session| session.ledger(report.window));
        let ledger = ledgers.chain(report.left_out.clone()).reduce(Ledger::and).unwrap_or_default();
        let rows: Vec<&Entry> = report.tally.rows().collect();
        let known = rows.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.count));
        let others = ledger.failures.saturating_sub(known);
        let places: Vec<_> = report.places.by_fullness();
        let (places_left_out, has_more_places) = report.places.left_out();
        let ports = || places.iter().take(LINES).filter_map(|(.., place)| place.over_time.span());
        // One axis for both pictures, so that what happened at once stands in one line.
        let axis = Axis::over(report.timeline.all.span().into_iter().chain(ports()));
        let (failures, timed) = failure_chart(&report.timeline, axis);
        let watched = report.sessions.iter().filter_map(|session| session.watched(report.window));
        let instants =
            || watched.clone().flat_map(|(from, to)| [from, to]).chain(rows.iter().map(|entry| entry.first));
        let mut searches: Vec<_> = report.searches.rows.iter().collect();
        searches.sort_by_key(|row| Reverse((row.times.slow, row.times.count)));
        Self {
            window: report.window,
            precision: report.sessions.iter().map(|session| session.interval).max().unwrap_or_default(),
            files: &report.files,
            hosts: &report.hosts,
            sessions: &report.sessions,
            sessions_left_out: report.sessions_left_out,
            summary_rows_left_out: report.rows_left_out
                + report.sessions.iter().map(|session| session.rows_left_out).sum::<u64>(),
            span: instants().min().zip(instants().max()),
            verdicts: ranked(&report.sayings, &rows),
            sayings: &report.sayings,
            failures,
            untimed: ledger.failures.saturating_sub(timed),
            ports: axis.filter(|_| ports().next().is_some()).map(|axis| port_chart(&places, axis)),
            places: places.iter().take(HELD.max(LINES)).copied().collect(),
            places_left_out: places_left_out + places.len().saturating_sub(HELD.max(LINES)) as u64,
            has_more_places,
            snapshots: report.places.snapshots,
            group_by: report.group_by,
            groups: groups(&rows, others, report.group_by),
            programs: top(&rows, others, ROWS, program),
            processes: top(&rows, others, ROWS, |row| (row.key.host, row.key.tgid, row.key.start)),
            destinations: top(&rows, others, ROWS, |row| wanted(&row.key.fault)),
            namespaces: top(&rows, others, ROWS, |row| (row.key.host, row.key.netns)),
            causes: top(&rows, others, ROWS, |row| (cause(&row.key.fault), row.key.fault.errno)),
            settings: &report.settings,
            searches,
            other_searches: &report.searches.other,
            unmeasured_searches: report.searches.unmeasured,
            gaps: &report.gaps,
            ledger,
        }
    }

    /// The verdicts without those on places where calls failed as well, which have their own.
    pub(super) fn told(&self) -> Vec<&Ranked<'a>> {
        self.verdicts.iter().filter(|ranked| !ranked.is_said_of_failures).collect()
    }

    /// In words, how often it failed as a verdict explains; none where it is not known to have.
    pub(super) fn failed_so(ranked: &Ranked<'_>) -> Option<String> {
        let sources = if ranked.is_of_all_sources { ", from all sources" } else { "" };
        (ranked.failures > 0).then(|| format!("{} failed so{sources}", grouped(ranked.failures)))
    }

    /// In words, places beyond the first so many that are shown.
    pub(super) fn further_places(&self, shown: usize) -> Option<String> {
        let further = self.places.len().saturating_sub(shown) as u64 + self.places_left_out;
        let at_least = if self.has_more_places { "at least " } else { "" };
        (further > 0).then(|| format!("{at_least}{}", counted(further, "less full place")))
    }

    /// The name of a host, where there are several to tell apart.
    pub(super) fn host(&self, number: u16) -> Option<&'a Text> {
        (self.hosts.len() > 1).then(|| self.hosts.get(usize::from(number))).flatten()
    }
}

/// Processes and destinations have tables of their own.
fn groups<'a>(rows: &[&'a Entry], others: u64, by: GroupBy) -> Option<Top<'a, (u16, Group)>> {
    let group = |row: &Entry| (row.key.host, by.group(&row.comm, &row.details, &row.key.fault));
    let has_own = matches!(by, GroupBy::Process | GroupBy::Destination);
    (!has_own).then(|| top(rows, others, ROWS, group))
}

fn program(row: &Entry) -> Program<'_> {
    Program { host: row.key.host, comm: &row.comm, exe: row.details.exe(), uid: row.uid }
}

/// The ones where most failed first, then those that were said last.
fn ranked<'a>(sayings: &'a Sayings, rows: &[&Entry]) -> Vec<Ranked<'a>> {
    let place = |said: &Said| (said.host, said.verdict.path);
    let ranked = |said: &'a Said| {
        let failed = rows
            .iter()
            .filter(|row| row.key.host == said.host && is_about(said, &row.key.fault, row.key.netns));
        let explains = |other: &Said| other.verdict.cause.is_some() && place(other) == place(said);
        let is_said_of_failures = said.verdict.cause.is_none() && sayings.verdicts.iter().any(explains);
        let shares = |other: &Said| {
            let alike = Path { source: said.verdict.path.source, ..other.verdict.path };
            (other.host, other.verdict.cause, alike) == (said.host, said.verdict.cause, said.verdict.path)
                && other.verdict.path != said.verdict.path
        };
        let has_destination = said.verdict.path.destination.is_some();
        let is_of_all_sources = has_destination && sayings.verdicts.iter().any(shares);
        let failures = failed.fold(0_u64, |sum, row| sum.saturating_add(row.count));
        Ranked { said, failures, is_of_all_sources, is_said_of_failures }
    };
    let mut all: Vec<_> = sayings.verdicts.iter().map(ranked).collect();
    all.sort_by_key(|ranked| {
        Reverse((ranked.failures, ranked.said.verdict.cause.is_some(), ranked.said.last))
    });
    all
}

/// Whether this failed of what the verdict is about.
fn is_about(said: &Said, fault: &Fault, netns: NetnsId) -> bool {
    let Path { netns: there, source, destination, .. } = said.verdict.path;
    let is_there = match (source, destination) {
        (_, Some(destination)) => fault.destination() == Some(destination),
        (Some(source), None) if fault.call == Call::Bind => fault.address.ip() == source,
        _ => true,
    };
    netns == there && said.verdict.cause == Some(cause(fault)) && is_there
}

/// The chart, and the failures in it.
fn failure_chart(timeline: &Timeline, axis: Option<Axis>) -> (Option<FailureChart>, u64) {
    let Some(axis) = axis.filter(|_| !timeline.all.is_empty()) else { return (None, 0) };
    let all = timeline.all.along(&axis);
    let total = all.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let mut targets: Vec<_> = timeline.targets.iter().collect();
    targets.sort_by_key(|(target, (sum, _))| (Reverse(*sum), target.address));
    let rest = targets.split_off(LINES.min(targets.len()));
    let mut others = timeline.others.clone();
    rest.iter().for_each(|(_, (_, series))| others.merge(series));
    let targets: Vec<_> =
        targets.into_iter().map(|(target, (sum, series))| (*target, *sum, series.along(&axis))).collect();
    let named = targets.iter().fold(0_u64, |sum, (_, count, _)| sum.saturating_add(*count));
    let others = (total.saturating_sub(named), others.along(&axis));
    (Some(FailureChart { axis, targets, others, more_targets: rest.len(), all }), total)
}

fn port_chart(places: &[(u16, Path, &PortUse)], axis: Axis) -> PortChart {
    let lines = places.iter().take(LINES).enumerate();
    PortChart {
        axis,
        lines: lines.map(|(index, (.., place))| (index, place.over_time.along(&axis))).collect(),
    }
}
