//! How long searches for a port took, by destination.

use std::fmt::Write as _;

use super::columns::{Align, Columns};
use super::short;
use crate::event::Searches;
use crate::term::Paint;

/// Rows that are shown; all are in JSON.
const SHOWN_ROWS: usize = 20;

/// The table, the slowest destinations first.
pub(super) fn table(searches: &[Searches], paint: Paint) -> String {
    if searches.is_empty() {
        return "\nno search for a port was measured\n".to_owned();
    }
    let rows: Vec<[String; 7]> = searches.iter().take(SHOWN_ROWS).map(cells).collect();
    let right = |width| (Align::Right, width);
    let left = |width| (Align::Left, width);
    let widths = [right(8), right(8), right(8), right(8), left(15), left(21), left(10)];
    let mut columns = Columns::new(widths);
    rows.iter().for_each(|row| columns.fit(row));
    let heading =
        ["SEARCHES", ">100 µs", "AVERAGE", "LONGEST", "SOURCE", "DESTINATION", "NETNS"].map(str::to_owned);
    // Writing to a String cannot fail, here and below.
    let mut text = String::new();
    let _ = writeln!(text, "\n{}", paint.faint(&columns.line(&heading)));
    for row in &rows {
        let _ = writeln!(text, "{}", columns.line(row));
    }
    if searches.len() > SHOWN_ROWS {
        let _ = writeln!(text, "… and {} more; --json has all", searches.len() - SHOWN_ROWS);
    }
    if searches.iter().any(|searches| searches.slow > 0) {
        let _ = writeln!(
            text,
            "Searches get slow when half of the range is in use towards a destination, long before one fails."
        );
    }
    text
}

fn cells(searches: &Searches) -> [String; 7] {
    [
        searches.count.to_string(),
        searches.slow.to_string(),
        short(searches.average),
        short(searches.longest),
        searches.source.to_string(),
        searches.destination.to_string(),
        searches.netns.0.to_string(),
    ]
}
