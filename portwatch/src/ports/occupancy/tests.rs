//! Sockets made up, and what they take.

use std::net::SocketAddr;

use super::super::dump::Socket;
use super::super::settings::{PortSet, Settings};
use super::{Held, Table, Told, by_pressure};
use crate::event::{self, Holder, NetnsId, Occupancy, PortRange, Process, Protocol, SocketState};
use SocketState::{Bound, CloseWait, Established, Listen, TimeWait};

/// Protocol, state, own address, peer, inode.
type Made = (Protocol, SocketState, &'static str, &'static str, u32);

/// What the case is about, reserved ports, sockets, rows.
type Case = (&'static str, &'static [u16], &'static [Made], &'static [&'static str]);

/// Ten ports, 40000 to 40009, without those that are reserved.
fn table(reserved: &[u16], sockets: &[Made]) -> Table {
    let mut set = PortSet::new();
    reserved.iter().for_each(|port| set.insert(*port));
    let range = PortRange { low: 40000, high: 40009 };
    let mut table =
        Table::new(NetnsId(5), Settings { range, reserved: set, others: event::Settings::default() });
    for (protocol, state, source, destination, inode) in sockets {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        table.add(&Socket {
            protocol: *protocol,
            state: *state,
            source: address(source),
            destination: address(destination),
            device: 0,
            inode: *inode,
            cookie: 0,
            left_s: if *state == TimeWait { 51 } else { 0 },
        });
    }
    table
}

/// Rows as text: where, used of usable, states, holders by inode; those with inode 0 are nobody's.
fn rows(table: &Table) -> Vec<String> {
    let holder = |inode: u32| match inode {
        0 => Holder::TimeWait,
        inode => Holder::Process(Process::with_id(inode)),
    };
    let mut rows =
        table.rows(&Told { owner: |held: &Held| held.inode, open_since: |_: &Held| None }, &mut { holder });
    by_pressure(&mut rows);
    rows.iter().map(shown).collect()
}

fn shown(row: &Occupancy) -> String {
    let holders = row.holders.iter().map(|holding| match &holding.holder {
        Holder::Process(process) if holding.time_wait > 0 => {
            format!("{}:{} ({})", process.tgid.0, holding.count, holding.time_wait)
        }
        Holder::Process(process) => format!("{}:{}", process.tgid.0, holding.count),
        other => format!("{other:?}:{}", holding.count),
    });
    format!(
        "{:?} {} {}/{} {:?} [{}]",
        row.protocol,
        row.destination.map_or_else(|| "any".to_owned(), |to| format!("{} {to}", row.source.unwrap())),
        row.used,
        row.usable,
        row.by_state,
        holders.collect::<Vec<_>>().join(" ")
    )
}

const TCP: Protocol = Protocol::Tcp;
const UDP: Protocol = Protocol::Udp;
const NONE: &str = "0.0.0.0:0";

#[test]
fn rows_say_what_is_taken_of_what_could_be_had() {
    let cases: &[Case] = &[
        ("nothing there", &[], &[], &[]),
        (
            "ports outside of the range and servers' sides do not count",
            &[],
            &[
                (TCP, Established, "10.0.0.1:39999", "10.0.0.2:80", 1),
                (TCP, TimeWait, "10.0.0.1:80", "10.0.0.2:40001", 0),
                (TCP, Listen, "0.0.0.0:80", NONE, 1),
                (UDP, Established, "10.0.0.1:53", "10.0.0.2:40001", 0),
            ],
            &[],
        ),
        (
            "each source and each destination is apart, the fullest first",
            &[],
            &[
                (TCP, Established, "10.0.0.1:40000", "10.0.0.2:80", 1),
                (TCP, Established, "10.0.0.1:40000", "10.0.0.2:81", 2),
                (TCP, TimeWait, "10.0.0.1:40001", "10.0.0.2:81", 0),
                (TCP, CloseWait, "10.0.0.3:40001", "10.0.0.2:81", 2),
            ],
            &[
                "Tcp 10.0.0.1 10.0.0.2:81 2/10 [(Established, 1), (TimeWait, 1)] [TimeWait:1 2:1]",
                "Tcp 10.0.0.1 10.0.0.2:80 1/10 [(Established, 1)] [1:1]",
                "Tcp 10.0.0.3 10.0.0.2:81 1/10 [(CloseWait, 1)] [2:1]",
            ],
        ),
        (
            "ports that are bound are taken from everybody and are nobody's because of a connection",
            &[],
            &[
                (TCP, Listen, "10.0.0.9:40000", NONE, 1),
                (TCP, Established, "10.0.0.9:40000", "10.0.0.2:50000", 1),
                (TCP, Bound, "[::1]:40001", "[::]:0", 2),
                (TCP, Established, "10.0.0.1:40002", "10.0.0.2:80", 3),
            ],
            &[
                "Tcp any 2/10 [(Listen, 1), (Bound, 1)] [1:1 2:1]",
                "Tcp 10.0.0.1 10.0.0.2:80 1/8 [(Established, 1)] [3:1]",
            ],
        ),
        (
            "a range that is bound as a whole looks full, not empty",
            &[40004, 40005, 40006, 40007, 40008, 40009],
            &[
                (TCP, Bound, "127.0.0.1:40000", NONE, 1),
                (TCP, Bound, "127.0.0.1:40001", NONE, 1),
                (TCP, Bound, "127.0.0.2:40002", NONE, 1),
                (TCP, Bound, "127.0.0.2:40003", NONE, 1),
                (TCP, Established, "127.0.0.2:40003", "127.0.0.2:80", 1),
            ],
            &["Tcp any 4/4 [(Bound, 4)] [1:4]"],
        ),
        (
            "reserved ports are neither usable nor used",
            &[40000, 40001, 12345],
            &[
                (TCP, Established, "10.0.0.1:40000", "10.0.0.2:80", 1),
                (TCP, Listen, "10.0.0.1:40001", NONE, 1),
                (TCP, Established, "10.0.0.1:40002", "10.0.0.2:80", 1),
            ],
            &["Tcp 10.0.0.1 10.0.0.2:80 1/8 [(Established, 1)] [1:1]"],
        ),
        (
            "sockets that share a port are one port, and one of each of their processes",
            &[],
            &[
                (TCP, Bound, "10.0.0.1:40000", NONE, 3),
                (TCP, Listen, "0.0.0.0:40000", NONE, 1),
                (TCP, Listen, "0.0.0.0:40000", NONE, 2),
                (TCP, Listen, "10.0.0.1:40000", NONE, 1),
                (TCP, Listen, "10.0.0.1:40001", NONE, 1),
            ],
            &["Tcp any 2/10 [(Listen, 2)] [1:2 2:1 3:1]"],
        ),
        (
            "what was read twice counts once",
            &[],
            &[
                (TCP, Established, "10.0.0.1:40000", "10.0.0.2:80", 1),
                (TCP, TimeWait, "10.0.0.1:40000", "10.0.0.2:80", 0),
            ],
            &["Tcp 10.0.0.1 10.0.0.2:80 1/10 [(Established, 1)] [TimeWait:1 1:1]"],
        ),
        (
            "of what a process has, the part in TIME_WAIT is told",
            &[],
            &[
                (TCP, TimeWait, "10.0.0.1:40000", "10.0.0.2:80", 1),
                (TCP, TimeWait, "10.0.0.1:40001", "10.0.0.2:80", 1),
                (TCP, Established, "10.0.0.1:40002", "10.0.0.2:80", 1),
                (TCP, TimeWait, "10.0.0.1:40003", "10.0.0.2:80", 2),
            ],
            &["Tcp 10.0.0.1 10.0.0.2:80 4/10 [(TimeWait, 3), (Established, 1)] [1:3 (2) 2:1 (1)]"],
        ),
        (
            "UDP has ports of its own, one row for the namespace",
            &[40009],
            &[
                (UDP, Established, "10.0.0.1:40000", "10.0.0.2:53", 1),
                (UDP, Established, "10.0.0.3:40000", "10.0.0.4:53", 1),
                (UDP, Bound, "[::]:40001", "[::]:0", 2),
                (TCP, Bound, "0.0.0.0:40002", NONE, 2),
            ],
            &["Udp any 2/9 [(Established, 1), (Bound, 1)] [1:1 2:1]", "Tcp any 1/9 [(Bound, 1)] [2:1]"],
        ),
    ];
    for (what, reserved, sockets, expected) in cases {
        assert_eq!(rows(&table(reserved, sockets)), *expected, "{what}");
    }
}

#[test]
fn interfaces_that_sockets_are_bound_to_keep_connections_apart() {
    let mut table = table(&[], &[(TCP, Established, "10.0.0.1:40000", "10.0.0.2:80", 1)]);
    table.add(&Socket {
        protocol: TCP,
        state: Established,
        source: "10.0.0.1:40000".parse().unwrap(),
        destination: "10.0.0.2:80".parse().unwrap(),
        device: 2,
        inode: 1,
        cookie: 0,
        left_s: 0,
    });
    assert_eq!(rows(&table).len(), 2);
}

#[test]
fn pressure_is_the_share_that_is_taken() {
    let row = |netns, used, usable| Occupancy {
        netns: NetnsId(netns),
        protocol: TCP,
        source: None,
        destination: None,
        device: 0,
        used,
        usable,
        by_state: Vec::new(),
        holders: Vec::new(),
        time_wait: None,
        open_since: None,
    };
    // Half of four, all of none that are left, a third of many, half of eight.
    let mut rows = [row(1, 2, 4), row(2, 1, 0), row(3, u32::MAX / 3, u32::MAX), row(4, 4, 8), row(0, 2, 4)];
    by_pressure(&mut rows);
    assert_eq!(rows.map(|row| row.netns.0), [2, 4, 0, 1, 3]);
}

#[test]
fn a_namespace_tells_what_it_offers() {
    let table = table(
        &[40000, 40001, 50000],
        &[(TCP, Listen, "0.0.0.0:40001", NONE, 1), (TCP, Bound, "[::1]:40002", "[::]:0", 1)],
    );
    let namespace = table.namespace();
    assert_eq!((namespace.id, namespace.reserved, namespace.bound), (NetnsId(5), 2, 1));
    assert_eq!(table.held().count(), 1);
}
