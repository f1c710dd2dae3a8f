//! Options of commands that read captures.

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;

use super::GroupByChoice;
use crate::cli::filter;

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  portwatch replay today.jsonl.zst             what trace would have printed
  portwatch replay --json /var/lib/portwatch   all parts of a flight recorder, as JSON Lines
  portwatch replay --warn 60% today.jsonl.zst  with the warnings of another threshold";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReplayArgs {
    /// Captures, in any order: files, folders of parts, or - for stdin
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,

    /// JSON Lines on stdout instead of text
    #[arg(long, conflicts_with = "group_by")]
    pub(in crate::cli) json: bool,

    /// What the summary counts together
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(in crate::cli) group_by: GroupByChoice,

    /// Warn from this share of the ports on [default: as it was when recorded]
    #[arg(long, value_name = "PERCENT", value_parser = filter::percent)]
    pub(in crate::cli) warn: Option<u32>,
}

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  portwatch report today.jsonl.zst                              on the terminal
  portwatch report --format html -o today.html today.jsonl.zst  for a browser or a printer
  portwatch report --from '2026-03-01 14:00' --to '2026-03-01 15:00' /var/lib/portwatch
  portwatch report --format json a.jsonl.zst b.jsonl.zst | jq .  several hosts as one

Times without a zone are those of this machine.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ReportArgs {
    /// Captures, in any order: files, folders of parts, or - for stdin
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,

    /// What to write
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(in crate::cli) format: ReportFormat,

    /// Also what units, containers or pods had; destinations come first with `destination`
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(in crate::cli) group_by: GroupByChoice,

    /// Into this file instead of stdout
    #[arg(short, long, value_name = "OUT")]
    pub(in crate::cli) output: Option<PathBuf>,

    /// Only what happened from then on: 2026-03-01T14:00, 2026-03-01T13:00Z
    #[arg(long, value_name = "TIME", value_parser = filter::instant)]
    pub(in crate::cli) from: Option<Timestamp>,

    /// Only what happened until then
    #[arg(long, value_name = "TIME", value_parser = filter::instant)]
    pub(in crate::cli) to: Option<Timestamp>,

    /// Warn from this share of the ports on
    #[arg(long, value_name = "PERCENT", default_value = "80%", value_parser = filter::percent)]
    pub(in crate::cli) warn: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ReportFormat {
    /// For a terminal
    #[default]
    Text,
    /// One page, without scripts or anything from elsewhere
    Html,
    /// One object
    Json,
}
