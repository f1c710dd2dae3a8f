//! Does every module import only what its row in [`super::modules`] allows?

use std::collections::BTreeSet;

use super::SourceFile;
use super::finding::Finding;
use super::modules::{FOREIGN, MODULES, SHARED, SIBLINGS};
use super::paths::{NamedPath, paths};
use super::tokens::tokens;

const USER_SIDE: &str = "portwatch/src/";
const CRATE_FOLDERS: [&str; 2] = [USER_SIDE, "portwatch-ebpf/src/"];

/// Checks the files of both sides.
pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(inside) = CRATE_FOLDERS.iter().find_map(|folder| file.name.strip_prefix(folder)) else {
            continue;
        };
        let module = module_of(inside);
        let named = paths(&tokens(&file.text), &module);
        if file.name.starts_with(USER_SIDE) {
            let top = top_level(inside);
            findings.extend(known(file, top));
            findings.extend(named.iter().filter_map(|path| between_modules(file, top, path)));
            findings.extend(named.iter().filter_map(|path| foreign(file, top, path)));
        }
        findings.extend(between_siblings(file, files, &module, &named));
    }
    findings
}

/// The place of a file in its crate: `sink/top/mod.rs` is `sink::top`.
fn module_of(inside: &str) -> Vec<String> {
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut parts: Vec<_> = stem.split('/').map(str::to_owned).collect();
    let root = parts.len() == 1 && matches!(stem, "main" | "lib" | "empty");
    if root || parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

fn top_level(inside: &str) -> &str {
    let end = inside.find('/').or_else(|| inside.find(".rs")).unwrap_or(inside.len());
    inside.get(..end).unwrap_or(inside)
}

fn known(file: &SourceFile, top: &str) -> Option<Finding> {
    let unknown = MODULES.iter().all(|module| module.name != top);
    unknown.then(|| Finding {
        file: file.name.clone(),
        line: 1,
        what: format!("the module `{top}` is in no row of the import table"),
        advice: "add it to xtask/src/check/modules.rs and to ARCHITECTURE.md",
    })
}

fn between_modules(file: &SourceFile, top: &str, path: &NamedPath) -> Option<Finding> {
    let [first, target, ..] = path.parts.as_slice() else { return None };
    // The binary sees the library from outside.
    let inside = first == "crate" || (top == "main" && first == "portwatch");
    let is_module = MODULES.iter().any(|module| module.name == target);
    let allowed = MODULES.iter().find(|module| module.name == top)?.may_import;
    let forbidden = inside && is_module && target != top && !allowed.contains(&target.as_str());
    forbidden.then(|| Finding {
        file: file.name.clone(),
        line: path.line,
        what: format!("`{top}` must not import `{target}`"),
        advice: "see \"who may import whom\" in ARCHITECTURE.md",
    })
}

fn foreign(file: &SourceFile, top: &str, path: &NamedPath) -> Option<Finding> {
    let rule = FOREIGN.iter().find(|rule| {
        path.parts.len() >= rule.path.len()
            && path.parts.iter().zip(rule.path).all(|(part, wanted)| part == wanted)
    })?;
    (!rule.only_in.contains(&top)).then(|| Finding {
        file: file.name.clone(),
        line: path.line,
        what: format!("`{top}` must not name `{}`", rule.path.join("::")),
        advice: rule.advice,
    })
}

fn between_siblings(
    file: &SourceFile,
    files: &[SourceFile],
    module: &[String],
    named: &[NamedPath],
) -> Vec<Finding> {
    let Some(folder) = SIBLINGS.iter().find(|folder| child(&file.name, folder).is_some()) else {
        return Vec::new();
    };
    let own = child(&file.name, folder).unwrap_or_default();
    if own == "mod" {
        return Vec::new();
    }
    let siblings: BTreeSet<_> = files.iter().filter_map(|file| child(&file.name, folder)).collect();
    let Some(at) = module.iter().position(|part| part == own) else { return Vec::new() };
    let parent = module.get(..at).unwrap_or_default();
    let sibling_of = |path: &NamedPath| {
        let inside = path.parts.strip_prefix(["crate".to_owned()].as_slice())?.strip_prefix(parent)?;
        let target = inside.first().filter(|target| *target != own && *target != "mod")?;
        if SHARED.contains(&(*folder, target.as_str())) {
            return None;
        }
        siblings.contains(target.as_str()).then(|| target.clone())
    };
    let finding = |path: &NamedPath| {
        Some(Finding {
            file: file.name.clone(),
            line: path.line,
            what: format!("`{own}` must not import its sibling `{}`", sibling_of(path)?),
            advice: "move what both need into their parent",
        })
    };
    named.iter().filter_map(finding).collect()
}

/// The name that a file has, or is below, directly in `folder`.
fn child<'a>(name: &'a str, folder: &str) -> Option<&'a str> {
    Some(top_level(name.strip_prefix(folder)?.strip_prefix('/')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(sources: &[(&str, &str)]) -> Vec<String> {
        let file =
            |(name, text): &(&str, &str)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() };
        check(&sources.iter().map(file).collect::<Vec<_>>()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_imports_are_silent() {
        let good = [
            ("portwatch/src/lib.rs", "pub mod event; pub mod sink;"),
            ("portwatch/src/main.rs", "use clap::Parser; fn main() { portwatch::cli::run() }"),
            ("portwatch/src/event.rs", "//! crate::kernel is not named here\n use std::net::IpAddr;"),
            ("portwatch/src/kernel/ring.rs", "use aya::maps; use crate::{event::Item, kernel::losses};"),
            (
                "portwatch/src/sink/text.rs",
                "use super::Sink; use crate::term; const A: &str = \"crate::cli::x\";",
            ),
            ("portwatch/src/sink/mod.rs", "mod text; use self::text::Text;"),
            ("xtask/src/main.rs", "use aya::anything;"),
        ];
        assert_eq!(findings(&good), Vec::<String>::new());
    }

    #[test]
    fn a_forbidden_direction_is_found() {
        assert_eq!(
            findings(&[("portwatch/src/diagnose/mod.rs", "use crate::event;\nuse crate::{sink::Sink};")]),
            ["portwatch/src/diagnose/mod.rs:2: `diagnose` must not import `sink`: \
             see \"who may import whom\" in ARCHITECTURE.md"]
        );
        assert_eq!(
            findings(&[("portwatch/src/enrich/cgroup.rs", "fn f() { super::super::kernel::x() }")]).len(),
            1
        );
        assert_eq!(findings(&[("portwatch/src/main.rs", "use portwatch::pipeline::run;")]).len(), 1);
    }

    #[test]
    fn a_foreign_crate_in_the_wrong_place_is_found() {
        assert_eq!(findings(&[("portwatch/src/sink/json.rs", "use portwatch_ebpf::abi;")]).len(), 1);
        assert_eq!(findings(&[("portwatch/src/source/live.rs", "fn f(x: &aya::Ebpf) {}")]).len(), 1);
        assert_eq!(
            findings(&[("portwatch/src/diagnose/history.rs", "use std::time::{Duration, Instant};")]).len(),
            1
        );
    }

    #[test]
    fn siblings_stay_apart() {
        let both = |text| {
            findings(&[("portwatch/src/sink/text.rs", text), ("portwatch/src/sink/json/mod.rs", "")]).len()
        };
        assert_eq!(both("use super::json::X;"), 1);
        assert_eq!(both("use crate::sink::json;"), 1);
        assert_eq!(both("use crate::sink::Sink;"), 0);
        let words =
            [("portwatch/src/sink/text.rs", "use super::words::X;"), ("portwatch/src/sink/words/mod.rs", "")];
        assert_eq!(findings(&words).len(), 0);
        let back =
            [("portwatch/src/sink/words/mod.rs", "use super::text::X;"), ("portwatch/src/sink/text.rs", "")];
        assert_eq!(findings(&back).len(), 1);
        let hooks = [
            ("portwatch-ebpf/src/hooks/connect.rs", "use super::bind; use crate::emit;"),
            ("portwatch-ebpf/src/hooks/bind.rs", ""),
        ];
        assert_eq!(findings(&hooks).len(), 1);
    }

    #[test]
    fn a_new_module_needs_a_row() {
        assert!(findings(&[("portwatch/src/helpers.rs", "")])[0].contains("`helpers` is in no row"));
    }
}
