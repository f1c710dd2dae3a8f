//! Which program goes to which kernel function.

use super::btf::{Btf, BtfError};
use super::sysctls;

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// At the return of a function.
    Exit,
    /// At its beginning.
    Entry,
    /// At a tracepoint.
    Tracepoint,
    /// At the beginning of a function, with preemption off.
    MultiEntry,
    /// At its return, likewise.
    MultiExit,
}

impl Kind {
    /// The word for it in `start.hooks` and `doctor`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exit => "fexit",
            Self::Entry => "fentry",
            Self::Tracepoint => "tp_btf",
            Self::MultiEntry => "kprobe.multi",
            Self::MultiExit => "kretprobe.multi",
        }
    }
}

/// A program of the kernel side and where it shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    /// The kernel function or tracepoint.
    pub(super) function: &'static str,
    /// How to attach there.
    pub(super) kind: Kind,
    /// The program, or why no program fits.
    pub(super) program: Result<&'static str, String>,
    /// Whether the others of its way are not worth the name without it.
    pub(super) needed: bool,
}

/// Something to see, and the ways to see it, the best first; one suffices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Feature {
    /// The ways.
    pub(super) ways: Vec<Vec<Planned>>,
    /// What is not seen without it; none where tracing is not possible at all then.
    pub(super) unseen: Option<&'static str>,
}

/// What shall be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    /// Errors of the socket layer and of the network.
    pub(super) all_errors: bool,
    /// How long searches for a port take.
    pub(super) search_times: bool,
    /// What the kernel skips programs for.
    pub(super) witness: bool,
    /// Whether programs may read kernel memory by address, which some need.
    pub(super) probe_reads: bool,
}

/// Chooses programs by what type information says of this kernel's functions, never by its version.
pub(super) fn by_functions(btf: &Btf, wanted: Wanted) -> Vec<Feature> {
    let exit = |function, programs: &[(usize, &'static str)], argument, needed| Planned {
        function,
        kind: Kind::Exit,
        program: with_arity(btf, function, programs, argument),
        needed,
    };
    let sk = Some((0, "sk"));
    let mut features = vec![
        Feature { ways: port_search(btf, Kind::Exit, ["port_search_v4", "port_search_v6"]), unseen: None },
        Feature {
            ways: vec![vec![exit("tcp_v4_connect", &[(3, "tcp_v4_connect")], sk, true)]],
            unseen: None,
        },
        Feature {
            ways: vec![vec![exit("tcp_v6_connect", &[(3, "tcp_v6_connect")], sk, true)]],
            unseen: Some("IPv6 connects that find no source address"),
        },
    ];
    // What no second program sees is seen by one that the kernel does not skip, where it would skip others.
    let whole = wanted.witness && returns_are_whole(btf);
    for (function, arguments, [typed, multi], unseen) in [
        ("__inet_bind", 4, ["bind_v4", "bind_returns"], "binds to IPv4 addresses"),
        ("__inet6_bind", 4, ["bind_v6", "bind_returns"], "binds to IPv6 addresses"),
        ("inet_autobind", 1, ["autobind", "autobind_returns"], "UDP sockets that get no port"),
    ] {
        let typed = exit(function, &[(arguments, typed)], sk, true);
        let multi = Planned { kind: Kind::MultiExit, ..exit(function, &[(arguments, multi)], sk, true) };
        let mut ways = vec![vec![typed]];
        if whole {
            ways.insert(0, vec![multi]);
        }
        features.push(Feature { ways, unseen: Some(unseen) });
    }
    let sock = Some((0, "sock"));
    features.push(Feature {
        ways: vec![vec![exit("inet_dgram_connect", &[(4, "datagram_connect")], sock, true)]],
        unseen: Some(if wanted.all_errors {
            "UDP connects that fail"
        } else {
            "UDP connects that find no source address"
        }),
    });
    if wanted.all_errors {
        features.extend([
            Feature {
                ways: vec![vec![exit("__inet_stream_connect", &[(5, "stream_connect")], sock, true)]],
                unseen: Some("connects that a control group's program or the socket layer refuses"),
            },
            Feature {
                ways: vec![vec![exit("security_socket_connect", &[(3, "security_connect")], sock, true)]],
                unseen: Some("connects that a security module refuses"),
            },
            Feature {
                ways: vec![vec![reading(
                    btf,
                    &[("sock", "sk_err")],
                    tracepoint(btf, "inet_sock_set_state", "state_changed"),
                )]],
                unseen: Some("errors that the network answers with"),
            },
        ]);
    }
    if wanted.search_times {
        features.push(Feature {
            ways: port_search(btf, Kind::Entry, ["search_begins", "search_begins_v6"]),
            unseen: Some("the times of searches for a port"),
        });
    }
    features.extend(wanted.witness.then(|| witness(btf)));
    // It costs every system call of the host a little.
    if wanted.witness && wanted.probe_reads && !whole {
        features.push(Feature {
            ways: vec![vec![reading(btf, &TO_A_SOCKET, tracepoint(btf, "sys_exit", MAKES_UP))]],
            unseen: Some(
                "some binds and datagrams of a storm, for which this preemptible kernel skips programs,",
            ),
        });
    }
    features.push(changed_settings(btf, wanted));
    features
}

/// The program that tells of what others were skipped for, at the return of the system call.
pub(super) const MAKES_UP: &str = "skipped_returned";

/// Whether it is planned.
pub(super) fn makes_up(plan: &[Feature]) -> bool {
    let mut planned = plan.iter().flat_map(|feature| &feature.ways).flatten();
    planned.any(|planned| planned.program == Ok(MAKES_UP))
}

/// Whether programs by `kprobe.multi` see every return: from 6.14 on, where fprobes stand on the function graph tracer
/// (kernel/trace/fprobe.c). Before, each function has a few places for returns only, and whoever finds none is missed.
pub(super) fn returns_are_whole(btf: &Btf) -> bool {
    btf.member("fprobe", "hlist_array").is_ok()
}

/// The function that connects pass only if they have failed after the search for a port began.
pub(super) const WITNESS: &str = "inet_bhash2_reset_saddr";

/// What sees the failures that two programs at once were skipped for.
fn witness(btf: &Btf) -> Feature {
    let function = WITNESS;
    let by = |kind, program| {
        let program = with_arity(btf, function, &[(1, program)], Some((0, "sk")));
        vec![reading(btf, &HAS_FOUND_PORT, Planned { function, kind, program, needed: true })]
    };
    Feature {
        ways: vec![by(Kind::MultiEntry, "connect_fails"), by(Kind::Entry, "connect_fails_typed")],
        unseen: Some(
            "the few failures of a storm for which this preemptible kernel skips two programs at once",
        ),
    }
}

/// The function that every write of a setting passes.
pub(super) const SYSCTL_WRITE: &str = "proc_sys_write";

/// What tells of settings that are changed, in every namespace, and by whom.
fn changed_settings(btf: &Btf, wanted: Wanted) -> Feature {
    let known = if wanted.probe_reads {
        sysctls::resolve(btf).map(drop).map_err(|error| error.to_string())
    } else {
        Err("this kernel is locked down: programs may not read its memory".to_owned())
    };
    let by = |kind, program| {
        let fits = || with_arity(btf, SYSCTL_WRITE, &[(2, program)], Some((0, "iocb")));
        let program = known.clone().and_then(|()| fits());
        Planned { function: SYSCTL_WRITE, kind, program, needed: true }
    };
    Feature {
        ways: vec![vec![by(Kind::Exit, "sysctl_written"), by(Kind::Entry, "sysctl_write_begins")]],
        unseen: Some("who changes settings, and changes of them in other network namespaces,"),
    }
}

/// The tracepoints that see most of it where programs cannot be attached to functions.
pub(super) fn by_tracepoints(btf: &Btf, wanted: Wanted) -> Vec<Feature> {
    let both = vec![
        reading(
            btf,
            &[("sock", "sk_err"), HAS_FOUND_PORT[0], HAS_FOUND_PORT[1]],
            tracepoint(btf, "inet_sock_set_state", "state_changed"),
        ),
        reading(btf, &TO_A_SOCKET, tracepoint(btf, "sys_exit", "syscall_returned")),
    ];
    let mut features = vec![Feature { ways: vec![both], unseen: None }];
    features.extend(wanted.witness.then(|| witness(btf)));
    features.push(changed_settings(btf, wanted));
    features
}

/// The search itself, or the wrappers around it.
fn port_search(btf: &Btf, kind: Kind, wrappers: [&'static str; 2]) -> Vec<Vec<Planned>> {
    // Where the socket stands among the arguments, on every kernel.
    let sk = Some((1, "sk"));
    let inner: &[_] = match kind {
        Kind::Entry => &[(4, "search_begins"), (5, "search_begins")],
        _ => &[(4, "port_search_4"), (5, "port_search_5")],
    };
    let [v4, v6] = wrappers;
    let planned = |function, programs: &[(usize, &'static str)], needed| Planned {
        function,
        kind,
        program: with_arity(btf, function, programs, sk),
        needed,
    };
    vec![
        vec![planned("__inet_hash_connect", inner, true)],
        vec![
            planned("inet_hash_connect", &[(2, v4)], true),
            planned("inet6_hash_connect", &[(2, v6)], false),
        ],
    ]
}

/// What tells whether a search for a port has succeeded.
const HAS_FOUND_PORT: [(&str, &str); 2] = [("sock", "sk_txhash"), ("inet_sock", "inet_sport")];

/// The way from a task to the socket behind a descriptor.
const TO_A_SOCKET: [(&str, &str); 5] = [
    ("task_struct", "files"),
    ("files_struct", "fdt"),
    ("fdtable", "fd"),
    ("fdtable", "max_fds"),
    ("file", "private_data"),
];

/// Without its program where this kernel lacks a member that only this one reads.
fn reading(btf: &Btf, members: &[(&str, &str)], mut planned: Planned) -> Planned {
    let missing = members.iter().find_map(|(name, path)| btf.member(name, path).err());
    if let (Ok(_), Some(error)) = (&planned.program, missing) {
        planned.program = Err(error.to_string());
    }
    planned
}

fn tracepoint(btf: &Btf, name: &'static str, program: &'static str) -> Planned {
    let there = btf.tracepoint(name).is_some();
    Planned {
        function: name,
        kind: Kind::Tracepoint,
        program: if there { Ok(program) } else { Err(format!("this kernel has no tracepoint {name}")) },
        needed: true,
    }
}

/// The program for the number of arguments that `function` has here, if the one that it reads stands where expected:
/// the return value lies behind the last argument, and a program that looks in another place loads and lies.
fn with_arity(
    btf: &Btf,
    function: &'static str,
    programs: &[(usize, &'static str)],
    argument: Option<(usize, &str)>,
) -> Result<&'static str, String> {
    let arguments = btf.arguments(function).map_err(|error: BtfError| error.to_string())?;
    let program = programs.iter().find(|(arity, _)| *arity == arguments.len());
    let in_place = argument.is_none_or(|(place, name)| arguments.get(place) == Some(&name));
    match program {
        Some((_, program)) if in_place => Ok(program),
        Some(_) => Err(format!("unknown arguments ({})", arguments.join(", "))),
        None => Err(format!("{} arguments, which this version does not know", arguments.len())),
    }
}

#[cfg(test)]
mod tests;
