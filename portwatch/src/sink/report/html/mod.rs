//! A report as one file for a browser: no script, nothing from elsewhere.
//!
//! In: the model. Out: HTML, in the order in which somebody asks: what, what is missing, why and what helps, when, who,
//! where. What strangers chose is made visible by `term::clean`, and escaped when it is written.

mod evidence;
mod plot;
mod ports;
mod style;
mod tables;

use std::io::{self, Write};

use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::dial::Dial;
use super::model::{FailureChart, Model};
use super::session::Session;
use super::wall::WallNs;
use super::{places::Use, story};
use crate::diagnose::{counted, grouped, lasting};
use crate::event::{Errnos, Filter, LossReason};
use crate::sink::words::{GroupBy, reason_words};
use crate::term::clean;
use plot::Marks;

/// Nothing is loaded, nothing runs; styles stand in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
/// Changes that are marked in pictures.
const MARKED: usize = 9;
/// Sessions that are described.
const SESSIONS: usize = 20;
/// What could not be seen that is listed.
const LIMITS: usize = 40;

/// The whole page.
pub(super) fn write(model: &Model<'_>, output: &mut dyn Write, zone: &TimeZone) -> io::Result<()> {
    let dial = Dial::new(zone, model.span.into_iter().flat_map(|(from, to)| [from, to]));
    let changes: Vec<i64> =
        model.settings.changes.iter().take(MARKED).map(|change| change.at.second()).collect();
    let marks = Marks { dial: &dial, changes: &changes };
    let missing = story::missing(model, &dial);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title(model)) }
                style { (PreEscaped(style::STYLE)) }
            }
            body {
                main {
                    (header(model, &dial))
                    (figures(model))
                    @if !missing.is_empty() { (banner(&missing)) }
                    (evidence::verdicts(model, &dial))
                    @if let Some(chart) = &model.failures { (failures(model, chart, &marks)) }
                    (ports::over_time(model, &marks))
                    (tables::groups(model, &dial))
                    @if model.group_by == GroupBy::Destination { (tables::destinations(model, &dial)) }
                    (tables::who(model, &dial))
                    @if model.group_by != GroupBy::Destination { (tables::destinations(model, &dial)) }
                    (ports::holders(model, &dial))
                    (tables::settings(model, &dial))
                    (tables::searches(model))
                    (lost(model))
                    (recorded(model, &dial))
                    footer { "Written by portwatch " (env!("CARGO_PKG_VERSION")) ". Times of day are those of the zone above." }
                }
            }
        }
    };
    output.write_all(page.into_string().as_bytes())
}

fn title(model: &Model<'_>) -> String {
    format!("portwatch: {}{}", counted(model.ledger.failures, "failed call"), story::hosts(model))
}

fn header(model: &Model<'_>, dial: &Dial) -> Markup {
    let sentence = story::sentence(model, dial);
    // The first sentence is the heading. A host's name may have dots, but no blank behind them.
    let (first, rest) =
        sentence.split_once(". ").map_or((sentence.as_str(), ""), |(first, rest)| (first, rest));
    html! {
        header {
            p.eyebrow { "portwatch report" }
            h1 id="what" { (tied(first.trim_end_matches('.'))) }
            @if !rest.is_empty() { p.lead { (tied(rest)) } }
            @if let Some((from, to)) = model.span {
                p.where { (dial.full(from)) @if from.second() < to.second() { " – " (dial.full(to)) } }
            }
        }
    }
}

/// Numbers that are looked for first.
fn figures(model: &Model<'_>) -> Markup {
    let ledger = &model.ledger;
    let fullest = model
        .places
        .iter()
        .map(|(.., place)| Use { used: place.fullest.used, usable: place.fullest.usable }.permille());
    let at_least = if ledger.is_exact || ledger.failures == 0 { "" } else { "≥ " };
    let programs = model.programs.rows.len() + model.programs.more_rows;
    let destinations = model.destinations.rows.len() + model.destinations.more_rows;
    html! {
        dl.figures {
            div { dt { "Failed calls" } dd #failures data-value=(ledger.failures) { (at_least) (grouped(ledger.failures)) } }
            div { dt { "Watched" } dd #watched data-value=(ledger.watched.as_secs()) { (lasting(ledger.watched)) } }
            div { dt { "Programs" } dd #programs data-value=(programs) { (grouped(programs as u64)) } }
            div { dt { "Destinations" } dd #destinations data-value=(destinations) { (grouped(destinations as u64)) } }
            @if let Some(fullest) = fullest.max() {
                div { dt { "Ports taken at most" } dd #fullest data-value=(fullest) { (fullest / 10) " %" } }
            }
        }
    }
}

fn banner(missing: &[String]) -> Markup {
    html! {
        section.banner #missing role="note" {
            h2 { "Not everything is known" }
            ul.plain { @for line in missing { li { (capital(line)) } } }
        }
    }
}

/// Numbers stay with their units.
fn tied(text: &str) -> String {
    let units = ["s", "min", "h", "ms", "%"];
    let words: Vec<&str> = text.split(' ').collect();
    let mut tied = String::with_capacity(text.len());
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        let is_unit = units.contains(&word.trim_end_matches([',', '.', ';']));
        let follows_number = before.is_some_and(|word| word.ends_with(|last: char| last.is_ascii_digit()));
        if index > 0 {
            tied.push(if is_unit && follows_number { '\u{a0}' } else { ' ' });
        }
        tied.push_str(word);
    }
    tied
}

/// A line as a sentence's beginning, unless it begins with a name.
fn capital(line: &str) -> String {
    let first = line.split_whitespace().next().unwrap_or_default();
    if first.contains(['.', '_', '(', '/']) {
        return line.to_owned();
    }
    let mut characters = line.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

fn failures(model: &Model<'_>, chart: &FailureChart, marks: &Marks<'_>) -> Markup {
    let width = lasting(std::time::Duration::from_secs(u64::try_from(chart.axis.width_s).unwrap_or(0)));
    let most = |values: &[u64]| grouped(values.iter().copied().max().unwrap_or(0));
    let all: u64 = chart.all.iter().fold(0, |sum, count| sum.saturating_add(*count));
    html! {
        section #when {
            h2 { "When calls failed" }
            figure data-total=(all) {
                (plot::bars("Failed calls over time", &format!("failed calls in {width}"), &chart.axis, &chart.all, marks))
            }
            @if !model.settings.changes.is_empty() {
                p.note { "Numbers above the plot mark changes of settings, which are listed below." }
            }
            @if chart.targets.len() > 1 || chart.others.0 > 0 {
                h4 { "By destination, each on a scale of its own" }
                @for (target, sum, values) in &chart.targets {
                    @let name = target.to_string();
                    figure.strip data-total=(sum) {
                        figcaption { span { (name) } span.count { (grouped(*sum)) " failed, at most " (most(values)) " in " (width) } }
                        (plot::strip(&format!("Failed calls over time to {name}"), &chart.axis, values))
                    }
                }
                @if chart.others.0 > 0 {
                    figure.strip data-total=(chart.others.0) {
                        figcaption { span { "others" } span.count { (grouped(chart.others.0)) " failed, at most " (most(&chart.others.1)) " in " (width) } }
                        (plot::strip("Failed calls over time to other destinations", &chart.axis, &chart.others.1))
                    }
                }
            }
        }
    }
}

/// What became of the detail of each failure, and what cannot be seen.
fn lost(model: &Model<'_>) -> Markup {
    let ledger = &model.ledger;
    let mut limits: Vec<&String> = model
        .sessions
        .iter()
        .filter_map(|session| session.start.as_ref())
        .flat_map(|start| &start.limits)
        .collect();
    limits.sort_unstable();
    limits.dedup();
    let lost = ledger.lost.iter().filter(|(reason, _)| **reason != LossReason::SkippedRun);
    html! {
        section #lost {
            h2 { "What is in this report" }
            dl.facts {
                dt { "Failures" }
                dd data-value=(ledger.failures) { (grouped(ledger.failures)) @if !ledger.is_exact { " at least" } }
                dt { "With all detail" }
                dd #delivered data-value=(ledger.delivered) { (grouped(ledger.delivered)) }
                dt { "Counted only" }
                dd #suppressed data-value=(ledger.suppressed) { (grouped(ledger.suppressed)) ", as there was enough of their kind" }
                @for (reason, count) in lost {
                    dt { "Detail lost" }
                    dd data-value=(count) { (grouped(*count)) " (" (reason_words(*reason)) ")" }
                }
                @if let Some(missed) = ledger.possibly_missed {
                    dt { "Possibly missed" }
                    dd data-value=(missed) { "at most " (grouped(missed)) }
                }
                dt { "Looks at ports" }
                dd data-value=(model.snapshots) { (grouped(model.snapshots)) }
            }
            @if !limits.is_empty() {
                h4 { "What could not be seen on this host" }
                ul.plain { @for limit in limits.iter().take(LIMITS) { li { (clean(limit.as_bytes())) } } }
                @if limits.len() > LIMITS { p.note { "and " (counted((limits.len() - LIMITS) as u64, "more limit")) } }
            }
        }
    }
}

/// How it was recorded.
fn recorded(model: &Model<'_>, dial: &Dial) -> Markup {
    let hidden = model.sessions.len().saturating_sub(SESSIONS) as u64 + model.sessions_left_out;
    html! {
        section #recorded {
            h2 { "How this was recorded" }
            @for session in model.sessions.iter().take(SESSIONS) { (self::session(model, session, dial)) }
            @if hidden > 0 { p.note { "and " (counted(hidden, "more session")) } }
            @if !model.files.is_empty() {
                p.note { "Read from " @for (index, file) in model.files.iter().take(SESSIONS).enumerate() {
                    @if index > 0 { ", " } code { (clean(&file.0)) }
                } @if model.files.len() > SESSIONS { " and " (counted((model.files.len() - SESSIONS) as u64, "more file")) } }
            }
        }
    }
}

fn session(model: &Model<'_>, session: &Session, dial: &Dial) -> Markup {
    let Some(start) = &session.start else { return html! { p { "A session without a start." } } };
    let hooks = start.hooks.iter().map(|(name, how)| format!("{name}: {how}")).collect::<Vec<_>>().join(", ");
    html! {
        dl.facts {
            dt { "Host" } dd { (clean(&start.host.0)) ", Linux " (clean(start.kernel.as_bytes())) }
            dt { "Begun" } dd { (dial.full(WallNs::of(start.at, session.clock))) }
            dt { "Watched" } dd { (lasting(session.ledger(model.window).watched)) }
            dt { "Reported" } dd { (filter(&start.filter)) }
            dt { "Recorded by" } dd { "portwatch " (clean(start.version.as_bytes())) }
            dt { "Hooks" } dd { code { (clean(hooks.as_bytes())) } }
        }
    }
}

/// What was asked for, in words.
fn filter(filter: &Filter) -> String {
    let Filter { tgid, comm, destination, netns, cgroup, errnos } = filter;
    let errnos = match errnos {
        Errnos::Shortage => "failures of a shortage of ports".to_owned(),
        Errnos::All => "all failures".to_owned(),
        Errnos::These(errnos) => errnos.iter().map(|errno| errno.name()).collect::<Vec<_>>().join(", "),
    };
    let words = [
        tgid.map(|tgid| format!("of process {}", tgid.0)),
        comm.as_ref().map(|comm| format!("of threads named {}", clean(&comm.0))),
        destination.map(|to| {
            let network = to.network.map_or_else(|| "any address".to_owned(), |network| network.to_string());
            let port = to.port.map(|port| format!(", port {port}")).unwrap_or_default();
            format!("to {network}{port}")
        }),
        netns.map(|netns| format!("in network namespace {}", netns.0)),
        cgroup.as_ref().map(|cgroup| format!("in control group {}", clean(&cgroup.path.0))),
    ];
    [Some(errnos)].into_iter().chain(words).flatten().collect::<Vec<_>>().join(" ")
}
