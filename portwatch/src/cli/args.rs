//! What may stand on the command line; validated, nothing of the system touched.

mod captures;
mod live;
mod ports;
mod record;
mod serve;

use clap::error::ErrorKind;
use clap::parser::ValueSource::CommandLine;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::sink::GroupBy;
pub(super) use captures::{ReplayArgs, ReportArgs, ReportFormat};
pub(super) use live::{LiveArgs, ModeChoice};
pub(super) use ports::PortsArgs;
pub(super) use record::RecordArgs;
pub(super) use serve::{MetricsArgs, ServeArgs};

/// Why a connect() failed, which process asked, and for which destination.
///
/// Without a command, `trace` runs.
#[derive(Debug, Parser)]
#[command(version, help_expected = true, after_help = AFTERWARDS)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    pub(super) trace: TraceArgs,

    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: ColorChoice,

    /// Say more on stderr about what happens inside; twice: also what the kernel side logs
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

const AFTERWARDS: &str = "\
Begin with `portwatch doctor`. `portwatch COMMAND --help` has examples.

Exit codes: 0 done · 1 failed while running · 2 usage · 3 found what --fail-on names · 69 this host cannot be traced \
(says why)";

impl Args {
    /// Those of the process; ends it where they are wrong, or ask for help.
    pub(super) fn of_process() -> Self {
        let mut command = Self::offered();
        let matches = command.get_matches_mut();
        // Options of `trace` before another command, or before itself, would be taken and forgotten.
        let is_given = |option: &&Arg| matches.value_source(option.get_id().as_str()) == Some(CommandLine);
        let stray = command.get_arguments().find(|option| !option.is_global_set() && is_given(option));
        let named = matches.subcommand_name().and_then(|name| command.find_subcommand(name));
        if let (Some(named), Some(stray)) = (named, stray) {
            let (name, option) = (named.get_name(), stray.get_long().unwrap_or_default());
            let message = if named.get_arguments().any(|its| its.get_id() == stray.get_id()) {
                format!("--{option} stands before the command: write `portwatch {name} --{option}`")
            } else {
                format!("--{option} is an option of trace, not of {name}")
            };
            command.error(ErrorKind::ArgumentConflict, message).exit();
        }
        let of_no_use = matches.subcommand_matches("serve").and_then(serve::of_no_use);
        if let Some(option) = of_no_use {
            let message = format!("--{option} is of no use to serve, which tells numbers and prints nothing");
            command.error(ErrorKind::ArgumentConflict, message).exit();
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }

    /// What there is to choose from: no command has options that are of no use to it.
    pub(super) fn offered() -> clap::Command {
        Self::command().mut_subcommand("serve", serve::offered)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One line per failed connect as it happens, a summary at the end (the default command)
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Watch like trace, and keep everything in a capture file, for days if need be
    #[command(after_help = record::EXAMPLES)]
    Record(RecordArgs),
    /// What trace would have printed, from capture files; needs no privileges
    #[command(after_help = captures::REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// What happened, from capture files: why, who, where, when, what helps; as text, HTML or JSON; needs no privileges
    #[command(after_help = captures::REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Who holds the local ports now, for each namespace, source and destination; needs no BPF
    #[command(after_help = ports::PORTS_EXAMPLES)]
    Ports(PortsArgs),
    /// Watch like trace, print nothing, and tell metrics to Prometheus and the like, for months if need be
    #[command(after_help = serve::EXAMPLES)]
    Serve(ServeArgs),
    /// Whether this host can be traced, by which hooks, and what to do if not; needs no privileges
    #[command(after_help = DOCTOR_NOTES)]
    Doctor,
}

const DOCTOR_NOTES: &str = "\
Looks at the kernel, and with privileges loads and attaches what trace would, and lets go of it at once. Changes \
nothing. Ends with exit code 69 if this host cannot be traced, and says what is missing and what to do.";

const TRACE_EXAMPLES: &str = "\
Examples:
  portwatch trace                               until Ctrl-C
  portwatch trace --duration 30s --json         JSON Lines for half a minute
  portwatch trace --comm nginx --dest :8080     one program, one port
  portwatch trace --dest '[2001:db8::/32]:443'  one network, one port
  portwatch trace --errno all                   also connects that failed for other reasons
  portwatch trace --warn 80%                    also before one fails

Shortages of local ports are seen of every process, in every network namespace: of TCP, MPTCP and UDP, over IPv4 and \
IPv6, at connect, bind and send. With --errno also what else makes a connect fail: errors of the network (refused, \
timed out), told of the process that called, and refusals by security modules and control groups.";

#[derive(Debug, clap::Args)]
pub(super) struct TraceArgs {
    /// JSON Lines on stdout instead of text
    #[arg(long, conflicts_with = "group_by")]
    pub(super) json: bool,

    /// What the summary counts together
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(super) group_by: GroupByChoice,

    #[command(flatten)]
    pub(super) metrics: MetricsArgs,

    #[command(flatten)]
    pub(super) live: LiveArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Warn,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum GroupByChoice {
    /// Processes of one name
    #[default]
    Process,
    /// Units of systemd
    Unit,
    /// Containers
    Container,
    /// Kubernetes pods
    Pod,
    /// Destinations
    Destination,
}

impl From<GroupByChoice> for GroupBy {
    fn from(choice: GroupByChoice) -> Self {
        match choice {
            GroupByChoice::Process => Self::Process,
            GroupByChoice::Unit => Self::Unit,
            GroupByChoice::Container => Self::Container,
            GroupByChoice::Pod => Self::Pod,
            GroupByChoice::Destination => Self::Destination,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into files and pipes
    Always,
    /// Nowhere
    Never,
}
