//! What is measured: programs that watch connects, each with how to start it, how to see that it has attached, and
//! what it should show.

use crate::loader;
use crate::shown::Shows;

/// A program that watches.
pub(crate) struct Subject {
    /// Names its row.
    pub(crate) name: &'static str,
    /// Program and arguments.
    pub(crate) command: &'static [&'static str],
    /// How to see that it has attached.
    pub(crate) attached: Attached,
    /// What of the connects it should show.
    pub(crate) shows: Shows,
    /// What is done to it.
    pub(crate) load: Load,
}

/// How to see that a program has attached.
pub(crate) enum Attached {
    /// These functions are hooked, and it has written this.
    Hooks(&'static [&'static str], &'static str),
    /// The measuring process is traced.
    Tracer,
}

/// What is done to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Each kind of connect.
    All,
    /// Failing connects while it is stopped: what the kernel side costs alone.
    Stopped,
    /// Failing connects beyond what is sent in detail.
    Beyond,
}

/// In [`Subject::command`]: this program's own file.
pub(crate) const OWN_PROGRAM: &str = "(this program)";
/// In [`Subject::command`]: this program's own process.
pub(crate) const OWN_PID: &str = "(this process)";

const CONNECT: &[&str] = &["tcp_v4_connect"];
const BOTH: &[&str] = &["__inet_hash_connect", "tcp_v4_connect"];
const ALL: &[&str] = &["__inet_hash_connect", "tcp_v4_connect", "tcp_v6_connect"];
const PORTWATCH: &[&str] = &["portwatch", "trace", "--json"];
const PORTWATCH_READY: &str = "portwatch: ready";
const ATTACHING: &str = "Attaching 1 probe";

impl Subject {
    /// The floor.
    pub(crate) const EMPTY_PAIR: Self = Self {
        name: "empty fexit pair, bare aya loader",
        command: &[OWN_PROGRAM, "--bare-loader"],
        attached: Attached::Hooks(BOTH, loader::READY),
        shows: Shows::Nothing,
        load: Load::All,
    };

    const fn portwatch(name: &'static str, load: Load, shows: Shows) -> Self {
        Self { name, command: PORTWATCH, attached: Attached::Hooks(ALL, PORTWATCH_READY), shows, load }
    }

    const fn bpftrace(name: &'static str, command: &'static [&'static str], shows: Shows) -> Self {
        Self { name, command, attached: Attached::Hooks(CONNECT, ATTACHING), shows, load: Load::All }
    }

    const fn libbpf_tool(name: &'static str, command: &'static [&'static str], shows: Shows) -> Self {
        Self { name, command, attached: Attached::Hooks(CONNECT, ""), shows, load: Load::All }
    }
}

const OWN: [Subject; 5] = [
    Subject::EMPTY_PAIR,
    Subject::portwatch("portwatch", Load::All, Shows::Ledger),
    Subject::portwatch("portwatch, its reader stopped", Load::Stopped, Shows::Ledger),
    Subject::portwatch("portwatch, beyond the bound", Load::Beyond, Shows::Ledger),
    Subject {
        name: "portwatch --holders",
        command: &["portwatch", "trace", "--json", "--holders"],
        attached: Attached::Hooks(ALL, PORTWATCH_READY),
        shows: Shows::Ledger,
        load: Load::All,
    },
];

/// portwatch, doing more or otherwise.
const MORE: [Subject; 3] = [
    Subject {
        name: "portwatch --errno all",
        command: &["portwatch", "trace", "--json", "--errno", "all"],
        attached: Attached::Hooks(ALL, PORTWATCH_READY),
        shows: Shows::LedgerOfAll,
        load: Load::All,
    },
    Subject {
        name: "portwatch --search-time",
        command: &["portwatch", "trace", "--json", "--search-time"],
        attached: Attached::Hooks(ALL, PORTWATCH_READY),
        shows: Shows::Ledger,
        load: Load::All,
    },
    Subject {
        name: "portwatch by tracepoints",
        command: &["portwatch", "trace", "--json", "--mode", "tracepoints"],
        attached: Attached::Hooks(&[], PORTWATCH_READY),
        shows: Shows::Ledger,
        load: Load::All,
    },
];

const PEERS: [Subject; 8] = [
    Subject::bpftrace(
        "bpftrace kretfunc, counting",
        &["bpftrace", "-e", "kretfunc:tcp_v4_connect /(int32)retval == -99/ { @[pid, comm] = count(); }"],
        Shows::Map,
    ),
    Subject::bpftrace(
        "bpftrace kretfunc, printing",
        &[
            "bpftrace",
            "-e",
            "kretfunc:tcp_v4_connect /(int32)retval == -99/ { printf(\"failed %d %s\\n\", pid, comm); }",
        ],
        Shows::FailureLines("failed "),
    ),
    Subject::bpftrace(
        "bpftrace kretprobe, counting",
        &["bpftrace", "-e", "kretprobe:tcp_v4_connect /(int32)retval == -99/ { @[pid, comm] = count(); }"],
        Shows::Map,
    ),
    Subject::bpftrace(
        "bpftrace kretprobe, printing",
        &[
            "bpftrace",
            "-e",
            "kretprobe:tcp_v4_connect /(int32)retval == -99/ { printf(\"failed %d %s\\n\", pid, comm); }",
        ],
        Shows::FailureLines("failed "),
    ),
    // What --holders does, without a bound, and without saying which socket it was.
    Subject::bpftrace(
        "bpftrace, by process and destination",
        &[
            "bpftrace",
            "-e",
            "kretfunc:tcp_v4_connect /(int32)retval == 0/ { @[pid, comm, args->sk->__sk_common.skc_daddr, \
             args->sk->__sk_common.skc_dport] = count(); }",
        ],
        Shows::SuccessMap,
    ),
    // To it a refused connect succeeds: its first packet went out.
    Subject::libbpf_tool("libbpf-tools tcpconnect", &["tcpconnect"], Shows::Successes(1, 1)),
    // Connected, accepted, and closed on both sides.
    Subject::libbpf_tool("libbpf-tools tcptracer", &["tcptracer"], Shows::Successes(0, 4)),
    Subject {
        name: "strace",
        command: &["strace", "-f", "-qq", "-e", "trace=connect", "-p", OWN_PID],
        attached: Attached::Tracer,
        shows: Shows::FailureLines("EADDRNOTAVAIL"),
        load: Load::All,
    },
];

/// All, or without the peers.
pub(crate) fn subjects(quick: bool) -> Vec<Subject> {
    let own = OWN.into_iter().chain(MORE);
    if quick { own.collect() } else { own.chain(PEERS).collect() }
}
