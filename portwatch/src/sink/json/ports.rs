//! Who holds the local ports: one line a snapshot, then one a row.

use std::iter::once;

use serde_json::{Map, Value, json};

use super::opinion::place;
use super::{SCHEMA, object, process, put_text, range, there, when};
use crate::clock::Clock;
use crate::diagnose::Path;
use crate::event::{
    Holder, Holding, Namespace, Occupancy, Scope, Settings, Snapshot, SocketState, Text, TimeWait,
};

/// All lines of a snapshot.
pub(super) fn lines(snapshot: &Snapshot, clock: Clock) -> impl Iterator<Item = Value> {
    once(head(snapshot, clock))
        .chain(snapshot.rows.iter().map(move |occupancy| row(snapshot, occupancy, clock)))
}

fn head(snapshot: &Snapshot, clock: Clock) -> Value {
    let mut line = object(json!({
        "type": "snapshot",
        "schema": SCHEMA,
        "portwatch": env!("CARGO_PKG_VERSION"),
    }));
    line.extend(when(snapshot.at, clock));
    line.insert("boot_offset_ns".to_owned(), json!(snapshot.boot_offset_ns));
    if let Some(visible) = snapshot.bound_visible {
        line.insert("bound_visible".to_owned(), json!(visible));
    }
    let Scope { towards, bind, rows_left_out, all_namespaces } = &snapshot.scope;
    if let Some(towards) = towards {
        line.insert("towards".to_owned(), there(*towards));
    }
    if let Some(bind) = bind {
        line.insert("bind".to_owned(), json!(bind.to_string()));
    }
    if *all_namespaces {
        line.insert("all_namespaces".to_owned(), json!(true));
    }
    line.insert("namespaces".to_owned(), snapshot.namespaces.iter().map(namespace).collect());
    if let Some(hosts_range) = snapshot.hosts_range {
        line.insert("hosts_port_range".to_owned(), range(hosts_range));
    }
    line.extend(object(json!({
        "rows": snapshot.rows.len(),
        "rows_left_out": rows_left_out,
        "sockets": snapshot.sockets,
        "repeated": snapshot.repeated,
        "limits": snapshot.limits,
    })));
    Value::Object(line)
}

fn namespace(namespace: &Namespace) -> Value {
    let mut value = object(json!({
        "netns": namespace.id.0,
        "port_range": range(namespace.range),
        "reserved": namespace.reserved,
        "bound": namespace.bound,
        "reserved_ports": namespace.reserved_ports.iter().copied().map(range).collect::<Value>(),
        "listeners": namespace.listeners,
    }));
    let Settings {
        tcp_tw_reuse,
        tcp_tw_reuse_delay_ms,
        tcp_timestamps,
        ip_unprivileged_port_start,
        ip_nonlocal_bind,
        ipv6_nonlocal_bind,
        ipv6_disabled,
    } = namespace.settings;
    let settings = [
        ("tcp_tw_reuse", tcp_tw_reuse.map(Value::from)),
        ("tcp_tw_reuse_delay_ms", tcp_tw_reuse_delay_ms.map(Value::from)),
        ("tcp_timestamps", tcp_timestamps.map(Value::from)),
        ("ip_unprivileged_port_start", ip_unprivileged_port_start.map(Value::from)),
        ("ip_nonlocal_bind", ip_nonlocal_bind.map(Value::from)),
        ("ipv6_nonlocal_bind", ipv6_nonlocal_bind.map(Value::from)),
        ("ipv6_disabled", ipv6_disabled.map(Value::from)),
    ];
    let known = settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    value.insert("settings".to_owned(), Value::Object(known.collect()));
    value.insert("own".to_owned(), json!(namespace.is_own));
    if let Some(is_hosts) = namespace.is_hosts {
        value.insert("hosts_own".to_owned(), json!(is_hosts));
    }
    Value::Object(value)
}

fn row(snapshot: &Snapshot, row: &Occupancy, clock: Clock) -> Value {
    let mut line = object(json!({ "type": "ports" }));
    line.extend(place(snapshot.at, &Path::of(row), clock));
    line.extend(object(json!({ "used": row.used, "usable": row.usable })));
    if let Some(namespace) = snapshot.namespaces.iter().find(|namespace| namespace.id == row.netns) {
        let all = namespace.range.width();
        line.extend(object(json!({
            "port_range": range(namespace.range),
            "reserved": namespace.reserved,
            "bound_by_others": all.saturating_sub(namespace.reserved + row.usable),
        })));
    }
    let by_state = |(of, count): &(SocketState, u32)| (state(*of).to_owned(), json!(count));
    line.insert("by_state".to_owned(), Value::Object(row.by_state.iter().map(by_state).collect()));
    if let Some(TimeWait { last_10_s, over_in_s }) = row.time_wait {
        line.insert("time_wait".to_owned(), json!({ "last_10_s": last_10_s, "over_in_s": over_in_s }));
    }
    if let Some(open_since) = row.open_since {
        line.insert("open_since_ns".to_owned(), json!(open_since.0));
    }
    line.extend(object(json!({
        "holders": row.holders.iter().map(holding).collect::<Vec<_>>(),
    })));
    Value::Object(line)
}

fn holding(holding: &Holding) -> Value {
    let (who, value) = match &holding.holder {
        Holder::Process(who) => ("process", process(who)),
        Holder::Processes { comm, number, exited } => {
            ("processes", processes(comm.as_ref(), *number, *exited))
        }
        Holder::TimeWait => ("unknown", json!("time_wait")),
        Holder::Closed => ("unknown", json!("closed")),
        Holder::NotFound => ("unknown", json!("not_found")),
    };
    let mut fields = object(json!({ who: value, "count": holding.count }));
    if who != "unknown" && holding.time_wait > 0 {
        fields.insert("time_wait".to_owned(), json!(holding.time_wait));
    }
    Value::Object(fields)
}

fn processes(comm: Option<&Text>, number: u32, exited: bool) -> Value {
    let mut fields = Map::new();
    if let Some(comm) = comm {
        put_text(&mut fields, "comm", comm);
    }
    fields.insert("number".to_owned(), json!(number));
    if exited {
        fields.insert("exited".to_owned(), json!(true));
    }
    Value::Object(fields)
}

fn state(state: SocketState) -> &'static str {
    match state {
        SocketState::Established => "established",
        SocketState::SynSent => "syn_sent",
        SocketState::SynRecv => "syn_recv",
        SocketState::FinWait1 => "fin_wait1",
        SocketState::FinWait2 => "fin_wait2",
        SocketState::TimeWait => "time_wait",
        SocketState::CloseWait => "close_wait",
        SocketState::LastAck => "last_ack",
        SocketState::Closing => "closing",
        SocketState::Listen => "listen",
        SocketState::Bound => "bound",
    }
}
