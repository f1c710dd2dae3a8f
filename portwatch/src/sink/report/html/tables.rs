//! Who, where, which settings, how long searches took.
//!
//! In: sums, the greatest first. Out: tables, which become cards where they have no room.

use maud::{Markup, html};

use crate::diagnose::{Cause, counted, grouped};
use crate::event::{Details, Namespace, Text};
use crate::sink::report::dial::Dial;
use crate::sink::report::groups::{Sum, Top};
use crate::sink::report::model::Model;
use crate::sink::words::{Group, GroupBy, processes, runs_in, short};
use crate::term::clean;

/// Rows that are shown at once; the others can be unfolded.
const OPEN: usize = 15;
/// Characters of arguments, and of a value.
const TEXT: usize = 160;

/// Units, containers or pods.
pub(super) fn groups(model: &Model<'_>, dial: &Dial) -> Markup {
    let Some(groups) = &model.groups else { return Markup::default() };
    let name = |sum: &Sum<'_, (u16, Group)>| {
        html! {
            span {
                b { (sum.of.1.name()) } ", " (processes(sum.processes))
                @if let Some(host) = model.host(sum.of.0) { span.sub { "on " (clean(&host.0)) } }
            }
        }
    };
    let [kind, heading] = match model.group_by {
        GroupBy::Container => ["Container", "Which containers failed"],
        GroupBy::Pod => ["Pod", "Which pods failed"],
        GroupBy::Unit | GroupBy::Process | GroupBy::Destination => ["Unit", "Which units failed"],
    };
    section(model, "groups", heading, &html! { (table(model, dial, kind, groups, name)) })
}

/// Programs.
pub(super) fn who(model: &Model<'_>, dial: &Dial) -> Markup {
    let name = |sum: &Sum<'_, crate::sink::report::model::Program<'_>>| {
        let of = &sum.of;
        let (comm, most) = (clean(&of.comm.0), sum.most);
        html! {
            span {
                b data-comm="" { (comm) }
                @if sum.processes == 1 { " (pid " (most.key.tgid.0) ")" } @else { ", " (grouped(sum.processes as u64)) " processes" }
                span.sub { (executable(of.exe, &most.details)) " · user " (of.uid) " · control group " (most.cgroup.0) @if let Some(place) = runs_in(&most.details) { " · " (place) } }
                @if let Some(arguments) = arguments(&most.details) { span.sub.code { (arguments) } }
                @if let Some(host) = model.host(of.host) { span.sub { "on " (clean(&host.0)) } }
            }
        }
    };
    section(
        model,
        "who",
        "Which programs failed",
        &html! { (table(model, dial, "Program", &model.programs, name)) },
    )
}

/// Destinations, network namespaces and causes.
pub(super) fn destinations(model: &Model<'_>, dial: &Dial) -> Markup {
    let namespace = |sum: &Sum<'_, (u16, crate::event::NetnsId)>| {
        html! {
            span { (sum.of.1.0) @if let Some(host) = model.host(sum.of.0) { " on " (clean(&host.0)) } }
        }
    };
    let cause = |sum: &Sum<'_, (Cause, crate::event::Errno)>| {
        html! {
            span { code { (sum.of.0.name()) } " · " (sum.of.1.name()) span.sub { (sum.of.0.sentence()) } }
        }
    };
    section(
        model,
        "where",
        "Where, and with which error",
        &html! {
            div.tables {
                (table(model, dial, "Destination", &model.destinations, |sum| html! { span { (sum.of) } }))
                (table(model, dial, "Cause", &model.causes, cause))
                (table(model, dial, "Network namespace", &model.namespaces, namespace))
            }
        },
    )
}

fn section(model: &Model<'_>, id: &str, heading: &str, content: &Markup) -> Markup {
    html! { @if model.ledger.failures > 0 { section id=(id) { h2 { (heading) } (content) } } }
}

fn table<'a, K>(
    model: &Model<'_>,
    dial: &Dial,
    what: &str,
    top: &Top<'a, K>,
    name: impl Fn(&Sum<'a, K>) -> Markup,
) -> Markup {
    let total = model.ledger.failures;
    let row = |sum: &Sum<'a, K>| {
        html! {
            tr data-count=(sum.count) {
                td data-label=(what) { (name(sum)) }
                td.n data-label="Failures" { (grouped(sum.count)) }
                td data-label="Share" { (share(sum.count, total)) }
                td.time data-label="First" { (dial.second(sum.first)) }
                td.time data-label="Last" { (dial.second(sum.last)) }
            }
        }
    };
    let head = html! { thead { tr { th { (what) } th.n { "Failures" } th { "Share" } th { "First" } th { "Last" } } } };
    let (open, folded) = top.rows.split_at(OPEN.min(top.rows.len()));
    html! {
        div {
            table {
                (head)
                tbody {
                    @for sum in open { (row(sum)) }
                    @if top.more > 0 {
                        tr.others data-count=(top.more) {
                            td data-label=(what) { @if top.more_rows > 0 { (counted(top.more_rows as u64, "more row")) } @else { "others" } }
                            td.n data-label="Failures" { (grouped(top.more)) }
                            td data-label="Share" { (share(top.more, total)) }
                            td.time data-label="First" { "" } td.time data-label="Last" { "" }
                        }
                    }
                }
            }
            @if !folded.is_empty() {
                details {
                    summary { (counted(folded.len() as u64, "more row")) }
                    table { (head) tbody { @for sum in folded { (row(sum)) } } }
                }
            }
        }
    }
}

/// A part of a whole as a bar and in percent.
pub(super) fn share(part: u64, whole: u64) -> Markup {
    let percent = u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(100).min(100);
    html! {
        span.tight {
            span.share aria-hidden="true" { i style=(format!("width:{percent}%")) {} }
            @if percent == 0 && part > 0 { "< 1 %" } @else { (percent) " %" }
        }
    }
}

fn executable(exe: Option<&Text>, details: &Details) -> String {
    match exe {
        Some(exe) => clean(&exe.0),
        None if details.has_exited() => "exited before it could be looked at".to_owned(),
        None => "executable not known".to_owned(),
    }
}

fn arguments(details: &Details) -> Option<String> {
    let words: Vec<String> = details.cmdline()?.iter().map(|word| clean(&word.0)).collect();
    Some(cut(&words.join(" "))).filter(|words| !words.is_empty())
}

fn cut(text: &str) -> String {
    let kept: String = text.chars().take(TEXT).collect();
    if kept.len() < text.len() { format!("{kept}…") } else { kept }
}

/// Settings at the start, and what became of them.
pub(super) fn settings(model: &Model<'_>, dial: &Dial) -> Markup {
    let all = model.settings;
    let value =
        |text: &str| if text.is_empty() { "(empty)".to_owned() } else { cut(&clean(text.as_bytes())) };
    html! {
        @if !all.namespaces.is_empty() || !all.changes.is_empty() {
            section #settings {
                h2 { "Settings, and what became of them" }
                div.tables {
                    @if !all.changes.is_empty() {
                        table {
                            thead { tr { th { "" } th { "Changed" } th { "Setting" } th { "From" } th { "To" } th { "By" } } }
                            tbody {
                                @for (index, change) in all.changes.iter().enumerate() {
                                    @let by = change.change.by.as_ref();
                                    tr {
                                        td data-label="Mark" { b { (index + 1) } }
                                        td.time data-label="Changed" { (dial.second(change.at)) }
                                        td data-label="Setting" { span {
                                            code { (clean(&change.change.key.0)) }
                                            span.sub { "netns " (change.change.netns.0) @if let Some(host) = model.host(change.host) { " on " (clean(&host.0)) } }
                                        } }
                                        td data-label="From" { span { (change.change.old.as_deref().map_or_else(|| "not known".to_owned(), value)) } }
                                        td data-label="To" { span { (value(&change.change.new)) } }
                                        td data-label="By" { span { @if let Some(by) = by { (clean(&by.comm.0)) " (pid " (by.tgid.0) ")" } @else { "not known" } } }
                                    }
                                }
                            }
                        }
                        @if all.changes_left_out > 0 { p.note { "and " (counted(all.changes_left_out, "more change")) } }
                    }
                    @if !all.namespaces.is_empty() {
                        table {
                            thead { tr { th { "Network namespace" } th { "When first seen" } th { "Local port range" } th.n { "Reserved" } th.n { "Bound" } th { "Other settings" } } }
                            tbody {
                                @for first in &all.namespaces {
                                    @let namespace = &first.namespace;
                                    tr {
                                        td data-label="Network namespace" { span { span.tight { (namespace.id.0) } @if let Some(host) = model.host(first.host) { " on " (clean(&host.0)) } } }
                                        td.time data-label="First seen" { (dial.second(first.at)) }
                                        td data-label="Port range" { span { span.tight { (namespace.range) } " (" (grouped(namespace.range.width())) ")" } }
                                        td.n data-label="Reserved" { (grouped(namespace.reserved)) }
                                        td.n data-label="Bound" { (grouped(namespace.bound)) }
                                        td data-label="Other" { span.code { (others(namespace)) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn others(namespace: &Namespace) -> String {
    let settings = &namespace.settings;
    let flag = |value: bool| u64::from(value);
    let known = [
        ("tcp_tw_reuse", settings.tcp_tw_reuse.map(u64::from)),
        ("tcp_tw_reuse_delay", settings.tcp_tw_reuse_delay_ms.map(u64::from)),
        ("tcp_timestamps", settings.tcp_timestamps.map(flag)),
        ("ip_unprivileged_port_start", settings.ip_unprivileged_port_start.map(u64::from)),
        ("ip_nonlocal_bind", settings.ip_nonlocal_bind.map(flag)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    known.collect::<Vec<_>>().join(" ")
}

/// How long connect() looked for ports.
pub(super) fn searches(model: &Model<'_>) -> Markup {
    html! {
        @if !model.searches.is_empty() {
            section #searches {
                h2 { "How long connect() looked for a port" }
                table {
                    thead { tr { th { "Destination" } th { "From" } th.n { "Searches" } th.n { "100 µs or longer" } th.n { "Average" } th.n { "Longest" } } }
                    tbody {
                        @for row in model.searches.iter().take(OPEN) {
                            tr data-count=(row.times.count) {
                                td data-label="Destination" { span { (row.destination) span.sub { "netns " (row.netns.0) } } }
                                td data-label="From" { span { (row.source) } }
                                td.n data-label="Searches" { (grouped(row.times.count)) }
                                td.n data-label="≥ 100 µs" { (grouped(row.times.slow)) }
                                td.n data-label="Average" { (short(row.times.average())) }
                                td.n data-label="Longest" { (short(row.times.longest)) }
                            }
                        }
                    }
                }
                @for (count, what) in [
                    (model.searches.len().saturating_sub(OPEN) as u64, "more rows"),
                    (model.other_searches.count, "searches to further destinations"),
                    (model.unmeasured_searches, "searches whose time is not known"),
                ] {
                    @if count > 0 { p.note { "and " (grouped(count)) " " (what) } }
                }
            }
        }
    }
}
