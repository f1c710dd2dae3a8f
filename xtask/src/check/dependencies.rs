//! Is every library that the workspace depends on argued for in `docs/dependencies.md`?

use std::fs;

use anyhow::{Context as _, Result};

use super::finding::Finding;
use crate::checkout::Checkout;

const MANIFEST: &str = "Cargo.toml";
const DOCUMENT: &str = "docs/dependencies.md";
const SECTION: &str = "[workspace.dependencies]";

/// Compares the manifest with the document.
pub(super) fn check(checkout: &Checkout) -> Result<Vec<Finding>> {
    let manifest = fs::read_to_string(checkout.path(MANIFEST)).with_context(|| format!("read {MANIFEST}"))?;
    // Without the document all are missing in it.
    let document = fs::read_to_string(checkout.path(DOCUMENT)).unwrap_or_default();
    Ok(unexplained(&manifest, &document))
}

fn unexplained(manifest: &str, document: &str) -> Vec<Finding> {
    let section = manifest.lines().enumerate().skip_while(|(_, line)| line.trim() != SECTION).skip(1);
    let entries = section.take_while(|(_, line)| !line.starts_with('['));
    let libraries = entries.filter_map(|(index, line)| {
        let (name, value) = line.split_once('=')?;
        (!name.starts_with('#') && !value.contains("path =")).then_some((index + 1, name.trim()))
    });
    let finding = |(line, name): (usize, &str)| Finding {
        file: MANIFEST.to_owned(),
        line,
        what: format!("`{name}` is not named in {DOCUMENT}"),
        advice: "say there what it is for and why it is worth its cost",
    };
    libraries.filter(|(_, name)| !names(document, name)).map(finding).collect()
}

/// Whether `document` names `library`, not only a longer name that contains it.
fn names(document: &str, library: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    document.split(|c| !part_of_name(c)).any(|word| word == library)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_library_is_named_whole() {
        let manifest = "[workspace]\n[workspace.dependencies]\nown = { path = \"own\" }\naya = \"1\"\n\
                        # why = \"x\"\nserde = { version = \"1\" }\n\n[workspace.lints]\nx = \"warn\"\n";
        let found = unexplained(manifest, "We need `serde`, and aya-log.");
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("Cargo.toml:4: `aya` is not named"));
    }
}
