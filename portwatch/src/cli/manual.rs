//! What manual pages say beyond `--help`: exit codes, files, environment, what to read next.
//!
//! In: the name of a command, or none for the program. Out: sections of text. What `--help` says is not here: it comes
//! from the definitions of the arguments, which [`definition`] hands out. Must not know: how a page is written.

use clap::Command;

use super::args::Args;

/// A section of a manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Terms and what is said of each.
    pub entries: Vec<(&'static str, &'static str)>,
}

/// The command line as `--help` and completions know it.
#[must_use]
pub fn definition() -> Command {
    Args::offered()
}

/// What the page of `command` says behind its options; that of the program itself where there is none.
#[must_use]
pub fn sections(command: Option<&str>) -> Vec<Section> {
    let files = match command {
        None => &FILES[..],
        Some("trace" | "serve" | "doctor") => &FILES[..1],
        Some("record") => &FILES[1..],
        Some(_) => &[],
    };
    let environment = match command {
        None | Some("record") => &ENVIRONMENT[..],
        Some(_) => &ENVIRONMENT[..1],
    };
    let exits = EXITS.iter().filter(|exit| exit.is_of(command)).map(|exit| (exit.code, exit.means));
    let sections =
        [("EXIT STATUS", exits.collect()), ("FILES", files.to_vec()), ("ENVIRONMENT", environment.to_vec())];
    let said = sections.into_iter().filter(|(_, entries): &(_, Vec<_>)| !entries.is_empty());
    said.map(|(title, entries)| Section { title, entries }).collect()
}

/// What else there is to read about `command`: names of manual pages, those of the other commands not among them.
#[must_use]
pub fn see_also(command: Option<&str>) -> &'static [&'static str] {
    match command {
        None => &["ss(8)", "ip(7)", "tcp(7)", "udp(7)", "connect(2)", "bind(2)", "bpf(2)", "capabilities(7)"],
        Some("trace" | "record") => &["connect(2)", "bind(2)", "ip(7)", "tcp(7)"],
        Some("serve") => &["prometheus(1)", "promtool(1)"],
        Some("ports") => &["ss(8)", "ip(7)", "ip-netns(8)", "sock_diag(7)"],
        Some("doctor") => &["bpf(2)", "capabilities(7)", "setcap(8)", "kernel_lockdown(7)"],
        Some("replay" | "report") => &["zstd(1)", "jq(1)"],
        Some(_) => &[],
    }
}

/// A code that a command ends with.
struct Exit {
    code: &'static str,
    means: &'static str,
    /// The commands that do; all of them where this is empty.
    of: &'static [&'static str],
}

impl Exit {
    fn is_of(&self, command: Option<&str>) -> bool {
        self.of.is_empty() || command.is_none_or(|command| self.of.contains(&command))
    }
}

const EXITS: [Exit; 5] = [
    Exit {
        code: "0",
        means: "Done. Also where SIGINT or SIGTERM ended a session in order, and where the reader of the output has gone.",
        of: &[],
    },
    Exit { code: "1", means: "Failed while running; stderr says at what.", of: &[] },
    Exit { code: "2", means: "Not a command line that portwatch knows.", of: &[] },
    Exit {
        code: "3",
        means: "Found what --fail-on names; everything else went well.",
        of: &["trace", "record", "ports"],
    },
    Exit {
        code: "69",
        means: "This host cannot be traced as things are: stderr says what is missing and what to do (doctor: stdout).",
        of: &["trace", "record", "serve", "doctor"],
    },
];

const FILES: [(&str, &str); 3] = [
    (
        "/sys/kernel/btf/vmlinux",
        "The kernel's own type information, by which portwatch finds its way in it. Without this file nothing can be traced.",
    ),
    (
        "*.jsonl.zst",
        "Captures: JSON Lines in Zstandard frames with checksums, readable by zstdcat and jq. Created for their owner alone.",
    ),
    (
        "/var/lib/portwatch",
        "Where the flight recorder of the package, portwatch.service, keeps its parts. Nothing removes them with the package.",
    ),
];

const ENVIRONMENT: [(&str, &str); 2] = [
    ("NO_COLOR", "If it is set and not empty, --color auto uses no colours."),
    (
        "PORTWATCH_*",
        "Set for the command of --on-failure-exec: PORTWATCH_CAUSE and other facts about the failure.",
    ),
];
