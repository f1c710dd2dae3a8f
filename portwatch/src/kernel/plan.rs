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

/// What to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Ways to see the search for a port, the best first; one suffices.
    pub(super) port_search: Vec<Vec<Planned>>,
    /// To see what fails elsewhere.
    pub(super) connect: Vec<Planned>,
}

impl Plan {
    /// Every function that a program may go to.
    pub(super) fn functions(&self) -> impl Iterator<Item = &'static str> {
        let planned = self.port_search.iter().flatten().chain(&self.connect);
        planned.filter(|planned| planned.program.is_ok()).map(|planned| planned.function)
    }
}

/// Where the socket stands among the arguments of the port search, on every kernel.
const SOCKET_ARGUMENT: usize = 1;

/// Chooses programs by what type information says of this kernel's functions, never by its version.
pub(super) fn plan(btf: &Btf) -> Plan {
    let planned = |function, programs: &[(usize, &'static str)], socket, required| Planned {
        function,
        program: with_arity(btf, function, programs, socket),
        required,
    };
    let inner = [(4, "port_search_4"), (5, "port_search_5")];
    Plan {
        port_search: vec![
            vec![planned("__inet_hash_connect", &inner, SOCKET_ARGUMENT, true)],
            vec![
                planned("inet_hash_connect", &[(2, "port_search_v4")], SOCKET_ARGUMENT, true),
                planned("inet6_hash_connect", &[(2, "port_search_v6")], SOCKET_ARGUMENT, false),
            ],
        ],
        connect: vec![
            planned("tcp_v4_connect", &[(3, "tcp_v4_connect")], 0, true),
            planned("tcp_v6_connect", &[(3, "tcp_v6_connect")], 0, false),
        ],
    }
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

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::kernel::btf::Btf;
    use crate::kernel::btf::tests::Builder;

    /// The programs for a kernel with these functions, in the order of the plan; none where there is no fit.
    fn programs(functions: &[(&str, &[&str])]) -> Vec<Option<&'static str>> {
        let mut btf = Builder::new();
        for (name, arguments) in functions {
            btf.function(name, arguments);
        }
        let plan = plan(&Btf::parse(btf.bytes()).unwrap());
        plan.port_search
            .into_iter()
            .flatten()
            .chain(plan.connect)
            .map(|planned| planned.program.ok())
            .collect()
    }

    #[test]
    fn the_number_of_arguments_chooses_the_program() {
        const CONNECT: &[&str] = &["sk", "uaddr", "addr_len"];
        let (v4, v6) = (("tcp_v4_connect", CONNECT), ("tcp_v6_connect", CONNECT));
        let (both, none) = ([Some("tcp_v4_connect"), Some("tcp_v6_connect")], [None, None]);
        let wrappers =
            [("inet_hash_connect", &["death_row", "sk"][..]), ("inet6_hash_connect", &["death_row", "sk"])];
        let four = ("__inet_hash_connect", &["death_row", "sk", "port_offset", "check"][..]);
        let five = ("__inet_hash_connect", &["death_row", "sk", "port_offset", "hash_port0", "check"][..]);
        let six = ("__inet_hash_connect", &["death_row", "sk", "a", "b", "c", "d"][..]);
        let moved = ("__inet_hash_connect", &["sk", "death_row", "port_offset", "check"][..]);
        let wrapped = [Some("port_search_v4"), Some("port_search_v6")];
        let cases = [
            ("6.1", vec![four, wrappers[0], wrappers[1], v4, v6], Some("port_search_4"), wrapped, both),
            ("7.3", vec![five, wrappers[0], wrappers[1], v4, v6], Some("port_search_5"), wrapped, both),
            ("one more argument", vec![six, wrappers[0], wrappers[1], v4, v6], None, wrapped, both),
            ("socket elsewhere", vec![moved, v4, v6], None, none, both),
            ("inlined", vec![wrappers[0], wrappers[1], v4, v6], None, wrapped, both),
            (
                "no IPv6",
                vec![four, wrappers[0], v4],
                Some("port_search_4"),
                [Some("port_search_v4"), None],
                [both[0], None],
            ),
            ("nothing", vec![], None, none, none),
        ];
        for (what, functions, inner, wrappers, connect) in cases {
            let expected: Vec<_> = [inner].into_iter().chain(wrappers).chain(connect).collect();
            assert_eq!(programs(&functions), expected, "{what}");
        }
    }
}
