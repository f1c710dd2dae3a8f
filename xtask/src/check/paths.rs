//! The paths that a source file names, `use` trees unfolded, `crate`, `self` and `super` resolved.
//!
//! In: tokens, and the module that the file is. Out: paths from the top of the crate (first part `crate`) or of
//! another crate (first part its name).

use super::tokens::Token;

/// A path as the source names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) parts: Vec<String>,
    pub(super) line: usize,
}

/// All paths of two or more parts in `tokens`, and the crates that `use` names alone. `module` is the place of the
/// file in its crate, without `crate`.
pub(super) fn paths(tokens: &[Token], module: &[String]) -> Vec<NamedPath> {
    let mut reader =
        Reader { tokens, at: 0, module: module.to_vec(), open_braces: Vec::new(), found: Vec::new() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Where the reader is: the file's module, and the modules written inside the file.
    module: Vec<String>,
    /// For each open brace, whether it opened a module.
    open_braces: Vec<bool>,
    found: Vec<NamedPath>,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn step(&mut self) {
        match self.text(0) {
            "use" => {
                self.at += 1;
                self.tree(&[], true);
            }
            "mod" if self.text(2) == "{" => {
                self.module.push(self.text(1).to_owned());
                self.open_braces.push(true);
                self.at += 3;
            }
            "{" => {
                self.open_braces.push(false);
                self.at += 1;
            }
            "}" => {
                if self.open_braces.pop() == Some(true) {
                    self.module.pop();
                }
                self.at += 1;
            }
            _ if self.starts_path() => self.tree(&[], false),
            _ => self.at += 1,
        }
    }

    fn starts_path(&self) -> bool {
        self.tokens.get(self.at).is_some_and(Token::is_word) && self.text(1) == "::"
    }

    /// Reads one path, in a `use` with the braces that it may end in.
    fn tree(&mut self, before: &[String], in_use: bool) {
        if self.text(0) == "::" {
            self.at += 1;
        }
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut parts = before.to_vec();
        while self.tokens.get(self.at).is_some_and(Token::is_word) {
            parts.push(self.text(0).to_owned());
            self.at += 1;
            if self.text(0) != "::" {
                break;
            }
            self.at += 1;
        }
        if in_use && self.text(0) == "{" {
            return self.branches(&parts);
        }
        if in_use && self.text(0) == "*" {
            self.at += 1;
        }
        if parts.len() > 1 || in_use {
            self.keep(parts, line);
        }
    }

    fn branches(&mut self, before: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && self.text(0) != "}" {
            let start = self.at;
            if self.text(0) == "as" {
                self.at += 2;
            } else if self.text(0) == "," {
                self.at += 1;
            } else {
                self.tree(before, true);
                // Whatever comes, go on.
                self.at = self.at.max(start + 1);
            }
        }
        self.at += 1;
    }

    fn keep(&mut self, parts: Vec<String>, line: usize) {
        let mut here = vec!["crate".to_owned()];
        here.extend_from_slice(&self.module);
        let mut rest = parts.as_slice();
        let relative = matches!(rest.first().map(String::as_str), Some("self" | "super"));
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "self" => {}
                "super" if relative && here.len() > 1 => {
                    here.pop();
                }
                _ => break,
            }
            rest = after;
        }
        let parts = if relative { [here, rest.to_vec()].concat() } else { parts };
        self.found.push(NamedPath { parts, line });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    fn found(source: &str, module: &str) -> Vec<String> {
        let module: Vec<_> = module.split("::").map(str::to_owned).collect();
        paths(&tokens(source), &module).into_iter().map(|path| path.parts.join("::")).collect()
    }

    #[test]
    fn use_trees_unfold() {
        assert_eq!(
            found("use crate::{event::Item, sink::{self, text::*}, term as t};", "cli"),
            ["crate::event::Item", "crate::sink::self", "crate::sink::text", "crate::term"]
        );
        assert_eq!(found("use aya; pub use ::clap::Parser as _;", "cli"), ["aya", "clap::Parser"]);
    }

    #[test]
    fn expressions_count_too() {
        assert_eq!(
            found("fn f() { crate::term::width(); x.y::<std::fs::File>(); }", "cli"),
            ["crate::term::width", "std::fs::File"]
        );
    }

    #[test]
    fn relative_paths_are_resolved() {
        assert_eq!(
            found("use super::json; use self::width::X;", "sink::text"),
            ["crate::sink::json", "crate::sink::text::width::X"]
        );
        assert_eq!(
            found("mod tests { use super::super::json; } use super::json;", "sink::text"),
            ["crate::sink::json", "crate::sink::json"]
        );
    }
}
