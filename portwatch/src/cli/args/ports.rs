//! Options of `ports`.

use std::time::Duration;

use super::FailOn;
use crate::cli::filter;
use crate::event::Destination;
use crate::ports::Netns;

pub(super) const PORTS_EXAMPLES: &str = "\
Examples:
  portwatch ports                             this network namespace, the fullest first
  portwatch ports --netns all                 all of them (root)
  portwatch ports --netns 4711                that of a process
  portwatch ports --dest 10.0.0.9:443         what is taken towards one destination
  portwatch ports --watch 5s                  again and again, with how fast it grows
  portwatch ports --warn 90% --fail-on warn   for scripts: exit code 3 if somewhere 90% are taken
  portwatch ports --json | jq -r 'select(.type == \"ports\" and .used * 10 >= .usable * 9)'

USED of USABLE: usable is the local port range without reserved ports and without ports that other sockets are bound \
to, which no connect() gets. Used are those that a connection has from this source to this destination, in TIME_WAIT \
too. Without root, holders of other users' sockets and other namespaces are not seen, which is said. A number from 4194304 on is a namespace's own number, as in NETNS of trace.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PortsArgs {
    /// JSON Lines on stdout instead of a table
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// Only connections to this address, network or port: 10.0.0.1, 10.0.0.0/8:443, :443, 2001:db8::1, '[2001:db8::/32]:443'
    #[arg(long, value_name = "CIDR[:PORT]", value_parser = filter::destination)]
    pub(in crate::cli) dest: Option<Destination>,

    /// Which network namespaces: `all`, one by a file such as /run/netns/NAME, that of a process, or one by its number
    /// [default: the one that portwatch runs in]
    #[arg(long, value_name = "all|PATH|PID", value_parser = filter::netns)]
    pub(in crate::cli) netns: Option<Netns>,

    /// Look again and again, each INTERVAL [default: 2s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = filter::duration)]
    pub(in crate::cli) watch: Option<Duration>,

    /// Stop watching after this time: 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", requires = "watch", value_parser = filter::duration)]
    pub(in crate::cli) duration: Option<Duration>,

    /// Warn when this share of the ports of a row is taken, or, with --watch, will be within a minute
    #[arg(long, value_name = "PERCENT", default_value = "80%", value_parser = filter::percent)]
    pub(in crate::cli) warn: u32,

    /// Also names of Kubernetes pods, their namespaces and containers: asks the container runtime that has a socket
    /// here (CRI: containerd, CRI-O, cri-dockerd), and reads the names of kubelet's folders /var/log/pods and
    /// /var/log/containers
    #[arg(long)]
    pub(in crate::cli) kubernetes: bool,

    /// End with exit code 3 if this was found; `warn`: a warning was given
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(in crate::cli) fail_on: Option<FailOn>,

    /// Rows to show [default: as many as the terminal has room for, 40 elsewhere]
    #[arg(long, value_name = "N", conflicts_with = "json", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) top: Option<u32>,
}
