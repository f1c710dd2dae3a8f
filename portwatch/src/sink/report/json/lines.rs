//! Parts of a report that are parts of lines.
//!
//! In: facts and opinions. Out: the fields that the lines of them have, or rows of a summary as they are there.

use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::ser::Serializer;
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::diagnose::Opinion;
use crate::event::{BootNs, Item, Namespace, Occupancy, Process, Row, Scope, Snapshot, Text};
use crate::lines::{Encoder, Visible, rows as encoded};
use crate::sink::report::places::PortUse;
use crate::sink::report::tally::Entry;
use crate::sink::words::opinion;

/// Writes a value as lines have it: what a terminal acts on as escapes.
pub(super) fn value(value: &Value, output: &mut dyn Write) -> io::Result<()> {
    Ok(value.serialize(&mut Serializer::with_formatter(output, Visible))?)
}

/// The fields of an item's only line, but for its type.
pub(super) fn line(item: &Item) -> Map<String, Value> {
    all(item).into_iter().next().unwrap_or_default()
}

/// The fields of all lines of an item.
fn all(item: &Item) -> Vec<Map<String, Value>> {
    let mut bytes = Vec::new();
    Encoder::default().item(item, &mut bytes);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| without_type(serde_json::from_slice(line).unwrap_or_default())).collect()
}

/// The fields of an opinion's line.
pub(super) fn opinion(opinion: &Opinion, clock: Clock) -> Map<String, Value> {
    opinion::line(opinion, clock).map(without_type).unwrap_or_default()
}

/// Those of a namespace in a snapshot.
pub(super) fn namespace(namespace: &Namespace) -> Map<String, Value> {
    let snapshot = Snapshot { namespaces: vec![namespace.clone()], ..no_snapshot(Clock::default()) };
    let mut head = line(&Item::Ports(snapshot));
    let namespace = head.get_mut("namespaces").and_then(|all| all.get_mut(0)).map(Value::take);
    namespace.map(fields).unwrap_or_default()
}

/// Those of the row that had most ports taken.
pub(super) fn place(place: &PortUse, clock: Clock) -> Map<String, Value> {
    let rows: Vec<Occupancy> = vec![place.fullest.clone()];
    let mut lines = all(&Item::Ports(Snapshot { rows, ..no_snapshot(clock) }));
    let mut row = lines.pop().unwrap_or_default();
    row.shift_remove("monotonic_ns");
    row
}

fn no_snapshot(clock: Clock) -> Snapshot {
    Snapshot {
        at: BootNs(0),
        boot_offset_ns: clock.boot_offset_ns,
        scope: Scope::default(),
        namespaces: Vec::new(),
        hosts_range: None,
        rows: Vec::new(),
        sockets: 0,
        repeated: 0,
        bound_visible: None,
        limits: Vec::new(),
    }
}

/// A process as the row of a summary has it, with what /proc told of it.
pub(super) fn process(entry: &Entry) -> Value {
    let process = Process {
        tgid: entry.key.tgid,
        start: entry.key.start,
        tid: None,
        comm: entry.comm.clone(),
        uid: entry.uid,
        gid: entry.gid,
        cgroup: entry.cgroup,
        details: entry.details.clone(),
    };
    let at = BootNs(0);
    let row = Row { process, netns: entry.key.netns, fault: entry.key.fault, count: 0, first: at, last: at };
    let row: Value = serde_json::from_slice(&rows(&[row], Clock::default())).unwrap_or_default();
    fields(row).shift_remove("process").unwrap_or_default()
}

/// Rows of a summary, one after the other.
pub(super) fn rows(rows: &[Row], clock: Clock) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoded(rows, clock, &mut bytes);
    let inside = bytes.strip_prefix(b"[").and_then(|bytes| bytes.strip_suffix(b"]"));
    inside.map_or_else(Vec::new, <[u8]>::to_vec)
}

fn without_type(line: Value) -> Map<String, Value> {
    let mut fields = fields(line);
    fields.shift_remove("type");
    fields
}

/// The fields of an object.
pub(super) fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// A text alone, lossily.
pub(super) fn text(text: &Text) -> Value {
    json!(String::from_utf8_lossy(&text.0))
}

/// A text as a field; with its bytes where it is not UTF-8.
pub(super) fn put(fields: &mut Map<String, Value>, name: &str, value: &Text) {
    fields.insert(name.to_owned(), text(value));
    if std::str::from_utf8(&value.0).is_err() {
        let hex: String = value.0.iter().map(|byte| format!("{byte:02x}")).collect();
        fields.insert(format!("{name}_hex"), json!(hex));
    }
}
