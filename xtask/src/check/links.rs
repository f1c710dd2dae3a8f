//! Do the links between the documents of the checkout lead somewhere?

use std::path::Path;

use super::SourceFile;
use super::finding::Finding;

/// Checks all relative links of `documents`, whose names start at `root`.
pub(super) fn check(root: &Path, documents: &[SourceFile]) -> Vec<Finding> {
    let dead = |document: &SourceFile| {
        let path = root.join(&document.name);
        let folder = path.parent().unwrap_or(root).to_owned();
        let missing = |(_, target): &(usize, String)| !folder.join(target).exists();
        let finding = |(line, target): (usize, String)| Finding {
            file: document.name.clone(),
            line,
            what: format!("the link to {target} leads nowhere"),
            advice: "mend or remove it",
        };
        relative_links(&document.text).into_iter().filter(missing).map(finding).collect::<Vec<_>>()
    };
    documents.iter().flat_map(dead).collect()
}

/// The line and the file of each link `](file)` outside of code.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                links.push((index + 1, target.to_owned()));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_outside_of_code_count() {
        let text =
            "[a](b.md) [c](https://x.example/y)\n```\n[d](e.md)\n```\n[f](#g) [h](../i.md#j) [k](mailto:l)";
        assert_eq!(relative_links(text), [(1, "b.md".to_owned()), (5, "../i.md".to_owned())]);
    }

    #[test]
    fn a_dead_link_is_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        std::fs::write(root.path().join("README.md"), "").unwrap();
        let text = "[up](../README.md)\n[gone](gone.md)".to_owned();
        let found = check(root.path(), &[SourceFile { name: "docs/a.md".to_owned(), text }]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "docs/a.md:2: the link to gone.md leads nowhere: mend or remove it");
    }
}
