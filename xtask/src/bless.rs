//! The session in README.md, as the virtual machine printed it.
//!
//! In: the text of README.md and a session. Out: the text with the session between its two markers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const START: &str = "<!-- session: cargo xtask vm --bless -->";
const END: &str = "<!-- /session -->";

/// Reads the file and checks that it has a place for a session.
pub(crate) fn read(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| {
        format!("read {}\nhint: --bless writes into a README.md that has {START} and {END}", path.display())
    })?;
    place(&text)?;
    Ok(text)
}

/// `text` with `session` in its place.
pub(crate) fn rewritten(text: &str, session: &str) -> Result<String> {
    let (before, after) = place(text)?;
    Ok(format!("{before}{START}\n```text\n{}\n```\n{END}{after}", session.trim()))
}

fn place(text: &str) -> Result<(&str, &str)> {
    let parts = text.split_once(START).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    parts.with_context(|| {
        format!("README.md has no place for the session\nhint: add the lines {START} and {END}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_changes() {
        let text = format!("# Title\n\n{START}\nold\n{END}\nrest\n");
        let fresh = rewritten(&text, "$ true\n").unwrap();
        assert_eq!(fresh, format!("# Title\n\n{START}\n```text\n$ true\n```\n{END}\nrest\n"));
        assert_eq!(rewritten(&fresh, "$ true\n").unwrap(), fresh);
    }

    #[test]
    fn a_missing_marker_is_told() {
        assert!(rewritten(START, "").unwrap_err().to_string().contains("hint:"));
        assert!(rewritten(&format!("{END} {START}"), "").is_err());
    }
}
