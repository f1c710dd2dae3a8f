//! Who holds the ports, on this kernel.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};

use portwatch_tests::contract;
use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::command;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// The one snapshot of `portwatch ports --json ARGS`; none, with the reason printed, where sock_diag is missing.
fn snapshot(args: &[&str]) -> Option<(Value, Vec<Value>)> {
    let output = command(&[&["ports", "--json"], args].concat()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("modprobe tcp_diag") {
        println!("skipped: sock_diag is a module here, and none of this version was found");
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let mut snapshots = contract::snapshots(&String::from_utf8_lossy(&output.stdout)).unwrap();
    Some(snapshots.remove(0))
}

/// Since Linux 6.8 a dump has sockets that are bound only.
fn newer_than_6_7() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(8))
}

#[test]
fn a_full_range_is_told_with_its_states_and_holders() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let address = listener.local_addr().unwrap();
    let _held: Vec<(TcpStream, TcpStream)> =
        (0..6).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)).collect();
    for _ in 0..4 {
        let (client, mut server) = (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0);
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }
    let Some((head, rows)) = snapshot(&["--dest", "127.0.0.1:8080"]) else { return };
    let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
    assert_eq!((&row["used"], &row["usable"], &row["netns"]), (&json!(10), &json!(10), &json!(netns.id)));
    assert_eq!(row["by_state"], json!({ "established": 6, "time_wait": 4 }));
    let holders = row["holders"].as_array().unwrap();
    assert_eq!(
        (&holders[0]["process"]["pid"], &holders[0]["count"]),
        (&json!(std::process::id()), &json!(6))
    );
    assert_eq!(holders[1], json!({ "unknown": "time_wait", "count": 4 }));
    assert_eq!(head["limits"], json!([]));
}

#[test]
fn mapped_connections_share_the_row_of_their_destination() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let full = Full::new("127.0.0.1:8080", 3).unwrap();
    let mapped = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    mapped.connect(&"[::ffff:127.0.0.1]:8080".parse::<SocketAddr>().unwrap().into()).unwrap();
    let Some((_, rows)) = snapshot(&["--dest", &full.destination.to_string()]) else { return };
    assert_eq!((rows.len(), &rows[0]["used"]), (1, &json!(4)), "{rows:?}");
}

#[test]
fn sockets_that_are_bound_only_are_shown_or_said_to_be_invisible() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let bound = |port: u16| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 9], port)).into()).unwrap();
        socket
    };
    let _held: Vec<Socket> = (40000..40010).map(bound).collect();
    let _listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    assert!(TcpStream::connect("127.0.0.1:8080").is_err(), "the range looks empty and is not");
    let Some((head, rows)) = snapshot(&[]) else { return };
    let output = command(&["ports"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(head["bound_visible"], newer_than_6_7());
    assert_eq!(text.contains("does not show sockets that are bound"), !newer_than_6_7(), "{text}");
    if newer_than_6_7() {
        assert_eq!((rows.len(), &rows[0]["by_state"]), (1, &json!({ "bound": 10 })), "{rows:?}");
        assert!(
            rows[0]["destination"].is_null() && rows[0]["used"] == 10 && rows[0]["usable"] == 10,
            "{rows:?}"
        );
    } else {
        assert!(rows.is_empty(), "{rows:?}");
    }
}
