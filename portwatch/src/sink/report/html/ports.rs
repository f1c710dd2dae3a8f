//! How many ports were taken, and who had them.
//!
//! In: places, the fullest first. Out: a picture of all, and of each who held its ports when most were taken.

use maud::{Markup, html};

use super::plot::{self, Marks};
use crate::diagnose::{counted, grouped};
use crate::sink::report::dial::Dial;
use crate::sink::report::model::Model;
use crate::sink::report::places::{PortUse, Use};
use crate::sink::words::{entries, state, verdict};
use crate::term::clean;

/// Places whose holders are shown, and holders of one.
const PLACES: usize = 8;
const HOLDERS: usize = 8;

/// The picture, with what its lines are.
pub(super) fn over_time(model: &Model<'_>, marks: &Marks<'_>) -> Markup {
    let Some(chart) = &model.ports else { return html! {} };
    let values: Vec<&[Use]> = chart.lines.iter().map(|(_, values)| values.as_slice()).collect();
    html! {
        section #ports {
            h2 { "Local ports in use" }
            figure { (plot::lines("Share of usable ports taken over time", &chart.axis, &values, marks)) }
            ul.legend {
                @for (index, (place, _)) in chart.lines.iter().enumerate() {
                    @if let Some((host, path, place)) = model.places.get(*place) {
                        @let row = &place.fullest;
                        li data-used=(row.used) data-usable=(row.usable) {
                            svg viewBox="0 0 44 10" aria-hidden="true" {
                                path class="line" style=(format!("stroke:var(--c{index})")) stroke-dasharray=(plot::dash(index)) d="M2 5H42" {}
                            }
                            b { (plot::letter(index)) }
                            span { @if let Some(host) = model.host(*host) { (clean(&host.0)) ": " } (verdict::place(path)) }
                            span.peak { "at most " (grouped(row.used)) " of " (grouped(row.usable)) }
                        }
                    }
                }
            }
        }
    }
}

/// Who had them.
pub(super) fn holders(model: &Model<'_>, dial: &Dial) -> Markup {
    html! {
        @if !model.places.is_empty() {
            section #holders {
                h2 { "Who held the ports when most were taken" }
                @for (host, path, place) in model.places.iter().take(PLACES) {
                    div.held {
                        h3 {
                            @if let Some(host) = model.host(*host) { (clean(&host.0)) ": " }
                            (super::capital(&verdict::place(path)))
                        }
                        (held(place, dial))
                    }
                }
                @if let Some(further) = model.further_places(PLACES) { p.note { "and " (further) } }
            }
        }
    }
}

fn held(place: &PortUse, dial: &Dial) -> Markup {
    let row = &place.fullest;
    let all = entries(&row.holders);
    let rest = all.get(HOLDERS..).unwrap_or_default();
    let (kept_out, ports_kept_out) = place.more_holders;
    let hidden = rest.len() + kept_out;
    let hidden_ports = rest.iter().map(|entry| u64::from(entry.count)).sum::<u64>() + ports_kept_out;
    html! {
        p.meta {
            (grouped(row.used)) " of " (grouped(row.usable)) " ports at " (dial.second(place.at))
            " · seen in " (counted(place.snapshots, "look"))
            @for (of, count) in &row.by_state { " · " (state(*of)) " " (grouped(*count)) }
        }
        table {
            thead { tr { th.n { "Ports" } th { "Share" } th { "Held by" } th.n { "In TIME_WAIT" } } }
            tbody {
                @for entry in all.iter().take(HOLDERS) {
                    tr data-count=(entry.count) {
                        td.n data-label="Ports" { (grouped(entry.count)) }
                        td data-label="Share" { (super::tables::share(entry.count.into(), row.used.into())) }
                        td data-label="Held by" { span { (entry.name) } }
                        td.n data-label="In TIME_WAIT" { (grouped(entry.time_wait)) }
                    }
                }
                @if hidden > 0 {
                    tr.others data-count=(hidden_ports) {
                        td.n data-label="Ports" { (grouped(hidden_ports)) }
                        td data-label="Share" { (super::tables::share(hidden_ports, row.used.into())) }
                        td data-label="Held by" { (counted(hidden as u64, "more holder")) }
                        td.n data-label="In TIME_WAIT" { "" }
                    }
                }
            }
        }
    }
}
