//! Figures against those that are committed.
//!
//! In: both. Out: a line for each figure of portwatch that is worse, and each goal that is no longer reached.

use super::figures::{Figure, Figures};
use super::goals::GOALS;

/// The rows that are compared: others' costs are not ours.
const ROWS: [&str; 4] =
    ["portwatch", "portwatch, its reader stopped", "portwatch, beyond the bound", "portwatch --holders"];
const COMPARED: [&str; 6] =
    ["refused_added", "accepted_added", "failing_added", "start", "memory_kib", "memory_later_kib"];
/// How much worse a figure may be, in percent: a start varies by one or two.
const ALLOWED: u64 = 5;

/// What is worse.
pub(super) fn findings(now: &Figures, committed: &Figures) -> Vec<String> {
    let figures = ROWS.iter().flat_map(|row| COMPARED.iter().map(|name| Figure(row, name)));
    let worse = figures.filter_map(|figure| {
        let was = committed.get(figure).ok()?;
        let Figure(row, name) = figure;
        match now.get(figure) {
            Ok(is) if is * 100 <= was * (100 + ALLOWED) => None,
            Ok(is) => Some(format!("{row}: {name} was {was} and is {is}: more than {ALLOWED} % worse")),
            Err(problem) => Some(format!("{row}: {name} was {was} and is not there: {problem}")),
        }
    });
    let missed = GOALS.iter().filter(|goal| goal.is_reached(committed) && !goal.is_reached(now));
    worse.chain(missed.map(|goal| format!("no longer reached: {}", goal.name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(portwatch: &str) -> Figures {
        let text = format!(
            "{{\"kernel\":\"6.1\"}}\n{{\"row\":\"empty fexit pair, bare aya loader\",\"refused_added\":100}}\n\
             {{\"row\":\"portwatch\",{portwatch}}}"
        );
        Figures::printed(&text).unwrap()
    }

    #[test]
    fn worse_figures_and_lost_goals_are_found() {
        let committed = figures("\"refused_added\":106,\"start\":1000");
        let cases = [
            ("the same", "\"refused_added\":106,\"start\":1000", vec![]),
            ("5 % more", "\"refused_added\":110,\"start\":1050", vec![]),
            (
                "a start that is worse",
                "\"refused_added\":90,\"start\":1051",
                vec!["portwatch: start was 1000 and is 1051: more than 5 % worse"],
            ),
            (
                "a goal that is lost",
                "\"refused_added\":111,\"start\":1",
                vec!["no longer reached: a connect that succeeds: at most 1.10 times the empty pair"],
            ),
            (
                "a figure that is gone",
                "\"refused_added\":106,\"problem\":\"why\"",
                vec!["portwatch: start was 1000 and is not there: why"],
            ),
        ];
        for (description, now, expected) in cases {
            assert_eq!(findings(&figures(now), &committed), expected, "{description}");
        }
    }

    #[test]
    fn a_goal_that_was_never_reached_is_not_found() {
        let committed = figures("\"refused_added\":200");
        assert!(findings(&figures("\"refused_added\":201"), &committed).is_empty());
    }
}
