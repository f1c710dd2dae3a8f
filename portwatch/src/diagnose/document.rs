//! The rules for readers: `docs/diagnoses.md`.
//!
//! In: the table. Out: Markdown, with each rule's example. Must not know: where it is written to.

use std::fmt::Write as _;

use super::advice::{Advice, How, Standing};
use super::rules::RULES;

const HEAD: &str = "\
# Diagnoses

What portwatch can say about a shortage of local ports, rule by rule, each with an example. A rule whose facts are not
known is silent. Where several speak, the one that explains most of the ports comes first; what explains less than a
quarter of them is not shown. Numbers and advice below belong to the example: both are computed for each case, and
advice is held against the host before it is given.

This page is printed by the table in `portwatch/src/diagnose/rules.rs`; a test compares them. After a change:
`cargo run --package portwatch --example diagnoses > docs/diagnoses.md`.
";

/// The whole page.
#[must_use]
pub fn document() -> String {
    let mut page = HEAD.to_owned();
    for rule in &RULES {
        let facts = (rule.example)();
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\nFinds: {}.\n\nNeeds: {}.\n", rule.name, rule.finds, rule.needs);
        if let Some(evidence) = (rule.check)(&facts) {
            let _ = write!(page, "\n> {}\n\nIn few words: {}.\n", evidence.sentence, evidence.fragment);
        }
        let advice = (rule.advice)(&facts);
        if !advice.is_empty() {
            page.push('\n');
        }
        advice.iter().for_each(|advice| page.push_str(&line(advice)));
    }
    page
}

fn line(advice: &Advice) -> String {
    let what = advice.what;
    match &advice.standing {
        Standing::Helps { how, gain, cost } => {
            let how = match how {
                How::Command(how) => format!("`{how}`"),
                How::Code(how) => format!("`{how}`"),
                How::Arrangement(how) => format!("How: {how}."),
            };
            let cost = cost.as_ref().map_or_else(String::new, |cost| format!(" But: {cost}."));
            format!("- **Do: {what}.** {how} Gain: {gain}.{cost}\n")
        }
        Standing::NotHere { why } => format!("- **Not here: {what}.** {why}.\n"),
        Standing::Harms { why } => format!("- **Harmful: {what}.** {why}.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::{RULES, document};

    const PAGE: &str = include_str!("../../../docs/diagnoses.md");

    #[test]
    fn the_page_is_what_the_table_prints() {
        let first = document()
            .lines()
            .zip(PAGE.lines())
            .find(|(fresh, page)| fresh != page)
            .map(|both| format!("{both:?}"));
        assert!(
            document() == PAGE,
            "docs/diagnoses.md differs, first in {first:?}: run \
             `cargo run --package portwatch --example diagnoses > docs/diagnoses.md`"
        );
    }

    #[test]
    fn every_rule_has_its_section() {
        for rule in &RULES {
            assert!(PAGE.contains(&format!("\n## {}\n", rule.name)), "{}", rule.name);
        }
    }
}
