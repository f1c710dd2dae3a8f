//! Figures as tables, in Markdown that can be read as it is.
//!
//! In: figures. Out: a text for stdout and for docs/benchmarks.md.

use std::fmt::Write as _;

use super::figures::{Figures, Row};
use super::goals::GOALS;

const HEAD: [&str; 9] = [
    "",
    "refused",
    "accepted",
    "failing",
    "another call",
    "start",
    "memory",
    "after a minute",
    "failures shown",
];
const GOALS_HEAD: [&str; 4] = ["goal", "measured", "limit", ""];
const NONE: &str = "–";

/// The figures, what is missing and why, the goals, and what all of it holds for.
pub(super) fn text(figures: &Figures) -> String {
    let rows: Vec<_> = figures.rows.iter().map(cells).collect();
    let mut text = table(HEAD, &rows);
    for row in &figures.rows {
        if let Some(problem) = &row.problem {
            // Writing to a String does not fail.
            let _ = write!(text, "\n- {}: {problem}", row.name);
        }
    }
    let goals: Vec<_> = GOALS
        .iter()
        .map(|goal| {
            let shown = |figure: Result<u64, _>| figure.map_or_else(|_| NONE.to_owned(), grouped);
            let reached = if goal.is_reached(figures) { "reached" } else { "not reached" };
            [
                goal.name.to_owned(),
                shown(figures.get(goal.figure)),
                shown(goal.limit(figures)),
                reached.to_owned(),
            ]
        })
        .collect();
    let mut held = vec![format!("linux {}", figures.kernel)];
    held.extend(figures.versions.iter().cloned());
    format!("{}\n\n{}\nMeasured in {}.\n", text.trim_end(), table(GOALS_HEAD, &goals), held.join(", "))
}

fn cells(row: &Row) -> [String; HEAD.len()] {
    let get = |figure| row.get(figure);
    let cost = |figure: &str| {
        let whole = grouped(row.get(figure)?);
        Some(match row.get(&format!("{figure}_added")) {
            Some(added) => format!("{whole} (+{})", grouped(added)),
            None => whole,
        })
    };
    let shown = get("shown").zip(get("failures")).map(|(shown, all)| format!("{shown} of {all}"));
    [
        Some(row.name.clone()),
        cost("refused"),
        cost("accepted"),
        cost("failing"),
        cost("other_call"),
        get("start").map(millions),
        get("memory_kib").map(mebibytes),
        get("memory_later_kib").map(mebibytes),
        shown,
    ]
    .map(|cell| cell.unwrap_or_else(|| NONE.to_owned()))
}

fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain(head.get(column).copied()).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line =
        |cells: &[&str]| {
            let cells = cells.iter().zip(&widths).enumerate();
            // Names to the left, figures to the right.
            let cells = cells.map(|(column, (cell, width))| {
                if column == 0 { format!(" {cell:width$} |") } else { format!(" {cell:>width$} |") }
            });
            format!("|{}\n", cells.collect::<String>())
        };
    let rule = widths.iter().enumerate().map(|(column, width)| {
        if column == 0 {
            format!("{}|", "-".repeat(width + 2))
        } else {
            format!("{}:|", "-".repeat(width + 1))
        }
    });
    let mut text = line(&head) + "|" + &rule.collect::<String>() + "\n";
    for row in rows {
        text.push_str(&line(&row.each_ref().map(String::as_str)));
    }
    text
}

/// With a comma after each thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(place, digit): (usize, char)| {
        let after = place > 0 && (digits.len() - place).is_multiple_of(3);
        after.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

fn millions(instructions: u64) -> String {
    format!("{} M", grouped((instructions + 500_000) / 1_000_000))
}

fn mebibytes(kibibytes: u64) -> String {
    let tenths = (kibibytes * 10 + 512) / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_can_be_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((millions(1_499_999), mebibytes(26_884)), ("1 M".to_owned(), "26.3 MiB".to_owned()));
    }

    #[test]
    fn figures_problems_goals_and_versions_are_there() {
        let output = "{\"kernel\":\"6.1\",\"versions\":[\"tool 1\"]}\n\
                      {\"row\":\"nothing\",\"refused\":21000}\n\
                      {\"row\":\"portwatch\",\"refused\":21378,\"refused_added\":378,\"shown\":5,\"failures\":5,\
                       \"memory_later_kib\":8192}\n\
                      {\"row\":\"other\",\"problem\":\"it wrote nothing\"}";
        let text = text(&Figures::printed(output).unwrap());
        for part in [
            "| portwatch | 21,378 (+378) |        – |",
            "5 of 5 |",
            "- other: it wrote nothing",
            "|    8,192 | 8,192 |     reached |",
            "Measured in linux 6.1, tool 1.",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
