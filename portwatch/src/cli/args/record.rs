//! Options of `record`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{GroupByChoice, LiveArgs, MetricsArgs};
use crate::capture::Keep;
use crate::cli::filter;

pub(super) const EXAMPLES: &str = "\
Examples:
  portwatch record -o today.jsonl.zst                   until Ctrl-C
  portwatch record -o load.jsonl.zst -- ./load-test.sh  while a command runs
  portwatch record -o /var/lib/portwatch --keep 12h     a flight recorder: the last 12 hours
  portwatch record -o now.jsonl.zst --on-failure-exec 'mail -s \"$PORTWATCH_CAUSE\" ops'
  kill -USR1 PID                                        keep a copy of what is there now
  portwatch report today.jsonl.zst                      what happened

The file is created for its owner alone, and never overwritten without --force. If it cannot be written (disk full), \
watching goes on, what is missing is counted, and the exit code is 1 in the end.";

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("shown").args(["print", "json", "quiet"])))]
pub(in crate::cli) struct RecordArgs {
    /// Where to: a file, *.jsonl.zst by custom; with --keep a folder
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) output: PathBuf,

    /// Go on for ever, and keep only the last hours (1h30m) or bytes (500M, 2G), in parts: older ones make room, also
    /// those that an earlier recording left in that folder
    #[arg(long, value_name = "TIME|SIZE", value_parser = filter::keep)]
    pub(in crate::cli) keep: Option<Keep>,

    /// Overwrite the file, once recording begins
    #[arg(long, conflicts_with = "keep")]
    pub(in crate::cli) force: bool,

    /// Seal a copy after the first failure: nothing removes it. SIGUSR1 seals one at any time
    #[arg(long)]
    pub(in crate::cli) on_failure: bool,

    /// Run this by /bin/sh at the first failure, then at most once a minute: facts in PORTWATCH_… variables, JSON
    /// Lines on its stdin
    #[arg(long, value_name = "COMMAND")]
    pub(in crate::cli) on_failure_exec: Option<OsString>,

    /// Also show each failure on stdout, as trace does
    #[arg(long)]
    pub(in crate::cli) print: bool,

    /// JSON Lines on stdout, as trace --json
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// What the summary on stdout counts together
    #[arg(long, value_enum, default_value_t, value_name = "WHAT", conflicts_with_all = ["json", "quiet"])]
    pub(in crate::cli) group_by: GroupByChoice,

    /// Nothing on stdout
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,

    /// Do not remember who connects, as `record` does unless told: each connect that succeeds costs some 600 instructions
    /// less, and nobody knows whose the ports in TIME_WAIT are
    #[arg(long, conflicts_with = "holders")]
    pub(in crate::cli) no_holders: bool,

    #[command(flatten)]
    pub(in crate::cli) metrics: MetricsArgs,

    #[command(flatten)]
    pub(in crate::cli) live: LiveArgs,

    /// Record while this runs; what would be on stdout is on stderr then
    #[arg(last = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<OsString>,
}
