//! A row of the table: the runs of one subject, and their medians.

use anyhow::Error;
use serde_json::{Map, Value};

use crate::bed::Costs;
use crate::run::Run;

/// The runs of one subject.
pub(crate) struct Row {
    name: &'static str,
    /// Figure → its values. The names are read by `xtask/src/bench/figures.rs`.
    figures: Vec<(&'static str, Vec<u64>)>,
    problem: Option<String>,
}

impl Row {
    /// A row without runs.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, figures: Vec::new(), problem: None }
    }

    /// Takes in a run and the costs of nothing at that time.
    pub(crate) fn add(&mut self, run: &Run, nothing: &Costs) {
        self.add_costs(&run.costs);
        let over = |with: Option<u64>, without: Option<u64>| Some(with?.saturating_sub(without?));
        self.put("refused_added", over(run.costs.refused, nothing.refused));
        self.put("accepted_added", over(run.costs.accepted, nothing.accepted));
        self.put("failing_added", over(run.costs.failing, nothing.failing));
        self.put("other_call_added", over(run.costs.other_call, nothing.other_call));
        self.put("start", run.start);
        self.put("memory_kib", run.memory);
        self.put("memory_later_kib", run.memory_later);
        self.put("failures", run.failures.filter(|_| run.shown.is_some()));
        self.put("shown", run.shown);
    }

    /// Takes in the costs of connects alone.
    pub(crate) fn add_costs(&mut self, costs: &Costs) {
        self.put("refused", costs.refused);
        self.put("accepted", costs.accepted);
        self.put("failing", costs.failing);
        self.put("other_call", costs.other_call);
    }

    /// Says why there are no figures.
    pub(crate) fn fail(&mut self, problem: &Error) {
        self.problem = Some(format!("{problem:#}"));
    }

    /// Whether there are no figures to be had.
    pub(crate) fn has_problem(&self) -> bool {
        self.problem.is_some()
    }

    /// For whoever makes a table: the medians, or the problem.
    pub(crate) fn into_json(self) -> Value {
        let mut row = Map::from_iter([("row".to_owned(), self.name.into())]);
        if let Some(problem) = self.problem {
            row.insert("problem".to_owned(), problem.into());
            return row.into();
        }
        for (name, mut values) in self.figures {
            values.sort_unstable();
            row.extend(values.get(values.len() / 2).map(|median| (name.to_owned(), (*median).into())));
        }
        row.into()
    }

    fn put(&mut self, name: &'static str, value: Option<u64>) {
        let Some(value) = value else { return };
        match self.figures.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.figures.push((name, vec![value])),
        }
    }
}
