//! Who holds the local ports: a table, the fullest rows first, and what one has to know to read it.

use std::fmt::Write as _;

use crate::event::{Occupancy, Protocol, Snapshot};
use crate::sink::words::columns::{Align, Columns};
use crate::sink::words::{held_by, plural, states};
use crate::term::{Paint, Size};

/// Rows that are shown where nobody says how many and no terminal has a height; all are in JSON.
const SHOWN_ROWS: usize = 40;
/// Fewer rows say nothing, however low the terminal is.
const LEAST_ROWS: usize = 3;
/// Puts the cursor home and clears the screen (ECMA-48 8.3.21 and 8.3.39).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// How large tables are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fit {
    /// So many rows, whatever the terminal.
    pub top: Option<usize>,
    /// That of the terminal; asked for each table, as windows change.
    pub size: Option<fn() -> Option<Size>>,
    /// Whether further tables follow: on a terminal in the place of this one.
    pub watching: bool,
}

/// The whole of a snapshot, taken at `time`; `opinions` are lines to stand below.
pub(super) fn shown(snapshot: &Snapshot, opinions: &[String], fit: &Fit, time: &str, paint: Paint) -> String {
    let size = fit.size.and_then(|ask| ask());
    let (titles, notes) = (titles(snapshot, fit, time), notes(snapshot));
    // What stands beside the rows: titles, heading, what is left out, an empty line, notes, the cursor's line.
    let beside = titles.len() + 3 + notes.len() + 1 + opinions.len() + usize::from(!opinions.is_empty());
    let room = size.map(|size| size.lines.saturating_sub(beside).max(LEAST_ROWS));
    let limit = fit.top.or(room).unwrap_or(SHOWN_ROWS);
    let mut lines: Vec<(Look, String)> = titles.into_iter().map(|title| (Look::Faint, title)).collect();
    match snapshot.namespaces.as_slice() {
        _ if snapshot.rows.is_empty() => lines.push((Look::Plain, nothing(snapshot))),
        [_] => lines.extend(table(snapshot, limit, WITHIN_ONE, within_one)),
        _ => lines.extend(table(snapshot, limit, AMONG_MANY, |row| among_many(snapshot, row))),
    }
    if !opinions.is_empty() {
        lines.push((Look::Plain, String::new()));
    }
    lines.extend(opinions.iter().map(|opinion| (Look::Plain, opinion.clone())));
    if !notes.is_empty() {
        lines.push((Look::Plain, String::new()));
    }
    lines.extend(notes.into_iter().map(|note| (Look::Plain, note)));
    if fit.watching && size.is_none() {
        lines.push((Look::Plain, String::new()));
    }
    let mut text = String::new();
    if fit.watching && size.is_some() {
        text.push_str(CLEAR);
    }
    // On a screen a line that wraps would push others out of it.
    let columns = size.filter(|_| fit.watching).map_or(usize::MAX, |size| size.columns);
    for (look, line) in lines {
        let line: String = line.chars().take(columns).collect();
        let line = match look {
            Look::Plain => line,
            Look::Faint => paint.faint(&line),
            Look::Strong => paint.strong(&line),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

/// How a line stands out.
enum Look {
    Plain,
    Faint,
    Strong,
}

/// When, if more tables follow; and where, if that is one place.
fn titles(snapshot: &Snapshot, fit: &Fit, time: &str) -> Vec<String> {
    let mut titles = Vec::new();
    if fit.watching {
        titles.push(format!("{time}, {}", plural(snapshot.sockets, "socket")));
    }
    if let ([one], false) = (snapshot.namespaces.as_slice(), snapshot.rows.is_empty()) {
        titles.push(format!(
            "network namespace {}: local port range {}, {} of them reserved, {} bound",
            one.id.0, one.range, one.reserved, one.bound
        ));
    }
    titles
}

type Heading<const N: usize> = [(&'static str, Align, usize); N];

const SHARE: (&str, Align, usize) = ("FULL", Align::Right, 4);
const USED: (&str, Align, usize) = ("USED", Align::Right, 5);
const USABLE: (&str, Align, usize) = ("USABLE", Align::Right, 6);
const SOURCE: (&str, Align, usize) = ("SOURCE", Align::Left, 9);
const DESTINATION: (&str, Align, usize) = ("DESTINATION", Align::Left, 14);
const STATES: (&str, Align, usize) = ("STATES", Align::Left, 10);
const HELD_BY: (&str, Align, usize) = ("HELD BY", Align::Left, 0);
const PORT_RANGE: (&str, Align, usize) = ("PORT RANGE", Align::Left, 11);
const NETNS: (&str, Align, usize) = ("NETNS", Align::Left, 10);
/// Columns where there is one namespace, whose title says the rest.
const WITHIN_ONE: Heading<7> = [SHARE, USED, USABLE, SOURCE, DESTINATION, STATES, HELD_BY];
/// Columns where there are several.
const AMONG_MANY: Heading<9> = [SHARE, USED, USABLE, SOURCE, DESTINATION, PORT_RANGE, NETNS, STATES, HELD_BY];

fn table<const N: usize>(
    snapshot: &Snapshot,
    limit: usize,
    heading: Heading<N>,
    cells: impl Fn(&Occupancy) -> [String; N],
) -> Vec<(Look, String)> {
    let rows: Vec<[String; N]> = snapshot.rows.iter().take(limit).map(cells).collect();
    let mut columns = Columns::new(heading.map(|(_, align, width)| (align, width)));
    rows.iter().for_each(|row| columns.fit(row));
    let mut lines = vec![(Look::Faint, columns.line(&heading.map(|(name, ..)| name.to_owned())))];
    for (row, cells) in snapshot.rows.iter().zip(&rows) {
        let look = if row.used >= row.usable { Look::Strong } else { Look::Plain };
        lines.push((look, columns.line(cells)));
    }
    if let Some(hidden @ 1..) = snapshot.rows.len().checked_sub(limit) {
        let hidden = plural(hidden as u64, "more row");
        lines.push((Look::Plain, format!("… and {hidden} less full; --top N shows N rows, --json all")));
    }
    lines
}

fn within_one(row: &Occupancy) -> [String; 7] {
    [
        share(row),
        row.used.to_string(),
        row.usable.to_string(),
        row.source.map_or_else(|| "any".to_owned(), |source| source.to_string()),
        destination(row),
        states(row),
        held_by(&row.holders),
    ]
}

fn among_many(snapshot: &Snapshot, row: &Occupancy) -> [String; 9] {
    let [share, used, usable, source, destination, states, holders] = within_one(row);
    let namespace = snapshot.namespaces.iter().find(|namespace| namespace.id == row.netns);
    let range = namespace.map_or_else(|| "-".to_owned(), |namespace| namespace.range.to_string());
    [share, used, usable, source, destination, range, row.netns.0.to_string(), states, holders]
}

/// With its protocol where that is not TCP, as in `trace`.
fn destination(row: &Occupancy) -> String {
    let protocol = if row.protocol == Protocol::Udp { "udp " } else { "" };
    let to = row.destination.map_or_else(|| "any".to_owned(), |to| to.to_string());
    let device = if row.device == 0 { String::new() } else { format!(" (interface {})", row.device) };
    format!("{protocol}{to}{device}")
}

/// In percent, rounded down: 100 % are all.
fn share(row: &Occupancy) -> String {
    match u64::from(row.used) * 100 / u64::from(row.usable.max(1)) {
        0 => "<1%".to_owned(),
        percent => format!("{}%", percent.min(100)),
    }
}

fn nothing(snapshot: &Snapshot) -> String {
    match snapshot.namespaces.as_slice() {
        [one] => format!(
            "no port of {} is in use in namespace {}; {} are reserved",
            one.range, one.id.0, one.reserved
        ),
        several => format!("no port of the local ranges of {} namespaces is in use", several.len()),
    }
}

/// What one has to know to read the rows that there are.
fn notes(snapshot: &Snapshot) -> Vec<String> {
    let mut notes = Vec::new();
    let any = |protocol| {
        let of_any = |row: &Occupancy| row.protocol == protocol && row.destination.is_none();
        snapshot.rows.iter().any(of_any)
    };
    if any(Protocol::Tcp) {
        notes.push(
            "any: ports that TCP sockets listen on or are bound to. No connect() gets one of them, wherever it goes; \
             the usable ports of the other rows are without them"
                .to_owned(),
        );
    }
    if any(Protocol::Udp) {
        notes.push("udp any: ports that a UDP socket without one does not get, wherever it sends".to_owned());
    }
    notes.extend(match snapshot.bound_visible {
        Some(true) => None,
        Some(false) => Some(
            "note: this kernel does not show sockets that are bound and neither connected nor listening (Linux 6.8 \
             and newer do); they can exhaust a range that looks empty here"
                .to_owned(),
        ),
        None => Some(
            "note: without /sys/kernel/btf/vmlinux it is not known whether this kernel shows sockets that are bound \
             and neither connected nor listening; they can exhaust a range that looks empty here"
                .to_owned(),
        ),
    });
    if snapshot.repeated > 0 {
        notes.push(format!(
            "note: {} begun again, as the kernel's tables changed meanwhile",
            plural(snapshot.repeated.into(), "read")
        ));
    }
    notes.extend(snapshot.limits.iter().map(|limit| format!("note: {limit}")));
    notes
}

#[cfg(test)]
mod tests;
