//! Which rules speak about a shortage, the one that explains most of it first.
//!
//! In: facts. Out: diagnoses. Must not know: what single rules look at.

use super::advice::Advice;
use super::facts::Facts;
use super::rules::{Evidence, RULES};

/// What one rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Name of the rule.
    pub rule: &'static str,
    /// What it sees.
    pub evidence: Evidence,
    /// What to do, and what not; what an earlier diagnosis says is not said again.
    pub advice: Vec<Advice>,
}

/// What explains the shortage, the most of it first; nothing where there is none, or where nothing known explains it.
#[must_use]
pub fn verdict(facts: &Facts) -> Vec<Diagnosis> {
    let mut spoken: Vec<_> = RULES.iter().filter_map(|rule| Some((rule, (rule.check)(facts)?))).collect();
    // Stable: the table decides between equals.
    spoken.sort_by_key(|(_, evidence)| std::cmp::Reverse(evidence.weight_permille));
    let mut said = Vec::new();
    let mut diagnoses = Vec::new();
    for (rule, evidence) in spoken {
        let mut advice = (rule.advice)(facts);
        advice.retain(|advice| !said.contains(&advice.what));
        said.extend(advice.iter().map(|advice| advice.what));
        diagnoses.push(Diagnosis { rule: rule.name, evidence, advice });
    }
    diagnoses
}

#[cfg(test)]
mod tests {
    use super::verdict;
    use crate::diagnose::Facts;
    use crate::diagnose::cause::Cause;
    use crate::diagnose::facts::example::{exhausted, healthy};
    use crate::event::{Protocol, SocketState};

    #[test]
    fn a_healthy_host_gets_none() {
        assert_eq!(verdict(&healthy()), []);
        assert_eq!(verdict(&Facts { cause: Some(Cause::Other), ..healthy() }), []);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known() {
        for cause in [None, Some(Cause::RangeExhausted), Some(Cause::TupleInUse), Some(Cause::Unknown)] {
            assert_eq!(verdict(&Facts { cause, ..Facts::new(Protocol::Tcp) }), [], "{cause:?}");
        }
    }

    #[test]
    fn what_explains_most_comes_first_and_advice_is_given_once() {
        let facts = exhausted(&[
            (SocketState::Established, 9_000),
            (SocketState::TimeWait, 11_232),
            (SocketState::CloseWait, 8_000),
        ]);
        let diagnoses = verdict(&facts);
        let rules: Vec<_> = diagnoses.iter().map(|diagnosis| diagnosis.rule).collect();
        assert_eq!(rules, ["time-wait", "live-connections", "close-wait"]);
        let mut said: Vec<_> =
            diagnoses.iter().flat_map(|diagnosis| &diagnosis.advice).map(|advice| advice.what).collect();
        let all = said.len();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), all);
    }
}
