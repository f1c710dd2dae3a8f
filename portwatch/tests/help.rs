//! What `--help` says, of every command, as it is in `tests/help/`. After a change on purpose:
//! `PORTWATCH_BLESS=1 cargo test --package portwatch --test help`, then read what has changed.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use portwatch::cli::manual;

/// What `portwatch COMMAND --help` prints where no terminal is; a hundred columns wide.
fn said(command: Option<&str>) -> String {
    let mut portwatch = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    portwatch.args(command).arg("--help").env("COLUMNS", "100").stdin(Stdio::null());
    let output = portwatch.output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_every_command_is_as_it_was_read_and_agreed_to() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let definition = manual::definition();
    let commands = definition.get_subcommands().map(clap::Command::get_name);
    let mut files = BTreeSet::new();
    for command in [None].into_iter().chain(commands.map(Some)) {
        let (file, said) = (format!("{}.txt", command.unwrap_or("portwatch")), said(command));
        let path = folder.join(&file);
        if std::env::var_os("PORTWATCH_BLESS").is_some() {
            fs::write(&path, &said).unwrap();
        }
        let agreed = fs::read_to_string(&path).unwrap_or_default();
        let first = said.lines().zip(agreed.lines()).find(|(now, then)| now != then);
        assert!(said == agreed, "{file}: {first:?}\nhint: see the head of tests/help.rs\n{said}");
        files.insert(file);
    }
    let kept = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.collect::<BTreeSet<_>>(), files, "a command that is gone leaves no file");
}

#[test]
fn no_line_of_an_example_is_broken() {
    for command in manual::definition().get_subcommands() {
        let said = said(Some(command.get_name()));
        let Some((_, examples)) = said.split_once("Examples:\n") else { continue };
        for line in examples.lines().take_while(|line| !line.is_empty()) {
            assert!(line.starts_with("  "), "{}: {line}", command.get_name());
        }
    }
}
