//! Rules for single source files: the module's purpose first, nothing left half done.

use super::SourceFile;
use super::finding::Finding;
use super::tokens::tokens;

/// Where each file says at its top what goes in and what comes out.
const DOCUMENTED: [&str; 3] = ["portwatch/src/", "portwatch-ebpf/src/", "xtask/src/"];
/// What must not stay, as tokens, for people, and what to do.
const LEFTOVERS: [(&[&str], &str, &str); 3] = [
    (&["todo", "!"], "todo!", "write it, or leave the command out until it works"),
    (&["dbg", "!"], "dbg!", "remove it"),
    (&["#", "[", "ignore"], "#[ignore]", "mend the test or remove it"),
];

/// Checks all files.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    files.iter().flat_map(|file| undocumented(file).into_iter().chain(leftovers(file))).collect()
}

fn undocumented(file: &SourceFile) -> Option<Finding> {
    let expected = DOCUMENTED.iter().any(|folder| file.name.starts_with(folder));
    (expected && !starts_with_purpose(&file.text)).then(|| Finding {
        file: file.name.clone(),
        line: 1,
        what: "no module documentation at the top".to_owned(),
        advice: "say in `//!` what goes in, what comes out, what it must not know",
    })
}

/// Whether the first thing after attributes of the file is a line of `//!`.
fn starts_with_purpose(text: &str) -> bool {
    let mut open_brackets = 0_usize;
    for line in text.lines().map(str::trim) {
        if open_brackets == 0 && line.starts_with("//!") {
            return true;
        }
        if open_brackets == 0 && !line.is_empty() && !line.starts_with("#![") {
            return false;
        }
        open_brackets = (open_brackets + line.matches('[').count()).saturating_sub(line.matches(']').count());
    }
    false
}

fn leftovers(file: &SourceFile) -> Vec<Finding> {
    let tokens = tokens(&file.text);
    let mut findings = Vec::new();
    for (wanted, shown, advice) in LEFTOVERS {
        let places = tokens.windows(wanted.len());
        let hits =
            places.filter(|place| place.iter().zip(wanted).all(|(token, wanted)| token.text == *wanted));
        findings.extend(hits.filter_map(|place| place.first()).map(|token| Finding {
            file: file.name.clone(),
            line: token.line,
            what: format!("a left-over `{shown}`"),
            advice,
        }));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> usize {
        check(&[SourceFile { name: name.to_owned(), text: text.to_owned() }]).len()
    }

    #[test]
    fn the_purpose_comes_first() {
        assert_eq!(found("xtask/src/a.rs", "//! Purpose.\nuse x;"), 0);
        assert_eq!(found("xtask/src/a.rs", "#![cfg_attr(\n    a,\n    b\n)]\n\n//! Purpose."), 0);
        assert_eq!(found("xtask/src/a.rs", "use x;\n//! Late."), 1);
        assert_eq!(found("tests/src/a.rs", "use x;"), 0);
    }

    #[test]
    fn leftovers_in_code_only() {
        assert_eq!(found("tests/a.rs", "fn f() { todo!() }\n#[ignore = \"slow\"]\nfn g() { dbg!(1); }"), 3);
        assert_eq!(found("tests/a.rs", "// todo!\nconst A: &str = \"dbg!()\"; fn ignore() {}"), 0);
    }
}
