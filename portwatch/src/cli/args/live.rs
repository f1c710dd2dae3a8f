//! Options of commands that watch: which failures, for how long, and what else is looked at.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::FailOn;
use crate::cli::filter;
use crate::event::{Destination, Errnos, Text};
use crate::kernel::{DETAIL_PER_WINDOW, OWNERS_LEAST, OWNERS_MOST};
use crate::ports::Netns;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LiveArgs {
    /// Only this process (thread-group id, as the host sees it)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) pid: Option<u32>,

    /// Only threads of this name, exactly (at most 15 bytes, as in /proc/PID/task/TID/comm)
    #[arg(long, value_name = "NAME", value_parser = filter::comm)]
    pub(in crate::cli) comm: Option<Text>,

    /// Only to this address, network or port (no binds then): 10.0.0.1, 10.0.0.0/8:443, :443, 2001:db8::1, '[2001:db8::/32]:443'
    #[arg(long, value_name = "CIDR[:PORT]", value_parser = filter::destination)]
    pub(in crate::cli) dest: Option<Destination>,

    /// Only sockets and settings of one network namespace: by a file such as /run/netns/NAME, that of a process, or one by
    /// its number; `all` is the default
    #[arg(long, value_name = "all|PATH|PID", value_parser = filter::netns)]
    pub(in crate::cli) netns: Option<Netns>,

    /// Only processes of one control group or of those below it: its folder or its name, such as system.slice/nginx.service
    #[arg(long, value_name = "PATH")]
    pub(in crate::cli) cgroup: Option<PathBuf>,

    /// Which errors: names separated by commas, or `all` [default: those of a shortage of local ports]
    #[arg(long, value_name = "NAME|all", value_parser = filter::errnos)]
    pub(in crate::cli) errno: Option<Errnos>,

    /// Stop after this time: 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = filter::duration)]
    pub(in crate::cli) duration: Option<Duration>,

    /// Stop when so many failures were shown
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,

    /// Measure searches for a local port, of connects that succeed too: from half of the range in use on they take
    /// a millisecond instead of microseconds, long before one fails
    #[arg(long)]
    pub(in crate::cli) search_time: bool,

    /// Also warn when this share [80% if none is given] of the ports from one source to one destination is taken, or will
    /// be within a minute. Looks every two seconds (less often if a look takes over 0.2 s) at this network namespace, or
    /// that of --netns; of the filters, --dest counts, and --pid, --comm and --cgroup do not. With --search-time also warns
    /// where searches for a port have become slow, in any namespace or that of --netns
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, default_missing_value = "80%", value_parser = filter::percent)]
    pub(in crate::cli) warn: Option<u32>,

    /// Also names of Kubernetes pods, their namespaces and containers: asks the container runtime that has a socket
    /// here (CRI: containerd, CRI-O, cri-dockerd), and reads the names of kubelet's folders /var/log/pods and
    /// /var/log/containers
    #[arg(long)]
    pub(in crate::cli) kubernetes: bool,

    /// End with exit code 3 if this was found; `warn`: a warning was given
    #[arg(long, value_enum, value_name = "WHAT", requires = "warn")]
    pub(in crate::cli) fail_on: Option<FailOn>,

    /// Also tell whose the ports in TIME_WAIT are, of which the kernel keeps no owner: who connects is remembered, in a table
    /// of N places [default: 131072, 9 MiB: enough for 1,092 connects a second]. Each connect that succeeds then costs some
    /// 600 instructions more
    #[arg(
        long, value_name = "N", num_args = 0..=1, require_equals = true,
        value_parser = clap::value_parser!(u32).range(i64::from(OWNERS_LEAST)..=i64::from(OWNERS_MOST))
    )]
    pub(in crate::cli) holders: Option<Option<u32>>,

    /// Show at most so many failures in about a second of one process, destination and cause; more are counted as suppressed
    #[arg(long, value_name = "N", default_value_t = DETAIL_PER_WINDOW, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) detail: u32,

    /// See failures in this way only, for tests
    #[arg(long, hide = true, value_enum)]
    pub(in crate::cli) mode: Option<ModeChoice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ModeChoice {
    Functions,
    Wrappers,
    Tracepoints,
}
