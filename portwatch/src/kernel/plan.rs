//! Which program goes to which kernel function.

use super::btf::{Btf, BtfError};

/// A program of the kernel side and the function at whose return it shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    /// The kernel function.
    pub(super) function: &'static str,
    /// The program, or why no program fits.
    pub(super) program: Result<&'static str, String>,
    /// Whether tracing without it is not worth the name.
    pub(super) required: bool,
}

/// Where the socket stands among the arguments of the port search, on every kernel.
const SOCKET_ARGUMENT: usize = 1;

/// Chooses programs by what type information says of this kernel's functions, never by its version.
pub(super) fn plan(btf: &Btf) -> Vec<Planned> {
    let mut planned = port_search(btf);
    for (function, required) in [("tcp_v4_connect", true), ("tcp_v6_connect", false)] {
        planned.push(Planned { function, program: with_arity(btf, function, &[(3, function)], 0), required });
    }
    planned
}

/// `__inet_hash_connect` where its arity is known, else the wrappers around it.
fn port_search(btf: &Btf) -> Vec<Planned> {
    let programs = [(4, "port_search_4"), (5, "port_search_5")];
    let inner = with_arity(btf, "__inet_hash_connect", &programs, SOCKET_ARGUMENT);
    if inner.is_ok() {
        return vec![Planned { function: "__inet_hash_connect", program: inner, required: true }];
    }
    let wrapper = |function, program, required| Planned {
        function,
        program: with_arity(btf, function, &[(2, program)], SOCKET_ARGUMENT),
        required,
    };
    vec![
        Planned { function: "__inet_hash_connect", program: inner, required: false },
        wrapper("inet_hash_connect", "port_search_v4", true),
        wrapper("inet6_hash_connect", "port_search_v6", false),
    ]
}

/// The program for the number of arguments that `function` has here, if its socket stands where expected: the
/// return value lies behind the last argument, and a program that looks in another place loads and lies.
fn with_arity(
    btf: &Btf,
    function: &'static str,
    programs: &[(usize, &'static str)],
    socket: usize,
) -> Result<&'static str, String> {
    let arguments = btf.arguments(function).map_err(|error: BtfError| error.to_string())?;
    let program = programs.iter().find(|(arity, _)| *arity == arguments.len());
    match (program, arguments.get(socket)) {
        (Some((_, program)), Some(&"sk")) => Ok(program),
        (Some(_), _) => Err(format!("unknown arguments ({})", arguments.join(", "))),
        (None, _) => Err(format!("{} arguments, which this version does not know", arguments.len())),
    }
}
