//! JSON Lines, schema 1 (`docs/json.md`).
//!
//! In: items. Out: one object a line, `type` first. Strings that are not UTF-8 appear lossily, with their bytes in
//! `<field>_hex`.

mod opinion;
mod ports;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize as _;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value, json};

use super::Sink;
use crate::clock::Clock;
use crate::diagnose::{Opinion, cause};
use crate::event::{
    BootNs, Call, Destination, Details, End, Errnos, Failure, Fault, Filter, Item, LossReason, Lost, NetnsId,
    NoRoom, PortRange, Process, Protocol, RecentSearch, RecentSearches, Row, SearchRow, SearchTimes,
    Searches, SettingChange, Stage, Start, Summary, Suppressed, Text,
};
use crate::term::shows;

/// Readers depend on it; a change of meaning is a new number.
const SCHEMA: u32 = 1;

/// Writes JSON Lines.
pub struct Json<W: Write> {
    output: W,
    /// That of the start; of a stream without one that of the first snapshot.
    clock: Option<Clock>,
}

impl<W: Write> Json<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        Self { output, clock: None }
    }

    fn line(&mut self, line: &Value) -> io::Result<()> {
        line.serialize(&mut Serializer::with_formatter(&mut self.output, Visible))?;
        self.output.write_all(b"\n")
    }
}

impl<W: Write> Sink for Json<W> {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        match item {
            Item::Start(start) => self.clock = Some(Clock { boot_offset_ns: start.boot_offset_ns }),
            Item::Ports(snapshot) => {
                self.clock.get_or_insert(Clock { boot_offset_ns: snapshot.boot_offset_ns });
            }
            _ => {}
        }
        let clock = self.clock.unwrap_or_default();
        match item {
            Item::Ports(snapshot) => {
                ports::lines(snapshot, clock).try_for_each(|line| self.line(&line))?;
            }
            Item::Start(start) => self.line(&start_line(start, clock))?,
            Item::Failure(failure) => self.line(&failure_line(failure, clock))?,
            Item::Lost(lost) => self.line(&lost_line(*lost, clock))?,
            Item::Suppressed(suppressed) => self.line(&suppressed_line(*suppressed, clock))?,
            Item::Sysctl(change) => self.line(&sysctl_line(change, clock))?,
            Item::Searches(searches) => self.line(&searches_line(searches))?,
            Item::RecentSearches(recent) => self.line(&recent_searches_line(recent, clock))?,
            Item::Summary(summary) => self.line(&summary_line(summary, clock))?,
            Item::End(end) => self.line(&end_line(end))?,
        }
        let mut lines = opinions.iter().filter_map(|opinion| opinion::line(opinion, clock));
        lines.try_for_each(|line| self.line(&line))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Writes characters that a terminal acts on, or that do not show, as escapes: the value is the same.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut shown = 0;
        for (at, character) in fragment.char_indices().filter(|(_, character)| !shows(*character)) {
            writer.write_all(&fragment.as_bytes()[shown..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            shown = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[shown..])
    }
}

fn start_line(start: &Start, clock: Clock) -> Value {
    let mut line = object(json!({
        "type": "start",
        "schema": SCHEMA,
        "portwatch": start.version,
    }));
    put_text(&mut line, "host", &start.host);
    line.extend(object(json!({
        "kernel": start.kernel,
        "hooks": start.hooks.iter().map(|(name, how)| (name.clone(), json!(how))).collect::<Map<_, _>>(),
        "limits": start.limits,
        "time": clock.rfc3339(start.at),
        "monotonic_ns": start.at.0,
        "boot_offset_ns": start.boot_offset_ns,
        "filters": filters(&start.filter),
    })));
    Value::Object(line)
}

fn there(Destination { network, port }: Destination) -> Value {
    json!({ "network": network.map(|network| network.to_string()), "port": port })
}

fn filters(filter: &Filter) -> Value {
    let mut filters = Map::new();
    if let Some(tgid) = filter.tgid {
        filters.insert("pid".to_owned(), json!(tgid.0));
    }
    if let Some(comm) = &filter.comm {
        put_text(&mut filters, "comm", comm);
    }
    if let Some(destination) = filter.destination {
        filters.insert("destination".to_owned(), there(destination));
    }
    if let Some(netns) = filter.netns {
        filters.insert("netns".to_owned(), json!(netns.0));
    }
    if let Some(cgroup) = &filter.cgroup {
        filters.insert("cgroup".to_owned(), json!(cgroup.id.0));
        put_text(&mut filters, "cgroup_path", &cgroup.path);
    }
    let errnos = match &filter.errnos {
        Errnos::Shortage => json!("shortage"),
        Errnos::All => json!("all"),
        Errnos::These(errnos) => errnos.iter().map(|errno| errno.name()).collect(),
    };
    filters.insert("errno".to_owned(), errnos);
    Value::Object(filters)
}

fn failure_line(failure: &Failure, clock: Clock) -> Value {
    let mut line = object(json!({ "type": "failure" }));
    line.extend(when(failure.at, clock));
    line.extend(fault_fields(&failure.fault));
    line.extend(object(json!({
        "process": process(&failure.process),
        "netns": failure.netns.0,
        "family": if failure.fault.address.is_ipv4() { "ipv4" } else { "ipv6" },
        "source": endpoint(failure.source),
        "destination": destination(&failure.fault),
        "port_range": range(failure.port_range),
    })));
    if let Some(own) = failure.own_range {
        line.insert("socket_port_range".to_owned(), range(own));
    }
    if let Some(search) = failure.search {
        line.insert("search_ns".to_owned(), json!(nanoseconds(search)));
    }
    Value::Object(line)
}

fn fault_fields(fault: &Fault) -> Map<String, Value> {
    let mut fields = object(json!({
        "call": match fault.call {
            Call::Connect => "connect",
            Call::Bind => "bind",
            Call::Sendto => "sendto",
        },
        "protocol": protocol(fault.protocol),
        "errno": fault.errno.name(),
        "errno_code": fault.errno.0,
        "cause": cause(fault).name(),
        "stage": match fault.stage {
            Stage::PortSearch => "port_search",
            Stage::OutsidePortSearch => "outside_port_search",
            Stage::Bind => "bind",
            Stage::Autobind => "autobind",
            Stage::SocketLayer => "socket_layer",
            Stage::Network => "network",
            Stage::Unknown => "unknown",
        },
        "had_port": fault.had_port,
    }));
    for (name, holds) in [("v4_mapped", fault.v4_mapped), ("kernel_socket", fault.kernel_socket)] {
        if holds {
            fields.insert(name.to_owned(), json!(true));
        }
    }
    fields
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Mptcp => "mptcp",
    }
}

/// Where it wanted to go; the unspecified address and port 0 for a bind.
fn destination(fault: &Fault) -> Value {
    let nowhere: IpAddr = match fault.address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    endpoint(fault.destination().unwrap_or_else(|| SocketAddr::new(nowhere, 0)))
}

fn range(range: PortRange) -> Value {
    json!({ "low": range.low, "high": range.high })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn process(process: &Process) -> Value {
    let mut fields = object(json!({ "pid": process.tgid.0 }));
    if let Some(tid) = process.tid {
        fields.insert("tid".to_owned(), json!(tid.0));
    }
    put_text(&mut fields, "comm", &process.comm);
    fields.extend(object(json!({
        "start_ns": process.start.0,
        "uid": process.uid,
        "gid": process.gid,
        "cgroup": process.cgroup.0,
    })));
    match &process.details {
        Details::NotRead => {}
        Details::Exited => {
            fields.insert("exited".to_owned(), json!(true));
        }
        Details::Read { exe, cmdline } => {
            if let Some(exe) = exe {
                put_text(&mut fields, "exe", exe);
            }
            if let Some(words) = cmdline {
                put_texts(&mut fields, "cmdline", words);
            }
        }
    }
    Value::Object(fields)
}

/// An instant, by both clocks.
fn when(at: BootNs, clock: Clock) -> Map<String, Value> {
    object(json!({ "time": clock.rfc3339(at), "monotonic_ns": at.0 }))
}

fn lost_line(lost: Lost, clock: Clock) -> Value {
    json!({
        "type": "lost",
        "time": clock.rfc3339(lost.to),
        "reason": reason(lost.reason),
        "count": lost.count,
        "from_ns": lost.from.0,
        "to_ns": lost.to.0,
    })
}

fn suppressed_line(suppressed: Suppressed, clock: Clock) -> Value {
    json!({
        "type": "suppressed",
        "time": clock.rfc3339(suppressed.to),
        "count": suppressed.count,
        "from_ns": suppressed.from.0,
        "to_ns": suppressed.to.0,
    })
}

fn sysctl_line(change: &SettingChange, clock: Clock) -> Value {
    let mut line = object(json!({ "type": "sysctl" }));
    line.extend(when(change.at, clock));
    put_text(&mut line, "key", &change.key);
    line.insert("netns".to_owned(), json!(change.netns.0));
    if let Some(old) = &change.old {
        line.insert("old".to_owned(), json!(old));
    }
    line.insert("new".to_owned(), json!(change.new));
    if let Some(by) = &change.by {
        line.insert("process".to_owned(), process(by));
    }
    Value::Object(line)
}

fn searches_line(searches: &Searches) -> Value {
    let row = |row: &SearchRow| {
        let mut fields = searched(row.netns, row.source, row.destination);
        fields.extend(search_times(&row.times));
        Value::Object(fields)
    };
    json!({
        "type": "searches",
        "rows": searches.rows.iter().map(row).collect::<Vec<_>>(),
        "other": search_times(&searches.other),
        "unmeasured": searches.unmeasured,
    })
}

fn recent_searches_line(recent: &RecentSearches, clock: Clock) -> Value {
    let row = |search: &RecentSearch| {
        let mut fields = searched(search.netns, search.source, search.destination);
        fields.extend(recent_search(search));
        Value::Object(fields)
    };
    json!({
        "type": "recent_searches",
        "time": clock.rfc3339(recent.to),
        "from_ns": recent.from.0,
        "to_ns": recent.to.0,
        "rows": recent.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// Where ports were searched for.
fn searched(netns: NetnsId, source: IpAddr, destination: SocketAddr) -> Map<String, Value> {
    object(json!({ "netns": netns.0, "source": source.to_string(), "destination": endpoint(destination) }))
}

fn recent_search(search: &RecentSearch) -> Map<String, Value> {
    let RecentSearch { count, slow, average, .. } = search;
    object(json!({ "count": count, "slow": slow, "average_ns": nanoseconds(*average) }))
}

fn search_times(times: &SearchTimes) -> Map<String, Value> {
    object(json!({
        "count": times.count,
        "slow": times.slow,
        "average_ns": nanoseconds(times.average()),
        "longest_ns": nanoseconds(times.longest),
    }))
}

fn summary_line(summary: &Summary, clock: Clock) -> Value {
    json!({
        "type": "summary",
        "rows": summary.rows.iter().map(|row| summary_row(row, clock)).collect::<Vec<_>>(),
        "other": summary.other,
    })
}

fn summary_row(row: &Row, clock: Clock) -> Value {
    let mut fields = object(json!({ "process": process(&row.process), "netns": row.netns.0 }));
    fields.extend(fault_fields(&row.fault));
    if row.fault.call == Call::Bind {
        fields.insert("source".to_owned(), endpoint(row.fault.address));
    }
    fields.extend(object(json!({
        "destination": destination(&row.fault),
        "count": row.count,
        "first": clock.rfc3339(row.first),
        "last": clock.rfc3339(row.last),
    })));
    Value::Object(fields)
}

fn end_line(end: &End) -> Value {
    let mut line = object(json!({
        "type": "end",
        "failures": end.failures,
        "delivered": end.delivered,
        "suppressed": end.suppressed,
        "lost": end.lost.iter().map(|(why, count)| (reason(*why).to_owned(), json!(count))).collect::<Map<_, _>>(),
    }));
    if let Some(runs) = end.skipped_runs {
        line.insert("skipped_runs".to_owned(), json!(runs));
    }
    if let Some(missed) = end.possibly_missed {
        line.insert("possibly_missed".to_owned(), json!(missed));
    }
    if let Some(owners) = end.owners {
        line.insert("owners".to_owned(), json!(owners));
    }
    let no_room = no_room(end.no_room);
    if !no_room.is_empty() {
        line.insert("no_room".to_owned(), Value::Object(no_room));
    }
    if end.sysctls_lost > 0 {
        line.insert("sysctls_lost".to_owned(), json!(end.sysctls_lost));
    }
    line.insert("watched_ns".to_owned(), json!(nanoseconds(end.watched)));
    Value::Object(line)
}

/// What had no room; what had some is absent.
fn no_room(NoRoom { callers, details, repeats, owners }: NoRoom) -> Map<String, Value> {
    let tables = [("callers", callers), ("details", details), ("repeats", repeats), ("owners", owners)];
    let full = tables.into_iter().filter(|(_, count)| *count > 0);
    full.map(|(what, count)| (what.to_owned(), json!(count))).collect()
}

fn reason(reason: LossReason) -> &'static str {
    match reason {
        LossReason::RingFull => "ring_full",
        LossReason::QueueFull => "queue_full",
        LossReason::MalformedRecord => "malformed_record",
        LossReason::Unaccounted => "unaccounted",
        LossReason::SkippedRun => "skipped_run",
    }
}

fn endpoint(address: SocketAddr) -> Value {
    json!({ "address": address.ip().to_string(), "port": address.port() })
}

fn put_text(fields: &mut Map<String, Value>, name: &str, text: &Text) {
    fields.insert(name.to_owned(), json!(String::from_utf8_lossy(&text.0)));
    if std::str::from_utf8(&text.0).is_err() {
        fields.insert(format!("{name}_hex"), json!(hex(&text.0)));
    }
}

fn put_texts(fields: &mut Map<String, Value>, name: &str, texts: &[Text]) {
    fields
        .insert(name.to_owned(), texts.iter().map(|text| json!(String::from_utf8_lossy(&text.0))).collect());
    if texts.iter().any(|text| std::str::from_utf8(&text.0).is_err()) {
        fields.insert(format!("{name}_hex"), texts.iter().map(|text| json!(hex(&text.0))).collect());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The fields of a `json!` object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
