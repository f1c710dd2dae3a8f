//! Figures: what the measuring program printed, or what is committed.
//!
//! In: lines of JSON, the first about the guest and each further one a row; or the committed file, which has the
//! same. Out: rows by name. Must not know: what a figure means.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// Figures and what they hold for.
#[derive(Debug)]
pub(super) struct Figures {
    /// The release of the kernel.
    pub(super) kernel: String,
    /// Name and version of each package with other people's programs.
    pub(super) versions: Vec<String>,
    /// In the order of the table.
    pub(super) rows: Vec<Row>,
}

/// What is known of one subject.
#[derive(Debug)]
pub(super) struct Row {
    /// The subject.
    pub(super) name: String,
    /// Why there are no figures.
    pub(super) problem: Option<String>,
    line: Map<String, Value>,
}

/// A figure: row and name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure(pub(super) &'static str, pub(super) &'static str);

impl Row {
    /// A figure of this row.
    pub(super) fn get(&self, figure: &str) -> Option<u64> {
        self.line.get(figure)?.as_u64()
    }

    /// Names and values of all figures of this row.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, u64)> {
        self.line.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_u64()?)))
    }
}

impl Figures {
    /// From lines among which are those of the measuring program.
    pub(super) fn printed(output: &str) -> Result<Self> {
        let mut lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        let about: Value = lines.next().context("it printed nothing")?;
        Self::new(&about, lines)
    }

    /// From the committed file.
    pub(super) fn committed(text: &str) -> Result<Self> {
        let whole: Value = serde_json::from_str(text).context("not JSON")?;
        let rows = whole["rows"].as_array().context("it has no rows")?;
        Self::new(&whole, rows.iter().cloned())
    }

    fn new(about: &Value, rows: impl Iterator<Item = Value>) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let rows = rows.map(|line| {
            let name = text(&line["row"]).with_context(|| format!("a row has no name: {line}"))?;
            let problem = text(&line["problem"]);
            let line = line.as_object().cloned().unwrap_or_default();
            Ok(Row { name, problem, line })
        });
        Ok(Self {
            kernel: text(&about["kernel"]).context("it does not say in which kernel")?,
            versions: about["versions"].as_array().into_iter().flatten().filter_map(text).collect(),
            rows: rows.collect::<Result<_>>()?,
        })
    }

    /// For the committed file.
    pub(super) fn to_json(&self) -> Result<String> {
        let rows: Vec<_> = self.rows.iter().map(|row| Value::from(row.line.clone())).collect();
        let whole = json!({ "kernel": self.kernel, "versions": self.versions, "rows": rows });
        Ok(serde_json::to_string_pretty(&whole).context("write figures as JSON")? + "\n")
    }

    /// A figure, or why there is none.
    pub(super) fn get(&self, figure: Figure) -> Result<u64, String> {
        self.named(figure.0, figure.1)
    }

    /// The same by the names of row and figure.
    pub(super) fn named(&self, row: &str, figure: &str) -> Result<u64, String> {
        let row = self.rows.iter().find(|known| known.name == row).ok_or("not measured")?;
        row.get(figure).ok_or_else(|| row.problem.clone().unwrap_or_else(|| "not measured".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_can_be_committed() {
        let output = "bench: a word\n{\"kernel\":\"6.1\",\"versions\":[\"tool 1\"]}\n{\"row\":\"a\",\"refused\":1}\n\
                      {\"row\":\"b\",\"problem\":\"broken\"}\n";
        let printed = Figures::printed(output).unwrap();
        let figures = Figures::committed(&printed.to_json().unwrap()).unwrap();
        assert_eq!(
            (figures.kernel.as_str(), figures.versions.as_slice()),
            ("6.1", &["tool 1".to_owned()][..])
        );
        assert_eq!(figures.get(Figure("a", "refused")), Ok(1));
        assert_eq!(figures.get(Figure("a", "start")).unwrap_err(), "not measured");
        assert_eq!(figures.get(Figure("b", "refused")).unwrap_err(), "broken");
        assert_eq!(figures.get(Figure("c", "refused")).unwrap_err(), "not measured");
    }
}
