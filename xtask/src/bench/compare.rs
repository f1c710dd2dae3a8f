//! Figures against those that are committed.
//!
//! In: both. Out: a line for each figure of portwatch that is worse, and each goal that is no longer reached.

use super::figures::Figures;
use super::goals::GOALS;

/// Begins the name of each row that is compared: others' costs are not ours.
const OWN: &str = "portwatch";
/// What is no cost: how many failures were made.
const NO_COST: &str = "failures";
/// Of what less is worse: how many of these were shown.
const SHOWN: &str = "shown";
/// How much worse a figure may be, in percent: a start varies by one or two.
const ALLOWED: u64 = 5;

/// What is worse, of all that is committed.
pub(super) fn findings(now: &Figures, committed: &Figures) -> Vec<String> {
    let rows = committed.rows.iter().filter(|row| row.name.starts_with(OWN));
    let figures = rows.flat_map(|row| row.all().map(|(name, was)| (row.name.as_str(), name, was)));
    let worse = figures.filter(|(_, name, _)| *name != NO_COST).filter_map(|(row, name, was)| {
        match now.named(row, name) {
            Ok(is) if name == SHOWN => (is < was).then(|| format!("{row}: {is} failures of {was} are shown")),
            Ok(is) if is * 100 <= was * (100 + ALLOWED) => None,
            Ok(is) => Some(format!("{row}: {name} was {was} and is {is}: more than {ALLOWED} % worse")),
            Err(problem) => Some(format!("{row}: {name} was {was} and is not there: {problem}")),
        }
    });
    let missed = GOALS.iter().filter(|goal| goal.is_reached(committed) && !goal.is_reached(now));
    worse.chain(missed.map(|goal| format!("no longer reached: {}", goal.name))).collect()
}

/// Why nobody should commit to these: a row of portwatch without figures would never be compared again.
pub(super) fn unfit(figures: &Figures) -> Option<String> {
    let mut own = figures.rows.iter().filter(|row| row.name.starts_with(OWN));
    own.find_map(|row| row.problem.as_ref().map(|problem| format!("{}: {problem}", row.name)))
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
    fn a_row_of_portwatch_without_figures_is_nothing_to_commit_to() {
        assert_eq!(unfit(&figures("\"start\":1")), None);
        let broken = figures("\"problem\":\"it wrote nothing\"");
        assert_eq!(unfit(&broken).as_deref(), Some("portwatch: it wrote nothing"));
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

    /// What is in the way of these lines, if those were committed.
    fn between(committed: &str, now: &str) -> Vec<String> {
        let read = |lines: &str| Figures::printed(&format!("{{\"kernel\":\"6.1\"}}\n{lines}")).unwrap();
        findings(&read(now), &read(committed))
    }

    #[test]
    fn each_row_of_portwatch_and_each_figure_is_compared() {
        let text = include_str!("../../../docs/benchmarks.json");
        let committed = Figures::committed(text).unwrap();
        assert_eq!(findings(&committed, &committed), [""; 0], "the committed figures against themselves");
        let own = committed.rows.iter().filter(|row| row.name.starts_with("portwatch"));
        let figures = own.flat_map(|row| row.all().map(|(name, _)| (row.name.as_str(), name)));
        let mut compared = 0;
        for (row, name) in figures.filter(|(_, name)| *name != "failures") {
            let mut changed: serde_json::Value = serde_json::from_str(text).unwrap();
            let rows = changed["rows"].as_array_mut().unwrap();
            let figure = rows.iter_mut().find(|each| each["row"] == row).unwrap().get_mut(name).unwrap();
            let was = figure.as_u64().unwrap();
            *figure = if name == "shown" { was - 1 } else { was + was / 20 + 1 }.into();
            let found = findings(&Figures::committed(&changed.to_string()).unwrap(), &committed);
            assert!(found.iter().any(|line| line.starts_with(row)), "{row}, {name}: {found:?}");
            compared += 1;
        }
        // Rows of everything, one without starts and memory, and one of failures alone.
        assert!(compared >= 5 * 11, "{compared}");
    }

    #[test]
    fn a_tax_on_other_calls_where_there_was_none_is_found() {
        let committed = r#"{"row":"portwatch --holders","other_call_added":0}"#;
        let now = r#"{"row":"portwatch --holders","other_call_added":1}"#;
        let expected = "portwatch --holders: other_call_added was 0 and is 1: more than 5 % worse";
        assert_eq!(between(committed, now), [expected]);
    }

    #[test]
    fn a_row_that_was_not_measured_is_found() {
        let committed = r#"{"row":"portwatch --errno all","start":631298823}"#;
        let expected = "portwatch --errno all: start was 631298823 and is not there: not measured";
        assert_eq!(between(committed, ""), [expected]);
    }

    #[test]
    fn what_others_cost_is_not_compared() {
        let [committed, now] = [1, 2].map(|start| format!(r#"{{"row":"strace","start":{start}}}"#));
        assert_eq!(between(&committed, &now), [""; 0]);
    }

    #[test]
    fn a_goal_that_was_never_reached_is_not_found() {
        let committed = figures("\"refused_added\":200");
        assert!(findings(&figures("\"refused_added\":201"), &committed).is_empty());
    }
}
