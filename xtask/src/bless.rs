//! What commands write into documents: a session, figures.
//!
//! In: a document and a text. Out: the document with the text between two markers. Must not know: what the text says.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A place in a document that a command fills.
#[derive(Debug)]
pub(crate) struct Block {
    start: &'static str,
    end: &'static str,
}

/// The session in README.md.
pub(crate) const SESSION: Block =
    Block { start: "<!-- session: cargo xtask vm --bless -->", end: "<!-- /session -->" };
/// The figures in docs/benchmarks.md.
pub(crate) const FIGURES: Block =
    Block { start: "<!-- figures: cargo xtask bench --bless -->", end: "<!-- /figures -->" };
/// What tests came to by kernel, in docs/kernels.md.
pub(crate) const RESULTS: Block =
    Block { start: "<!-- results: cargo xtask test --kernel all --bless -->", end: "<!-- /results -->" };

impl Block {
    /// Reads a document and checks that it has this place.
    pub(crate) fn read(&self, path: &Path) -> Result<String> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        self.place(&text).with_context(|| format!("read {}", path.display()))?;
        Ok(text)
    }

    /// What is there now.
    pub(crate) fn content<'a>(&self, document: &'a str) -> Result<&'a str> {
        self.place(document).map(|(_, content, _)| content.trim())
    }

    /// `document` with `text` in this place.
    pub(crate) fn filled(&self, document: &str, text: &str) -> Result<String> {
        let (before, _, after) = self.place(document)?;
        Ok(format!("{before}{}\n{}\n{}{after}", self.start, text.trim(), self.end))
    }

    /// What is before, in, and after it.
    fn place<'a>(&self, text: &'a str) -> Result<(&'a str, &'a str, &'a str)> {
        let parts = text.split_once(self.start).and_then(|(before, rest)| {
            let (content, after) = rest.split_once(self.end)?;
            Some((before, content, after))
        });
        parts.with_context(|| {
            format!("--bless finds no place to write to\nhint: add the lines {} and {}", self.start, self.end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_changes() {
        let Block { start, end } = SESSION;
        let text = format!("# Title\n\n{start}\nold\n{end}\nrest\n");
        let fresh = SESSION.filled(&text, "$ true\n").unwrap();
        assert_eq!(fresh, format!("# Title\n\n{start}\n$ true\n{end}\nrest\n"));
        assert_eq!(SESSION.filled(&fresh, "$ true\n").unwrap(), fresh);
        assert_eq!((SESSION.content(&text).unwrap(), SESSION.content(&fresh).unwrap()), ("old", "$ true"));
    }

    #[test]
    fn a_missing_marker_is_told() {
        let Block { start, end } = SESSION;
        assert!(SESSION.filled(start, "").unwrap_err().to_string().contains("hint:"));
        assert!(SESSION.filled(&format!("{end} {start}"), "").is_err());
    }
}
