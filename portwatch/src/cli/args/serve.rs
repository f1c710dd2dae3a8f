//! Options of `serve`, and the one of other commands that watch.

use std::net::SocketAddr;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::{GroupByChoice, LiveArgs};
use crate::cli::filter;

pub(super) const EXAMPLES: &str = "\
Examples:
  portwatch serve                          at http://127.0.0.1:7678/metrics until Ctrl-C
  portwatch serve --listen 9000            another port of 127.0.0.1
  portwatch serve --listen 10.0.0.7:7678   for everybody who reaches that address
  curl -s localhost:7678/metrics           what is told

There is no encryption and no password: who reaches the address reads names of programs and destinations. Let a proxy \
that has both stand in front, or listen where only Prometheus reaches.";

/// Where metrics are told unless somebody says otherwise: the digits of PORT on a telephone. Prometheus's own range, 9100 to
/// 9999, has been given away whole. Below 32768, so that no outgoing connection has it by default: on a host that is
/// short of ports one would.
const DEFAULT: &str = "127.0.0.1:7678";

/// Options of commands that watch which cost something, and tell of it where `serve` tells nothing.
const OF_NO_USE: [&str; 4] = ["search_time", "warn", "fail_on", "holders"];

/// The command without these.
pub(super) fn offered(command: Command) -> Command {
    OF_NO_USE.iter().fold(command, |command, id| command.mut_arg(id, |option| option.hide(true)))
}

/// One of these, if it was given.
pub(super) fn of_no_use(given: &ArgMatches) -> Option<String> {
    let is_given = |id: &&&str| given.value_source(id) == Some(ValueSource::CommandLine);
    OF_NO_USE.iter().find(is_given).map(|id| id.replace('_', "-"))
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ServeArgs {
    /// Tell metrics here; a port alone is one of 127.0.0.1, port 0 is one that the system chooses
    #[arg(long, value_name = "ADDR:PORT", default_value = DEFAULT, value_parser = filter::listen)]
    pub(in crate::cli) listen: SocketAddr,

    /// What `group` is in metrics: the name of the process, its unit, its container or its pod; with `destination` it is
    /// empty, as there is a label for that
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub(in crate::cli) group_by: GroupByChoice,

    #[command(flatten)]
    pub(in crate::cli) live: LiveArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MetricsArgs {
    /// Also tell metrics here, as `serve` does: 127.0.0.1:7678, or a port alone
    #[arg(long, value_name = "ADDR:PORT", value_parser = filter::listen)]
    pub(in crate::cli) metrics: Option<SocketAddr>,
}
