//! Who holds the local ports: one line a snapshot, then one a row.

use super::Encoder;
use super::session::there;
use crate::event::{
    Holder, Holding, Namespace, Occupancy, Protocol, Scope, Settings, Snapshot, Text, TimeWait,
};
use crate::lines::SCHEMA;
use crate::lines::words::Word as _;
use crate::lines::write::{Object, array, line, number, object, range};

impl Encoder {
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot, out: &mut Vec<u8>) {
        line(out, "snapshot", |line| self.head(line, snapshot));
        for row in &snapshot.rows {
            line(out, "ports", |line| self.occupancy(line, snapshot, row));
        }
    }

    fn head(&mut self, line: &mut Object<'_>, snapshot: &Snapshot) {
        line.number("schema", SCHEMA);
        line.word("portwatch", env!("CARGO_PKG_VERSION"));
        self.when(line, snapshot.at);
        line.number("boot_offset_ns", snapshot.boot_offset_ns);
        line.boolean_if_known("bound_visible", snapshot.bound_visible);
        let Scope { towards, bind, rows_left_out, all_namespaces } = &snapshot.scope;
        if let Some(towards) = towards {
            there(line, "towards", *towards);
        }
        if let Some(bind) = bind {
            line.address("bind", *bind);
        }
        line.flag("all_namespaces", *all_namespaces);
        array(line.name("namespaces"), &snapshot.namespaces, namespace);
        if let Some(hosts_range) = snapshot.hosts_range {
            line.range("hosts_port_range", hosts_range);
        }
        line.number("rows", snapshot.rows.len());
        line.number("rows_left_out", *rows_left_out);
        line.number("sockets", snapshot.sockets);
        line.number("repeated", snapshot.repeated);
        line.strings("limits", &snapshot.limits);
    }

    fn occupancy(&mut self, line: &mut Object<'_>, snapshot: &Snapshot, row: &Occupancy) {
        self.when(line, snapshot.at);
        line.number("netns", row.netns.0);
        // MPTCP's ports are TCP's.
        line.word("protocol", if row.protocol == Protocol::Udp { "udp" } else { "tcp" });
        if let Some(source) = row.source {
            line.address("source", source);
        }
        if let Some(destination) = row.destination {
            line.endpoint("destination", destination);
        }
        line.count("device", row.device.into());
        line.number("used", row.used);
        line.number("usable", row.usable);
        if let Some(namespace) = snapshot.namespaces.iter().find(|namespace| namespace.id == row.netns) {
            let taken = namespace.reserved.saturating_add(row.usable);
            line.range("port_range", namespace.range);
            line.number("reserved", namespace.reserved);
            line.number("bound_by_others", namespace.range.width().saturating_sub(taken));
        }
        object(line.name("by_state"), |states| {
            row.by_state.iter().for_each(|(state, count)| states.number(state.word(), *count));
        });
        if let Some(TimeWait { last_10_s, over_in_s }) = row.time_wait {
            object(line.name("time_wait"), |fields| {
                fields.number("last_10_s", last_10_s);
                fields.number("over_in_s", over_in_s);
            });
        }
        line.number_if_known("open_since_ns", row.open_since.map(|since| since.0));
        array(line.name("holders"), &row.holders, |out, holding| {
            object(out, |fields| self.holding(fields, holding));
        });
    }

    fn holding(&mut self, fields: &mut Object<'_>, holding: &Holding) {
        match &holding.holder {
            Holder::Process(who) => self.process(fields, who),
            Holder::Processes { comm, number, exited } => {
                object(fields.name("processes"), |fields| processes(fields, comm.as_ref(), *number, *exited));
            }
            Holder::TimeWait => fields.word("unknown", "time_wait"),
            Holder::Closed => fields.word("unknown", "closed"),
            Holder::NotFound => fields.word("unknown", "not_found"),
        }
        fields.number("count", holding.count);
        let implied = if holding.holder == Holder::TimeWait { holding.count } else { 0 };
        fields.number_if_known("time_wait", (holding.time_wait != implied).then_some(holding.time_wait));
    }
}

fn namespace(out: &mut Vec<u8>, namespace: &Namespace) {
    object(out, |fields| {
        fields.number("netns", namespace.id.0);
        fields.range("port_range", namespace.range);
        fields.number("reserved", namespace.reserved);
        fields.number("bound", namespace.bound);
        array(fields.name("reserved_ports"), &namespace.reserved_ports, |out, ports| range(out, *ports));
        array(fields.name("listeners"), &namespace.listeners, |out, port| number(out, *port));
        object(fields.name("settings"), |fields| settings(fields, namespace.settings));
        fields.boolean("own", namespace.is_own);
        fields.boolean_if_known("hosts_own", namespace.is_hosts);
    });
}

fn settings(fields: &mut Object<'_>, settings: Settings) {
    let Settings {
        tcp_tw_reuse,
        tcp_tw_reuse_delay_ms,
        tcp_timestamps,
        ip_unprivileged_port_start,
        ip_nonlocal_bind,
        ipv6_nonlocal_bind,
        ipv6_disabled,
    } = settings;
    fields.number_if_known("tcp_tw_reuse", tcp_tw_reuse);
    fields.number_if_known("tcp_tw_reuse_delay_ms", tcp_tw_reuse_delay_ms);
    fields.boolean_if_known("tcp_timestamps", tcp_timestamps);
    fields.number_if_known("ip_unprivileged_port_start", ip_unprivileged_port_start);
    fields.boolean_if_known("ip_nonlocal_bind", ip_nonlocal_bind);
    fields.boolean_if_known("ipv6_nonlocal_bind", ipv6_nonlocal_bind);
    fields.boolean_if_known("ipv6_disabled", ipv6_disabled);
}

fn processes(fields: &mut Object<'_>, comm: Option<&Text>, number: u32, exited: bool) {
    if let Some(comm) = comm {
        fields.text("comm", comm);
    }
    fields.number("number", number);
    fields.flag("exited", exited);
}
