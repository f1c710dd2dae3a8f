//! Who may import whom: the table of ARCHITECTURE.md in a form that can be checked.

/// A top-level module of `portwatch`.
pub(super) struct Module {
    pub(super) name: &'static str,
    /// The other modules of the crate that it may name.
    pub(super) may_import: &'static [&'static str],
}

/// Every top-level module. `lib` and `main` are the two crate roots.
pub(super) const MODULES: [Module; 19] = [
    Module { name: "event", may_import: &[] },
    Module { name: "term", may_import: &[] },
    Module { name: "thread", may_import: &[] },
    Module { name: "clock", may_import: &["event"] },
    Module { name: "kernel", may_import: &["event"] },
    Module { name: "decode", may_import: &["event"] },
    Module { name: "enrich", may_import: &["event", "thread"] },
    Module { name: "ports", may_import: &["event"] },
    Module { name: "lines", may_import: &["event", "clock", "diagnose", "term"] },
    Module { name: "capture", may_import: &["thread"] },
    Module { name: "http", may_import: &["thread"] },
    Module {
        name: "source",
        may_import: &["event", "kernel", "decode", "enrich", "ports", "capture", "lines", "term"],
    },
    Module { name: "diagnose", may_import: &["event"] },
    Module { name: "sink", may_import: &["event", "clock", "diagnose", "lines", "capture", "term"] },
    Module { name: "privileges", may_import: &[] },
    Module { name: "pipeline", may_import: &["event", "source", "diagnose", "sink"] },
    Module {
        name: "cli",
        may_import: &[
            "event",
            "term",
            "kernel",
            "enrich",
            "ports",
            "lines",
            "capture",
            "source",
            "diagnose",
            "sink",
            "pipeline",
            "http",
            "privileges",
            "thread",
        ],
    },
    Module { name: "main", may_import: &["cli", "term"] },
    Module { name: "lib", may_import: &[] },
];

/// Something outside of the crate that only some modules may name.
pub(super) struct Foreign {
    /// A crate, or a path in one.
    pub(super) path: &'static [&'static str],
    pub(super) only_in: &'static [&'static str],
    pub(super) advice: &'static str,
}

const AYA: &str = "only `kernel` knows the BPF library; put it there and return a plain type";
const SOCK_DIAG: &str = "only `ports` knows sock_diag; put it there and return a plain type";
const CONFINES: &str = "only `privileges` confines threads; name a duty there";
const CLAP: &str = "only `cli` knows the command line; pass plain values";
const ABI: &str = "only `kernel` and `decode` know the kernel side's records; use `event`";
const HTTP: &str = "only `http` speaks HTTP; give it a page";
const CRI: &str = "only `enrich` asks container runtimes; put it there and return a plain type";
const METRICS: &str = "only `sink::metrics` knows the library of metrics; give it items";
const IMPURE: &str = "this module is pure: pass the value in";

/// All modules that may touch files, processes and clocks.
const IMPURE_MODULES: &[&str] = &[
    "kernel",
    "enrich",
    "ports",
    "capture",
    "source",
    "sink",
    "pipeline",
    "privileges",
    "http",
    "cli",
    "term",
    "thread",
    "main",
];

/// What is bound to modules.
pub(super) const FOREIGN: [Foreign; 22] = [
    Foreign { path: &["aya"], only_in: &["kernel"], advice: AYA },
    Foreign { path: &["aya_obj"], only_in: &["kernel"], advice: AYA },
    Foreign { path: &["aya_log"], only_in: &["kernel"], advice: AYA },
    Foreign { path: &["netlink_sys"], only_in: &["ports"], advice: SOCK_DIAG },
    Foreign { path: &["netlink_packet_core"], only_in: &["ports"], advice: SOCK_DIAG },
    Foreign { path: &["netlink_packet_sock_diag"], only_in: &["ports"], advice: SOCK_DIAG },
    Foreign { path: &["landlock"], only_in: &["privileges"], advice: CONFINES },
    Foreign { path: &["seccompiler"], only_in: &["privileges"], advice: CONFINES },
    Foreign { path: &["clap"], only_in: &["cli", "main"], advice: CLAP },
    Foreign { path: &["hyper"], only_in: &["http"], advice: HTTP },
    Foreign { path: &["hyper_util"], only_in: &["http"], advice: HTTP },
    Foreign { path: &["h2"], only_in: &["enrich"], advice: CRI },
    Foreign { path: &["http"], only_in: &["enrich"], advice: CRI },
    Foreign { path: &["prost"], only_in: &["enrich"], advice: CRI },
    Foreign { path: &["prometheus_client"], only_in: &["sink"], advice: METRICS },
    Foreign { path: &["portwatch_ebpf"], only_in: &["kernel", "decode"], advice: ABI },
    Foreign { path: &["std", "fs"], only_in: IMPURE_MODULES, advice: IMPURE },
    Foreign { path: &["std", "env"], only_in: IMPURE_MODULES, advice: IMPURE },
    Foreign { path: &["std", "process"], only_in: IMPURE_MODULES, advice: IMPURE },
    Foreign { path: &["std", "time", "Instant"], only_in: IMPURE_MODULES, advice: IMPURE },
    Foreign { path: &["std", "time", "SystemTime"], only_in: IMPURE_MODULES, advice: IMPURE },
    Foreign { path: &["tokio"], only_in: IMPURE_MODULES, advice: IMPURE },
];

/// Folders whose files never import each other.
pub(super) const SIBLINGS: [&str; 3] =
    ["portwatch/src/sink", "portwatch/src/diagnose/rules", "portwatch-ebpf/src/hooks"];

/// What the others in such a folder may import, and which imports none of them: (folder, name).
pub(super) const SHARED: [(&str, &str); 1] = [("portwatch/src/sink", "words")];
