//! One manual page.
//!
//! In: the definition of a command, and what [`manual`] says of it. Out: troff. The examples and the paragraphs that
//! `--help` ends with stand in sections of their own.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use portwatch::cli::manual::{self, Section};

/// The pages, by the names of their files.
pub(crate) fn all() -> io::Result<Vec<(String, Vec<u8>)>> {
    // The page of the program leaves what `trace` alone knows to the page of trace.
    let of_trace = |arg: clap::Arg| if arg.is_global_set() { arg } else { arg.hide(true) };
    let program = manual::definition()
        .mut_args(of_trace)
        .override_usage("portwatch [OPTIONS OF TRACE]\nportwatch COMMAND [OPTIONS]");
    let mut built = manual::definition().disable_help_subcommand(true);
    built.build();
    let commands: Vec<&Command> = built.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let names: Vec<&str> = commands.iter().map(|command| command.get_name()).collect();
    let mut pages =
        vec![("portwatch.1".to_owned(), page(program.disable_help_subcommand(true), None, &names)?)];
    for command in &commands {
        let name = command.get_name();
        pages.push((format!("portwatch-{name}.1"), page((*command).clone(), Some(name), &names)?));
    }
    Ok(pages)
}

fn page(command: Command, name: Option<&str>, others: &[&str]) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (examples, paragraphs) = split(&after);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").to_owned();
    let man = Man::new(command.subcommand_help_heading("COMMANDS").override_usage(usage))
        .source(format!("portwatch {}", env!("CARGO_PKG_VERSION")))
        .manual("portwatch");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut roff = Roff::new();
    for paragraph in paragraphs {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    roff.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if name.is_none() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    for Section { title, entries } in manual::sections(name) {
        roff.control("SH", [title]);
        entries.iter().for_each(|(term, said)| entry(&mut roff, term, said));
    }
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        examples.iter().for_each(|(line, said)| entry(&mut roff, line, said));
    }
    let own =
        others.iter().filter(|other| name != Some(**other)).map(|other| format!("portwatch-{other}(1)"));
    let own = name.map(|_| "portwatch(1)".to_owned()).into_iter().chain(own);
    let references: Vec<String> = own.chain(manual::see_also(name).iter().map(ToString::to_string)).collect();
    roff.control("SH", ["SEE ALSO"]).text([roman(references.join(", "))]);
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn entry(roff: &mut Roff, term: &str, said: &str) {
    roff.control("TP", []).text([bold(term)]).text([roman(said)]);
}

/// The examples of what `--help` ends with, each with what is said of it, and the paragraphs below. Exit codes have a
/// section.
fn split(after: &str) -> (Vec<(&str, &str)>, Vec<&str>) {
    let mut examples = Vec::new();
    let mut paragraphs = Vec::new();
    for block in after.split("\n\n") {
        if let Some(lines) = block.strip_prefix("Examples:\n") {
            examples.extend(lines.lines().map(|line| {
                let line = line.trim();
                line.split_once("  ").map_or((line, ""), |(line, said)| (line, said.trim()))
            }));
        } else if !block.trim().is_empty() && !block.starts_with("Exit codes:") {
            paragraphs.push(block);
        }
    }
    (examples, paragraphs)
}

#[cfg(test)]
mod tests {
    use super::{all, split};

    #[test]
    fn examples_and_paragraphs_are_told_apart() {
        let after = "Examples:\n  run x    now\n  run | y\n\nIt runs.\n\nExit codes: 0 done";
        assert_eq!(split(after), (vec![("run x", "now"), ("run | y", "")], vec!["It runs."]));
        assert_eq!(split(""), (vec![], vec![]));
    }

    #[test]
    fn every_page_has_its_sections() {
        let pages = all().unwrap();
        for (name, text) in &pages {
            let text = String::from_utf8(text.clone()).unwrap();
            let headings =
                ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"];
            let mut rest = text.as_str();
            for heading in headings {
                let found = rest.split_once(&format!(".SH {heading}\n"));
                let found = found.or_else(|| rest.split_once(&format!(".SH \"{heading}\"\n")));
                rest =
                    found.unwrap_or_else(|| panic!("{name} has no {heading}, or not in its place: {text}")).1;
            }
            assert!(!text.contains(r"\-mode"), "{name} tells of a hidden option");
        }
        assert!(pages.iter().any(|(name, _)| name == "portwatch.1") && pages.len() > 6, "{}", pages.len());
    }
}
