//! The contract of JSON Lines (`docs/json.md`), written down a second time: as a check.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// What a field must be.
enum Is {
    Text,
    /// RFC 3339, UTC, nanoseconds.
    Time,
    Count,
    Number,
    /// Nanoseconds that may be negative.
    Signed,
    Bool,
    OneOf(&'static [&'static str]),
    Object,
    Array,
    /// An object of counts.
    Counts,
    Fields(&'static [Group]),
    Each(&'static [Group]),
}

/// Fields that go together.
type Group = &'static [Field];

struct Field {
    name: &'static str,
    is: Is,
    optional: bool,
}

const fn must(name: &'static str, is: Is) -> Field {
    Field { name, is, optional: false }
}

const fn may(name: &'static str, is: Is) -> Field {
    Field { name, is, optional: true }
}

const CAUSES: Is = Is::OneOf(&[
    "range_exhausted",
    "tuple_in_use",
    "no_source_address",
    "address_not_local",
    "bind_range_exhausted",
    "port_taken",
    "udp_range_exhausted",
    "other",
    "unknown",
]);
const STAGES: Is = Is::OneOf(&[
    "port_search",
    "outside_port_search",
    "bind",
    "autobind",
    "socket_layer",
    "network",
    "unknown",
]);
const ENDPOINT: Group = &[must("address", Is::Text), must("port", Is::Count)];
const RANGE: Group = &[must("low", Is::Count), must("high", Is::Count)];

const START: &[Group] = &[&[
    must("schema", Is::Count),
    must("portwatch", Is::Text),
    must("host", Is::Text),
    must("kernel", Is::Text),
    must("hooks", Is::Object),
    must("limits", Is::Array),
    must("time", Is::Time),
    must("monotonic_ns", Is::Count),
    must("boot_offset_ns", Is::Signed),
    must("filters", Is::Object),
    may("warn_permille", Is::Count),
    may("part", Is::Count),
    may("first_part", Is::Count),
]];

const THREAD: Group = &[must("tid", Is::Count)];

const PROCESS: Group = &[
    must("pid", Is::Count),
    must("comm", Is::Text),
    may("comm_hex", Is::Text),
    must("start_ns", Is::Count),
    must("uid", Is::Count),
    must("gid", Is::Count),
    must("cgroup", Is::Count),
    may("exe", Is::Text),
    may("exe_hex", Is::Text),
    may("cmdline", Is::Array),
    may("cmdline_hex", Is::Array),
    may("exited", Is::Bool),
    may("alive", Is::Bool),
    may("user", Is::Text),
    may("user_hex", Is::Text),
    may("unit", Is::Text),
    may("unit_hex", Is::Text),
    may("container", Is::Fields(&[CONTAINER])),
    may("pod", Is::Fields(&[POD])),
];

const CONTAINER: Group = &[
    must("id", Is::Text),
    may("id_hex", Is::Text),
    may("runtime", Is::OneOf(&["docker", "containerd", "cri-o", "podman", "lxc"])),
    may("name", Is::Text),
];

const POD: Group =
    &[must("uid", Is::Text), may("uid_hex", Is::Text), may("namespace", Is::Text), may("name", Is::Text)];

/// What failures and rows of the summary say alike.
const FAULT: Group = &[
    must("netns", Is::Count),
    must("call", Is::OneOf(&["connect", "bind", "sendto"])),
    must("protocol", Is::OneOf(&["tcp", "udp", "mptcp"])),
    must("errno", Is::Text),
    must("errno_code", Is::Count),
    must("cause", CAUSES),
    must("stage", STAGES),
    must("had_port", Is::Bool),
    may("v4_mapped", Is::Bool),
    may("kernel_socket", Is::Bool),
    must("destination", Is::Fields(&[ENDPOINT])),
];

const FAILURE: &[Group] = &[
    FAULT,
    &[
        must("time", Is::Time),
        must("monotonic_ns", Is::Count),
        must("process", Is::Fields(&[PROCESS, THREAD])),
        must("family", Is::OneOf(&["ipv4", "ipv6"])),
        must("source", Is::Fields(&[ENDPOINT])),
        must("port_range", Is::Fields(&[RANGE])),
        may("socket_port_range", Is::Fields(&[RANGE])),
        may("search_ns", Is::Count),
    ],
];

const SNAPSHOT: &[Group] = &[&[
    must("schema", Is::Count),
    must("portwatch", Is::Text),
    must("time", Is::Time),
    must("monotonic_ns", Is::Count),
    must("boot_offset_ns", Is::Signed),
    may("bound_visible", Is::Bool),
    must("namespaces", Is::Each(&[NAMESPACE])),
    may("towards", Is::Object),
    may("bind", Is::Text),
    must("rows_left_out", Is::Count),
    may("all_namespaces", Is::Bool),
    may("hosts_port_range", Is::Fields(&[RANGE])),
    must("rows", Is::Count),
    must("sockets", Is::Count),
    must("repeated", Is::Count),
    must("limits", Is::Array),
]];

const NAMESPACE: Group = &[
    must("netns", Is::Count),
    must("port_range", Is::Fields(&[RANGE])),
    must("reserved", Is::Count),
    must("bound", Is::Count),
    must("reserved_ports", Is::Each(&[RANGE])),
    must("listeners", Is::Array),
    must("settings", Is::Fields(&[SETTINGS])),
    must("own", Is::Bool),
    may("hosts_own", Is::Bool),
];

const SETTINGS: Group = &[
    may("tcp_tw_reuse", Is::Count),
    may("tcp_tw_reuse_delay_ms", Is::Count),
    may("tcp_timestamps", Is::Bool),
    may("ip_unprivileged_port_start", Is::Count),
    may("ip_nonlocal_bind", Is::Bool),
    may("ipv6_nonlocal_bind", Is::Bool),
    may("ipv6_disabled", Is::Bool),
];

const PORTS: &[Group] = &[
    PLACE,
    &[
        must("used", Is::Count),
        must("usable", Is::Count),
        must("port_range", Is::Fields(&[RANGE])),
        must("reserved", Is::Count),
        must("bound_by_others", Is::Count),
        must("by_state", Is::Counts),
        may("time_wait", Is::Fields(&[TIME_WAIT])),
        may("open_since_ns", Is::Count),
        must("holders", Is::Each(&[HOLDER])),
    ],
];

const TIME_WAIT: Group = &[must("last_10_s", Is::Count), must("over_in_s", Is::Count)];

const PROCESSES: Group =
    &[may("comm", Is::Text), may("comm_hex", Is::Text), must("number", Is::Count), may("exited", Is::Bool)];

const HOLDER: Group = &[
    may("process", Is::Fields(&[PROCESS])),
    may("processes", Is::Fields(&[PROCESSES])),
    may("unknown", Is::OneOf(&["time_wait", "closed", "not_found"])),
    must("count", Is::Count),
    may("time_wait", Is::Count),
];

const PLACE: Group = &[
    must("time", Is::Time),
    must("monotonic_ns", Is::Count),
    must("netns", Is::Count),
    must("protocol", Is::OneOf(&["tcp", "udp"])),
    may("source", Is::Text),
    may("destination", Is::Fields(&[ENDPOINT])),
    may("device", Is::Count),
];

const VERDICT: &[Group] = &[PLACE, &[may("cause", CAUSES), must("diagnoses", Is::Each(&[DIAGNOSIS]))]];

const DIAGNOSIS: Group = &[
    must("rule", Is::Text),
    must("explains_permille", Is::Count),
    must("sentence", Is::Text),
    must("fragment", Is::Text),
    must("advice", Is::Each(&[ADVICE])),
];

const ADVICE: Group = &[
    must("advice", Is::Text),
    must("standing", Is::OneOf(&["helps", "not_here", "harms"])),
    may("command", Is::Text),
    may("code", Is::Text),
    may("arrangement", Is::Text),
    may("gain", Is::Text),
    may("cost", Is::Text),
    may("why", Is::Text),
];

const FORECAST: &[Group] = &[
    PLACE,
    &[
        must("used", Is::Count),
        may("blocked", Is::Count),
        must("usable", Is::Count),
        must("ends_per_s", Is::Number),
        may("growth_per_s", Is::Number),
        may("full_in_s", Is::Number),
        may("levels_off_at", Is::Count),
        may("time_wait_over_in_s", Is::Count),
    ],
];

/// Of one signal or the other.
const WARNING: &[Group] = &[
    PLACE,
    &[
        must("signal", Is::OneOf(&["ports", "search_time"])),
        may("used", Is::Count),
        may("blocked", Is::Count),
        may("usable", Is::Count),
        may("at_most", Is::Bool),
        may("gone", Is::Bool),
        may("ends_per_s", Is::Number),
        may("growth_per_s", Is::Number),
        may("full_in_s", Is::Number),
        may("levels_off_at", Is::Count),
        may("time_wait_over_in_s", Is::Count),
        may("count", Is::Count),
        may("slow", Is::Count),
        may("average_ns", Is::Count),
    ],
];

const LOST_REASONS: Is =
    Is::OneOf(&["ring_full", "queue_full", "malformed_record", "unaccounted", "skipped_run"]);

const SPAN: Group =
    &[must("time", Is::Time), must("count", Is::Count), must("from_ns", Is::Count), must("to_ns", Is::Count)];

const LOST: &[Group] = &[SPAN, &[must("reason", LOST_REASONS)]];

const SUPPRESSED: &[Group] = &[SPAN];

const SYSCTL: &[Group] = &[&[
    must("time", Is::Time),
    must("monotonic_ns", Is::Count),
    must("key", Is::Text),
    may("key_hex", Is::Text),
    must("netns", Is::Count),
    may("old", Is::Text),
    must("new", Is::Text),
    may("process", Is::Fields(&[PROCESS, THREAD])),
]];

const TIMES: Group = &[
    must("count", Is::Count),
    must("slow", Is::Count),
    must("average_ns", Is::Count),
    must("longest_ns", Is::Count),
    must("total_ns", Is::Count),
];

const SEARCHES: &[Group] = &[&[
    must("rows", Is::Each(SEARCHES_ROW)),
    must("other", Is::Fields(&[TIMES])),
    must("unmeasured", Is::Count),
]];

const RECENT_SEARCHES: &[Group] = &[&[
    must("time", Is::Time),
    must("from_ns", Is::Count),
    must("to_ns", Is::Count),
    must(
        "rows",
        Is::Each(&[&[
            must("netns", Is::Count),
            must("source", Is::Text),
            must("destination", Is::Fields(&[ENDPOINT])),
            must("count", Is::Count),
            must("slow", Is::Count),
            must("average_ns", Is::Count),
        ]]),
    ),
]];

const SEARCHES_ROW: &[Group] = &[
    TIMES,
    &[must("netns", Is::Count), must("source", Is::Text), must("destination", Is::Fields(&[ENDPOINT]))],
];

const ROW: &[Group] = &[
    FAULT,
    &[
        must("process", Is::Fields(&[PROCESS])),
        may("source", Is::Fields(&[ENDPOINT])),
        must("count", Is::Count),
        must("first", Is::Time),
        must("last", Is::Time),
    ],
];

const SUMMARY: &[Group] = &[&[must("rows", Is::Each(ROW)), must("other", Is::Count)]];

const NO_ROOM: Group = &[
    may("callers", Is::Count),
    may("details", Is::Count),
    may("repeats", Is::Count),
    may("owners", Is::Count),
];

const END: &[Group] = &[&[
    must("failures", Is::Count),
    must("delivered", Is::Count),
    must("suppressed", Is::Count),
    may("beyond_count", Is::Count),
    must("lost", Is::Counts),
    may("skipped_runs", Is::Count),
    may("possibly_missed", Is::Count),
    may("owners", Is::Count),
    may("no_room", Is::Fields(&[NO_ROOM])),
    may("sysctls_lost", Is::Count),
    may("lookups_unanswered", Is::Count),
    must("watched_ns", Is::Count),
]];

/// What may be lost where nothing is wrong with the programs or with what reads them. The rest, as `unaccounted`, is what
/// portwatch says where its own books do not agree: the ledger would always add up.
const LOST_WITHOUT_FAULT: [&str; 3] = ["ring_full", "queue_full", "skipped_run"];

/// Of more failures in one session only so many are handed on: a hundred thousand take a gigabyte.
const FAILURES_HANDED_ON: u64 = 50_000;

/// The lines of a whole session, if they keep the contract: each by itself, their order, the ledger
/// `failures = delivered + suppressed + Σ lost`, and that nothing was lost for a reason that is a fault. Of the failures
/// the first 50,000; all are checked.
///
/// # Errors
/// Names the line and the field.
pub fn checked(output: &str) -> Result<Vec<Value>> {
    let (mut lines, mut failures) = (Vec::new(), 0_u64);
    for text in output.lines() {
        let line = line(text)?;
        failures += u64::from(line["type"] == "failure");
        if line["type"] != "failure" || failures <= FAILURES_HANDED_ON {
            lines.push(line);
        }
    }
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    let [first, .., last_but_one, last] = kinds.as_slice() else { bail!("only {} lines", lines.len()) };
    ensure!((*first, *last_but_one, *last) == ("start", "summary", "end"), "order of lines: {kinds:?}");
    for kind in ["start", "summary", "end"] {
        ensure!(kinds.iter().filter(|other| **other == kind).count() == 1, "more than one {kind}");
    }
    ledger(&lines, failures)?;
    snapshots_among(&lines)?;
    for change in lines.iter().filter(|line| line["type"] == "sysctl") {
        ensure!(change["old"] != change["new"], "not changed: {change}");
    }
    Ok(lines)
}

/// The snapshots of `portwatch ports --json`, each with its rows.
///
/// # Errors
/// Says what breaks the contract, and where.
pub fn snapshots(text: &str) -> Result<Vec<(Value, Vec<Value>)>> {
    let lines = text.lines().map(line).collect::<Result<Vec<_>>>()?;
    if let Some(other) = lines.iter().find(|line| !ABOUT_PORTS.iter().any(|kind| line["type"] == *kind)) {
        bail!("not about ports: {other}");
    }
    snapshots_among(&lines)
}

const ABOUT_PORTS: [&str; 7] = ["sysctl", "snapshot", "ports", "verdict", "warning", "recovered", "forecast"];

/// Each with its rows, which follow it.
fn snapshots_among(lines: &[Value]) -> Result<Vec<(Value, Vec<Value>)>> {
    let mut snapshots: Vec<(Value, Vec<Value>)> = Vec::new();
    for value in lines {
        match (value["type"].as_str(), snapshots.last_mut()) {
            (Some("snapshot"), _) => snapshots.push((value.clone(), Vec::new())),
            (Some("ports"), Some((_, rows))) => {
                occupancy(value).with_context(|| value.to_string())?;
                rows.push(value.clone());
            }
            (Some("ports"), None) => bail!("not in a snapshot: {value}"),
            _ => {}
        }
    }
    for (head, rows) in &snapshots {
        ensure!(head["rows"] == rows.len(), "{} rows follow {head}", rows.len());
        let shares = rows.iter().map(|row| [&row["used"], &row["usable"]].map(|n| n.as_u64().unwrap_or(0)));
        let sorted = shares.is_sorted_by(|[used, of], [next, of_next]| used * of_next >= next * of);
        ensure!(sorted, "the fullest rows do not come first: {rows:?}");
    }
    Ok(snapshots)
}

/// What holds for the numbers of every row.
fn occupancy(row: &Value) -> Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let sum = |counts: &Value| {
        counts.as_object().into_iter().flatten().map(|(_, count)| number(count)).sum::<u64>()
    };
    ensure!(number(&row["used"]) == sum(&row["by_state"]), "the states do not add up to what is used");
    ensure!((1..=number(&row["usable"])).contains(&number(&row["used"])), "more used than usable, or none");
    let all = number(&row["port_range"]["high"]) - number(&row["port_range"]["low"]) + 1;
    let subtracted = number(&row["reserved"]) + number(&row["bound_by_others"]);
    ensure!(number(&row["usable"]) + subtracted == all, "usable is not the range without what is subtracted");
    ensure!(row["destination"].is_null() || !row["source"].is_null(), "a destination without a source");
    for holder in row["holders"].as_array().into_iter().flatten() {
        let who = ["process", "processes", "unknown"].into_iter().filter(|who| !holder[who].is_null());
        ensure!(who.count() == 1, "a process, several, or why there is none");
        let (count, time_wait) = (number(&holder["count"]), number(&holder["time_wait"]));
        ensure!(time_wait <= count, "more in TIME_WAIT than there are");
        ensure!(holder["time_wait"].is_null() || time_wait > 0, "what is 0 is left out");
    }
    Ok(())
}

fn ledger(lines: &[Value], shown: u64) -> Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let of = |kind: &'static str| lines.iter().filter(move |line| line["type"] == kind);
    let (summary, end) = (of("summary").next().context("no summary")?, of("end").next().context("no end")?);
    let reasons = end["lost"].as_object().into_iter().flatten();
    let told = of("lost").filter_map(|line| line["reason"].as_str());
    for reason in reasons.clone().map(|(reason, _)| reason.as_str()).chain(told) {
        ensure!(LOST_WITHOUT_FAULT.contains(&reason), "lost for the reason {reason}: {end}");
    }
    let lost: u64 = reasons.map(|(_, count)| number(count)).sum();
    let failures = number(&end["failures"]);
    ensure!(failures == number(&end["delivered"]) + number(&end["suppressed"]) + lost, "the ledger: {end}");
    ensure!(number(&end["delivered"]) == shown, "delivered is not the failure lines: {end}");
    let told = |skipped: bool| {
        let lines = of("lost").filter(|line| (line["reason"] == "skipped_run") == skipped);
        lines.map(|line| number(&line["count"])).sum::<u64>()
    };
    ensure!(lost == told(false), "lost is not the lost lines: {end}");
    ensure!(number(&end["skipped_runs"]) == told(true), "skipped runs are not the lost lines: {end}");
    let suppressed = of("suppressed").map(|line| number(&line["count"])).sum::<u64>();
    ensure!(suppressed <= number(&end["suppressed"]), "more suppressed lines than {end}");
    let rows: u64 = summary["rows"].as_array().into_iter().flatten().map(|row| number(&row["count"])).sum();
    ensure!(failures == rows + number(&summary["other"]), "the rows do not add up to {failures}");
    Ok(())
}

fn line(text: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
    ensure!(text.starts_with("{\"type\":"), "type is not the first field: {text}");
    let fields = match value["type"].as_str().context("no type")? {
        "start" => START,
        "failure" => FAILURE,
        "lost" => LOST,
        "suppressed" => SUPPRESSED,
        "sysctl" => SYSCTL,
        "searches" => SEARCHES,
        "summary" => SUMMARY,
        "end" => END,
        "snapshot" => SNAPSHOT,
        "ports" => PORTS,
        "verdict" => VERDICT,
        "warning" | "recovered" => WARNING,
        "forecast" => FORECAST,
        "recent_searches" => RECENT_SEARCHES,
        unknown => bail!("unknown type {unknown}"),
    };
    holds(&value, fields).with_context(|| text.to_owned())?;
    if value["type"] == "start" {
        ensure!(value["schema"] == 1, "schema");
    }
    Ok(value)
}

fn holds(value: &Value, groups: &[Group]) -> Result<()> {
    let fields = || groups.iter().copied().flatten();
    let object = value.as_object().context("not an object")?;
    for Field { name, is, optional } in fields() {
        match object.get(*name) {
            None => ensure!(*optional, "{name} is missing"),
            Some(value) => is_that(value, is).with_context(|| format!("{name}: {value}"))?,
        }
    }
    for name in object.keys().filter(|name| *name != "type") {
        ensure!(fields().any(|field| field.name == name), "{name} is not in the contract");
    }
    Ok(())
}

fn is_that(value: &Value, is: &Is) -> Result<()> {
    let holds_so = match is {
        Is::Text => value.is_string(),
        Is::Time => value
            .as_str()
            .is_some_and(|text| text.len() == "2026-01-01T00:00:00.000000000Z".len() && text.ends_with('Z')),
        Is::Count => value.is_u64(),
        Is::Number => value.is_number(),
        Is::Signed => value.is_i64() || value.is_u64(),
        Is::Bool => value.is_boolean(),
        Is::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Is::Object => value.is_object(),
        Is::Array => value.is_array(),
        Is::Counts => value.as_object().is_some_and(|counts| counts.values().all(Value::is_u64)),
        Is::Fields(fields) => return holds(value, fields),
        Is::Each(fields) => {
            return value.as_array().context("not an array")?.iter().try_for_each(|each| holds(each, fields));
        }
    };
    ensure!(holds_so, "of the wrong kind");
    Ok(())
}
