//! Type information made by hand, and what is planned for it.

use super::{SYSCTL_WRITE, Wanted, by_functions, by_tracepoints};
use crate::kernel::btf::Btf;
use crate::kernel::btf::tests::{Builder, kind};

const CONNECT: (&str, &[&str]) = ("tcp_v4_connect", &["sk", "uaddr", "addr_len"]);
const WRAPPERS: [(&str, &[&str]); 2] =
    [("inet_hash_connect", &["death_row", "sk"]), ("inet6_hash_connect", &["death_row", "sk"])];

/// The program that goes to `function` in the first way that has one, of a kernel with these functions.
fn program(functions: &[(&str, &[&str])], wanted: Wanted, function: &str) -> Option<&'static str> {
    let mut btf = Builder::new();
    for (name, arguments) in functions {
        btf.function(name, arguments);
    }
    let features = by_functions(&Btf::parse(btf.bytes()).unwrap(), wanted);
    let mut planned = features.into_iter().flat_map(|feature| feature.ways).flatten();
    planned.find(|planned| planned.function == function && planned.program.is_ok())?.program.ok()
}

#[test]
fn the_number_of_arguments_chooses_the_program() {
    let search = "__inet_hash_connect";
    let cases: [(&str, &[&str], Option<&str>); 4] = [
        ("6.1", &["death_row", "sk", "port_offset", "check"], Some("port_search_4")),
        ("7.3", &["death_row", "sk", "port_offset", "hash_port0", "check"], Some("port_search_5")),
        ("one more argument", &["death_row", "sk", "a", "b", "c", "d"], None),
        ("socket elsewhere", &["sk", "death_row", "port_offset", "check"], None),
    ];
    for (what, arguments, expected) in cases {
        let functions = [(search, arguments), WRAPPERS[0], WRAPPERS[1], CONNECT];
        assert_eq!(program(&functions, Wanted::default(), search), expected, "{what}");
        let wrapper = program(&functions, Wanted::default(), "inet_hash_connect");
        assert_eq!(wrapper, Some("port_search_v4"), "{what}");
    }
    assert_eq!(program(&[], Wanted::default(), search), None);
    assert_eq!(program(&[CONNECT], Wanted::default(), "tcp_v4_connect"), Some("tcp_v4_connect"));
}

#[test]
fn a_socket_and_a_struct_sock_are_not_taken_for_each_other() {
    let wanted = Wanted { all_errors: true, ..Wanted::default() };
    let function = "__inet_stream_connect";
    for (first, expected) in [("sock", Some("stream_connect")), ("sk", None)] {
        let functions: [(&str, &[&str]); 1] =
            [(function, &[first, "uaddr", "addr_len", "flags", "is_sendmsg"])];
        assert_eq!(program(&functions, wanted, function), expected);
    }
}

#[test]
fn what_was_not_asked_for_is_not_attached() {
    let search: (&str, &[&str]) = ("__inet_hash_connect", &["death_row", "sk", "port_offset", "check"]);
    let count = |wanted| {
        let mut btf = Builder::new();
        btf.function(search.0, search.1);
        by_functions(&Btf::parse(btf.bytes()).unwrap(), wanted).len()
    };
    let (nothing, all) = (
        Wanted::default(),
        Wanted { all_errors: true, search_times: true, witness: true, probe_reads: true },
    );
    assert_eq!(count(all) - count(nothing), 6);
}

#[test]
fn system_calls_are_watched_only_where_programs_are_skipped_and_returns_are_not_whole() {
    let plan = |is_whole: bool, wanted| {
        let mut btf = Builder::new();
        btf.add("int", kind::INT, 0, 4, &[32]); // 1
        btf.add("btf_trace_sys_exit", kind::TYPEDEF, 0, 1, &[]);
        if is_whole {
            btf.record("fprobe", kind::STRUCT, &[("hlist_array", 1, 0)]);
        }
        let plan = by_functions(&Btf::parse(btf.bytes()).unwrap(), wanted);
        plan.into_iter().flat_map(|feature| feature.ways).flatten().any(|one| one.function == "sys_exit")
    };
    let preemptible = Wanted { witness: true, probe_reads: true, ..Wanted::default() };
    let cases = [
        ("not preemptible", false, Wanted { probe_reads: true, ..Wanted::default() }, false),
        ("preemptible, before 6.14", false, preemptible, true),
        ("preemptible, since 6.14", true, preemptible, false),
        ("locked down", false, Wanted { probe_reads: false, ..preemptible }, false),
    ];
    for (what, is_whole, wanted, expected) in cases {
        assert_eq!(plan(is_whole, wanted), expected, "{what}");
    }
}

#[test]
fn a_member_that_is_missing_costs_the_programs_that_read_it() {
    let structures: [(&str, &[&str]); 6] = [
        ("sock", &["sk_err", "sk_txhash"]),
        ("inet_sock", &["inet_sport"]),
        ("task_struct", &["files"]),
        ("files_struct", &["fdt"]),
        ("fdtable", &["fd", "max_fds"]),
        ("file", &["private_data"]),
    ];
    let kernel = |without: &str| {
        let mut btf = Builder::new();
        btf.function("inet_bhash2_reset_saddr", &["sk"]); // 1, 2
        btf.add("int", kind::INT, 0, 4, &[32]); // 3
        for tracepoint in ["btf_trace_inet_sock_set_state", "btf_trace_sys_exit"] {
            btf.add(tracepoint, kind::TYPEDEF, 0, 3, &[]);
        }
        for (name, members) in structures {
            let members = members.iter().filter(|member| **member != without);
            let members: Vec<_> = members.map(|member| (*member, 3, 64)).collect();
            btf.record(name, kind::STRUCT, &members);
        }
        Btf::parse(btf.bytes()).unwrap()
    };
    let wanted = Wanted { all_errors: true, witness: true, ..Wanted::default() };
    let cases: [(&str, &[&str]); 7] = [
        ("", &[]),
        ("sk_err", &["state_changed", "state_changed by tracepoints"]),
        ("sk_txhash", &["connect_fails", "state_changed by tracepoints"]),
        ("inet_sport", &["connect_fails", "state_changed by tracepoints"]),
        ("files", &["syscall_returned by tracepoints"]),
        ("max_fds", &["syscall_returned by tracepoints"]),
        ("private_data", &["syscall_returned by tracepoints"]),
    ];
    for (without, expected) in cases {
        let btf = kernel(without);
        let names = [
            ("inet_sock_set_state", "state_changed"),
            ("sys_exit", "syscall_returned"),
            ("inet_bhash2_reset_saddr", "connect_fails"),
        ];
        let lost = |features: Vec<super::Feature>, how: &str| {
            let planned = features.into_iter().flat_map(|feature| feature.ways).flatten();
            let known = |function| names.iter().find(|(name, _)| *name == function);
            let lost = planned.filter(|planned| {
                let why = planned.program.as_ref().err();
                why.is_some_and(|why| !without.is_empty() && why.ends_with(&format!(".{without}")))
            });
            let mut lost: Vec<_> =
                lost.filter_map(|planned| Some(format!("{}{how}", known(planned.function)?.1))).collect();
            lost.dedup();
            lost
        };
        let mut all = lost(by_functions(&btf, wanted), "");
        all.extend(lost(by_tracepoints(&btf, Wanted { witness: false, ..wanted }), " by tracepoints"));
        assert_eq!(all, expected, "without {without}");
    }
}

#[test]
fn changed_settings_are_hooked_only_where_the_programs_can_read_them() {
    let mut btf = Builder::new();
    btf.function(SYSCTL_WRITE, &["iocb", "iter"]); // 1, 2
    btf.add("int", kind::INT, 0, 4, &[32]); // 3
    btf.record("path", kind::STRUCT, &[("dentry", 3, 64)]); // 4
    btf.record("qstr", kind::STRUCT, &[("name", 3, 64)]); // 5
    btf.record("kiocb", kind::STRUCT, &[("ki_filp", 3, 0)]);
    btf.record("file", kind::STRUCT, &[("f_inode", 3, 0), ("f_path", 4, 64)]);
    btf.record("dentry", kind::STRUCT, &[("d_parent", 3, 0), ("d_name", 5, 64)]);
    let inode = [("vfs_inode", 3, 64), ("sysctl", 3, 0), ("sysctl_entry", 3, 32)];
    btf.record("proc_inode", kind::STRUCT, &inode);
    btf.record("ctl_table_header", kind::STRUCT, &[("set", 3, 0)]);
    btf.record("net", kind::STRUCT, &[("sysctls", 3, 64)]);
    let table = [("procname", 3, 0), ("data", 3, 64), ("maxlen", 3, 128)];
    btf.record("ctl_table", kind::STRUCT, &table);
    let whole = btf.bytes();
    let why = |btf: &[u8], probe_reads| {
        let btf = Btf::parse(btf.to_vec()).unwrap();
        let wanted = Wanted { probe_reads, ..Wanted::default() };
        [by_functions(&btf, wanted), by_tracepoints(&btf, wanted)].map(|mut features| {
            let way = features.pop().unwrap().ways.remove(0);
            assert!(way.iter().all(|planned| planned.function == SYSCTL_WRITE), "{way:?}");
            way.into_iter().map(|planned| planned.program).collect::<Result<Vec<_>, _>>()
        })
    };
    let programs = Ok(vec!["sysctl_written", "sysctl_write_begins"]);
    assert_eq!(why(&whole, true), [programs.clone(), programs]);
    for (btf, probe_reads, word) in
        [(whole, false, "locked down"), (Builder::new().bytes(), true, "kiocb.ki_filp")]
    {
        let [functions, tracepoints] = why(&btf, probe_reads);
        assert!(functions.as_ref().is_err_and(|why| why.contains(word)), "{functions:?}");
        assert_eq!(functions, tracepoints);
    }
}

#[test]
fn a_tracepoint_is_known_by_its_type() {
    let mut btf = Builder::new();
    btf.add("int", kind::INT, 0, 4, &[32]);
    btf.add("btf_trace_sys_exit", kind::TYPEDEF, 0, 1, &[]);
    let features = by_tracepoints(&Btf::parse(btf.bytes()).unwrap(), Wanted::default());
    let lacks = features[0].ways[0].iter().map(|planned| planned.program.clone().unwrap_err());
    let lacks: Vec<_> = lacks.map(|why| why.contains("no tracepoint")).collect();
    assert_eq!(lacks, [true, false]);
}
