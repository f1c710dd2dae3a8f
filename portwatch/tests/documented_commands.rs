//! Command lines that documents and `--help` tell people to type are ones that portwatch takes.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::fs;
use std::path::Path;

use portwatch::cli::manual;

/// The words of a line as a shell splits them, up to a pipe, a redirection or a comment; expands nothing.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, '|' | '>' | '#' | ';' | '&') => break,
            (None, ' ') if word.is_empty() => {}
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, character) => word.push(character),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The command line of portwatch that begins this line, if one does.
fn command(line: &str) -> Option<Vec<String>> {
    let line = line.trim().trim_start_matches("sudo ").trim_start_matches("./");
    (line == "portwatch" || line.starts_with("portwatch ")).then(|| words(line))
}

fn assert_taken(from: &str, line: &str, words: &[String]) {
    let taken = manual::definition().try_get_matches_from(words);
    assert!(taken.is_ok(), "{from}: {line}\n{}", taken.unwrap_err());
}

#[test]
fn commands_in_documents_are_taken() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (document, least) in [("README.md", 10), ("docs/operators.md", 8)] {
        let text = fs::read_to_string(top.join(document)).unwrap();
        // Every second piece is a block; the first line tells of what.
        let blocks = text.split("\n```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
        let lines: Vec<&str> = blocks.flat_map(str::lines).collect();
        let commands = lines.iter().filter_map(|line| command(line).map(|words| (line, words)));
        let mut seen = 0;
        for (line, words) in commands {
            assert_taken(document, line, &words);
            seen += 1;
        }
        assert!(seen >= least, "{document}: {seen} commands were found");
    }
}

#[test]
fn examples_of_every_command_are_taken() {
    for of in manual::definition().get_subcommands() {
        let help = of.get_after_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, examples)) = help.split_once("Examples:\n") else { continue };
        for line in examples.lines().take_while(|line| !line.is_empty()) {
            // Two spaces stand before what is said of it.
            let example = line.trim().split("  ").next().unwrap_or_default();
            if let Some(words) = command(example) {
                assert_taken(of.get_name(), line, &words);
            }
        }
    }
}
