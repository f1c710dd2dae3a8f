//! Who holds the local ports: a table, the fullest rows first, and what one has to know to read it.

use std::fmt::Write as _;

use super::columns::{Align, Columns};
use crate::event::{Holder, Holding, Occupancy, Protocol, Snapshot, SocketState};
use crate::term::{Paint, Size, clean};

/// Rows that are shown where nobody says how many and no terminal has a height; all are in JSON.
const SHOWN_ROWS: usize = 40;
/// Holders of a row that are named.
const SHOWN_HOLDERS: usize = 3;
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

/// The whole of a snapshot, taken at `time`.
pub(super) fn shown(snapshot: &Snapshot, fit: &Fit, time: &str, paint: Paint) -> String {
    let size = fit.size.and_then(|ask| ask());
    let notes = notes(snapshot);
    let title = fit.watching.then(|| format!("{time}, {}", plural(snapshot.sockets, "socket")));
    // What stands beside the rows: title, heading, what is left out, an empty line, notes, the cursor's line.
    let beside = usize::from(fit.watching) + 3 + notes.len() + 1;
    let room = size.map(|size| size.lines.saturating_sub(beside).max(LEAST_ROWS));
    let limit = fit.top.or(room).unwrap_or(SHOWN_ROWS);
    let mut text = String::new();
    if fit.watching && size.is_some() {
        text.push_str(CLEAR);
    }
    // On a screen a line that wraps would push others out of it.
    let columns = if fit.watching { size.map(|size| size.columns) } else { None };
    let mut line = |line: &str, paint: &dyn Fn(&str) -> String| {
        let cut: String = line.chars().take(columns.unwrap_or(usize::MAX)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", paint(&cut));
    };
    let plain = |text: &str| text.to_owned();
    if let Some(title) = title {
        line(&title, &|text| paint.faint(text));
    }
    if snapshot.rows.is_empty() {
        line(&nothing(snapshot), &plain);
    } else {
        table(snapshot, limit, paint, &mut line);
    }
    if !notes.is_empty() {
        line("", &plain);
    }
    for note in notes {
        line(&note, &plain);
    }
    if fit.watching && size.is_none() {
        line("", &plain);
    }
    text
}

fn table(
    snapshot: &Snapshot,
    limit: usize,
    paint: Paint,
    line: &mut impl FnMut(&str, &dyn Fn(&str) -> String),
) {
    let rows: Vec<[String; 10]> = snapshot.rows.iter().take(limit).map(|row| cells(snapshot, row)).collect();
    let (left, right) = (|width| (Align::Left, width), |width| (Align::Right, width));
    let mut columns = Columns::new([
        right(4),
        right(5),
        right(6),
        left(5),
        left(9),
        left(14),
        left(11),
        left(10),
        left(10),
        left(0),
    ]);
    rows.iter().for_each(|row| columns.fit(row));
    let heading = [
        "FULL",
        "USED",
        "USABLE",
        "PROTO",
        "SOURCE",
        "DESTINATION",
        "PORT RANGE",
        "NETNS",
        "STATES",
        "HELD BY",
    ];
    line(&columns.line(&heading.map(str::to_owned)), &|text| paint.faint(text));
    for (row, cells) in snapshot.rows.iter().zip(&rows) {
        let full = row.used >= row.usable;
        line(&columns.line(cells), &|text| if full { paint.strong(text) } else { text.to_owned() });
    }
    if let Some(hidden @ 1..) = snapshot.rows.len().checked_sub(limit) {
        let hidden = plural(hidden as u64, "more row");
        line(&format!("… and {hidden} less full; --top N shows N rows, --json all"), &|text| {
            text.to_owned()
        });
    }
}

fn cells(snapshot: &Snapshot, row: &Occupancy) -> [String; 10] {
    let range = snapshot.namespaces.iter().find(|namespace| namespace.id == row.netns).map_or_else(
        || "-".to_owned(),
        |namespace| format!("{}-{}", namespace.range.low, namespace.range.high),
    );
    let mut destination = row.destination.map_or_else(|| "any".to_owned(), |to| to.to_string());
    if row.device != 0 {
        // Writing to a String cannot fail.
        let _ = write!(destination, " (interface {})", row.device);
    }
    [
        share(row),
        row.used.to_string(),
        row.usable.to_string(),
        protocol(row).to_owned(),
        row.source.map_or_else(|| "any".to_owned(), |source| source.to_string()),
        destination,
        range,
        row.netns.0.to_string(),
        states(row),
        holders(&row.holders),
    ]
}

/// In percent, rounded down: 100 % are all.
fn share(row: &Occupancy) -> String {
    match u64::from(row.used) * 100 / u64::from(row.usable.max(1)) {
        0 => "<1%".to_owned(),
        percent => format!("{}%", percent.min(100)),
    }
}

fn protocol(row: &Occupancy) -> &'static str {
    match row.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Mptcp => "mptcp",
    }
}

fn states(row: &Occupancy) -> String {
    let words = row.by_state.iter().map(|(of, count)| format!("{} {count}", state(*of)));
    words.collect::<Vec<_>>().join(", ")
}

fn state(state: SocketState) -> &'static str {
    match state {
        SocketState::Established => "ESTABLISHED",
        SocketState::SynSent => "SYN_SENT",
        SocketState::SynRecv => "SYN_RECV",
        SocketState::FinWait1 => "FIN_WAIT1",
        SocketState::FinWait2 => "FIN_WAIT2",
        SocketState::TimeWait => "TIME_WAIT",
        SocketState::CloseWait => "CLOSE_WAIT",
        SocketState::LastAck => "LAST_ACK",
        SocketState::Closing => "CLOSING",
        SocketState::Listen => "LISTEN",
        SocketState::Bound => "bound",
    }
}

fn holders(holders: &[Holding]) -> String {
    let mut words: Vec<String> = holders.iter().take(SHOWN_HOLDERS).map(holding).collect();
    if let Some(more @ 1..) = holders.len().checked_sub(SHOWN_HOLDERS) {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

fn holding(Holding { holder, count }: &Holding) -> String {
    match holder {
        Holder::Process(process) => format!("{} (pid {}) {count}", clean(&process.comm.0), process.tgid.0),
        Holder::TimeWait => format!("nobody (TIME_WAIT) {count}"),
        Holder::Closed => format!("nobody (closed) {count}"),
        Holder::NotFound => format!("unknown {count}"),
    }
}

fn nothing(snapshot: &Snapshot) -> String {
    match snapshot.namespaces.as_slice() {
        [one] => format!(
            "no port of {}-{} is in use in namespace {}; {} are reserved",
            one.range.low, one.range.high, one.id.0, one.reserved
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
            "tcp any: ports that sockets listen on or are bound to. No connect() gets one of them, wherever it goes; \
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

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests;
