//! How long searches for a port took, by destination.

use std::fmt::Write as _;

use crate::event::{SearchRow, Searches};
use crate::sink::words::columns::{Align, Columns};
use crate::sink::words::short;
use crate::term::Paint;

/// Rows that are shown; all are in JSON.
const SHOWN_ROWS: usize = 20;

/// The table, the slowest destinations first.
pub(super) fn table(searches: &Searches, paint: Paint) -> String {
    let Searches { rows: all, other, unmeasured } = searches;
    // Writing to a String cannot fail, here and below.
    let mut text = String::new();
    if all.is_empty() {
        text.push_str("\nno search for a port was measured\n");
    } else {
        text.push_str(&rows(all, paint));
    }
    if other.count > 0 {
        let _ = writeln!(
            text,
            "{} more, of destinations beyond the table's bound: {} took 100 µs or longer, {} on average, {} the longest",
            other.count,
            other.slow,
            short(other.average()),
            short(other.longest)
        );
    }
    if *unmeasured > 0 {
        let _ = writeln!(text, "{unmeasured} more could not be measured: when they began was not seen");
    }
    if all.iter().any(|row| row.times.slow > 0) || other.slow > 0 {
        let _ = writeln!(
            text,
            "Searches get slow when half of the range is in use towards a destination, long before one fails."
        );
    }
    text
}

fn rows(searches: &[SearchRow], paint: Paint) -> String {
    let rows: Vec<[String; 7]> = searches.iter().take(SHOWN_ROWS).map(cells).collect();
    let right = |width| (Align::Right, width);
    let left = |width| (Align::Left, width);
    let widths = [right(8), right(8), right(8), right(8), left(15), left(21), left(10)];
    let mut columns = Columns::new(widths);
    rows.iter().for_each(|row| columns.fit(row));
    let heading =
        ["SEARCHES", ">100 µs", "AVERAGE", "LONGEST", "SOURCE", "DESTINATION", "NETNS"].map(str::to_owned);
    let mut text = String::new();
    let _ = writeln!(text, "\n{}", paint.faint(&columns.line(&heading)));
    for row in &rows {
        let _ = writeln!(text, "{}", columns.line(row));
    }
    if searches.len() > SHOWN_ROWS {
        let _ = writeln!(text, "… and {} more rows; --json has all", searches.len() - SHOWN_ROWS);
    }
    text
}

fn cells(row: &SearchRow) -> [String; 7] {
    [
        row.times.count.to_string(),
        row.times.slow.to_string(),
        short(row.times.average()),
        short(row.times.longest),
        row.source.to_string(),
        row.destination.to_string(),
        row.netns.0.to_string(),
    ]
}
