//! What may stand on the command line; validated, nothing of the system touched.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource::CommandLine;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use super::filter;
use crate::event::{Destination, Errnos, Text};
use crate::kernel::{DETAIL_PER_WINDOW, OWNERS_LEAST, OWNERS_MOST};
use crate::ports::Netns;

/// Why a connect() failed, which process asked, and for which destination.
///
/// Without a command, `trace` runs.
#[derive(Debug, Parser)]
#[command(version, help_expected = true, after_help = EXIT_CODES)]
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

const EXIT_CODES: &str = "Exit codes: 0 done · 1 failed while running · 2 usage · 3 found what --fail-on names · 69 this host cannot be traced (says why)";

impl Args {
    /// Those of the process; ends it where they are wrong, or ask for help.
    pub(super) fn of_process() -> Self {
        let mut command = Self::command();
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
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One line per failed connect as it happens, a summary at the end (the default command)
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Who holds the local ports now, for each namespace, source and destination; needs no BPF
    #[command(after_help = PORTS_EXAMPLES)]
    Ports(PortsArgs),
    /// Whether this host can be traced, by which hooks, and what to do if not; needs no privileges
    Doctor,
}

const TRACE_EXAMPLES: &str = "\
Examples:
  portwatch trace                              until Ctrl-C
  portwatch trace --duration 30s --json        JSON Lines for half a minute
  portwatch trace --comm nginx --dest :8080    one program, one port
  portwatch trace --dest '[2001:db8::/32]:443' one network, one port
  portwatch trace --errno all                  also connects that failed for other reasons
  portwatch trace --warn 80%                   also before one fails

Shortages of local ports are seen of every process, in every network namespace: of TCP, MPTCP and UDP, over IPv4 and \
IPv6, at connect, bind and send. With --errno also what else makes a connect fail: errors of the network (refused, \
timed out), told of the process that called, and refusals by security modules and control groups.";

#[derive(Debug, clap::Args)]
pub(super) struct TraceArgs {
    /// JSON Lines on stdout instead of text
    #[arg(long)]
    pub(super) json: bool,

    /// Only this process (thread-group id, as the host sees it)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) pid: Option<u32>,

    /// Only threads of this name, exactly (at most 15 bytes, as in /proc/PID/task/TID/comm)
    #[arg(long, value_name = "NAME", value_parser = filter::comm)]
    pub(super) comm: Option<Text>,

    /// Only to this address, network or port (no binds then): 10.0.0.1, 10.0.0.0/8:443, :443, 2001:db8::1, '[2001:db8::/32]:443'
    #[arg(long, value_name = "CIDR[:PORT]", value_parser = filter::destination)]
    pub(super) dest: Option<Destination>,

    /// Only sockets and settings of one network namespace: by a file such as /run/netns/NAME, that of a process, or one by
    /// its number; `all` is the default
    #[arg(long, value_name = "all|PATH|PID", value_parser = filter::netns)]
    pub(super) netns: Option<Netns>,

    /// Only processes of one control group or of those below it: its folder or its name, such as system.slice/nginx.service
    #[arg(long, value_name = "PATH")]
    pub(super) cgroup: Option<PathBuf>,

    /// Which errors: names separated by commas, or `all` [default: those of a shortage of local ports]
    #[arg(long, value_name = "NAME|all", value_parser = filter::errnos)]
    pub(super) errno: Option<Errnos>,

    /// Stop after this time: 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = filter::duration)]
    pub(super) duration: Option<Duration>,

    /// Stop after so many failures were shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Measure searches for a local port, of connects that succeed too: from half of the range in use on they take
    /// a millisecond instead of microseconds, long before one fails
    #[arg(long)]
    pub(super) search_time: bool,

    /// Look every two seconds (less often if a look takes over 0.2 s) at this network namespace, or that of --netns, and warn when so many of the ports from one
    /// source to one destination (--dest counts, --pid, --comm and --cgroup do not) are taken, or will be within a minute; with
    /// --search-time also where searches for a port have become slow, in any namespace or that of --netns
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "80%", value_parser = filter::percent)]
    pub(super) warn: Option<u32>,

    /// End with exit code 3 if that was found: `warn` is that a warning was given
    #[arg(long, value_enum, value_name = "WHAT", requires = "warn")]
    pub(super) fail_on: Option<FailOn>,

    /// Also tell whose ports in TIME_WAIT are, of which the kernel keeps no owner. Each connect that
    /// succeeds then costs some 600 instructions more, to remember who made it; in one of N places [default: 131072, 9 MiB: enough for 1,092 connects a second]
    #[arg(
        long, value_name = "N", num_args = 0..=1, require_equals = true,
        value_parser = clap::value_parser!(u32).range(i64::from(OWNERS_LEAST)..=i64::from(OWNERS_MOST))
    )]
    pub(super) holders: Option<Option<u32>>,

    /// Lines in about a second for one process, destination and cause; more are counted as suppressed
    #[arg(long, value_name = "N", default_value_t = DETAIL_PER_WINDOW, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) detail: u32,

    /// See failures in this way only, for tests
    #[arg(long, hide = true, value_enum)]
    pub(super) mode: Option<ModeChoice>,
}

const PORTS_EXAMPLES: &str = "\
Examples:
  portwatch ports                        this network namespace, the fullest first
  portwatch ports --netns all            all of them (root)
  portwatch ports --netns 4711           that of a process; a number from 4194304 on is a namespace's own, as in \
NETNS of trace
  portwatch ports --dest 10.0.0.9:443    what is taken towards one destination
  portwatch ports --watch 5s             again and again, with how fast it grows and when it is full
  portwatch ports --warn 90% --fail-on warn   for scripts: exit code 3 if somewhere 90% are taken
  portwatch ports --json | jq -r 'select(.type == \"ports\" and .used * 10 >= .usable * 9)'

USED of USABLE: usable is the local port range without reserved ports and without ports that other sockets are bound \
to, which no connect() gets. Used are those that a connection has from this source to this destination, in TIME_WAIT \
too. Without root, holders of other users' sockets and other namespaces are not seen, which is said.";

#[derive(Debug, clap::Args)]
pub(super) struct PortsArgs {
    /// JSON Lines on stdout instead of a table
    #[arg(long)]
    pub(super) json: bool,

    /// Only connections to this address, network or port: 10.0.0.1, 10.0.0.0/8:443, :443, 2001:db8::1, '[2001:db8::/32]:443'
    #[arg(long, value_name = "CIDR[:PORT]", value_parser = filter::destination)]
    pub(super) dest: Option<Destination>,

    /// All network namespaces, one by a file such as /run/netns/NAME, that of a process, or one by its number
    /// [default: the one that portwatch runs in]
    #[arg(long, value_name = "all|PATH|PID", value_parser = filter::netns)]
    pub(super) netns: Option<Netns>,

    /// Look again and again, each INTERVAL [default: 2s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = filter::duration)]
    pub(super) watch: Option<Duration>,

    /// Stop watching after this time: 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", requires = "watch", value_parser = filter::duration)]
    pub(super) duration: Option<Duration>,

    /// Warn when so many of the ports of a row are taken, or, with --watch, will be within a minute
    #[arg(long, value_name = "PERCENT", default_value = "80%", value_parser = filter::percent)]
    pub(super) warn: u32,

    /// End with exit code 3 if that was found: `warn` is that a warning was given
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(super) fail_on: Option<FailOn>,

    /// Rows to show [default: as many as the terminal has room for, 40 elsewhere]
    #[arg(long, value_name = "N", conflicts_with = "json", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) top: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ModeChoice {
    Functions,
    Wrappers,
    Tracepoints,
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
