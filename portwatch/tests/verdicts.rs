//! What `portwatch ports` says of this host's ports where they are used up: each situation has a rule of its own. Needs no
//! BPF.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::any::Any;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portwatch_tests::evenly::search_evenly;
use portwatch_tests::netns::{Netns, or_skipped, set};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

const SERVICE: &str = "127.0.0.1:8080";
/// Ports that most tests have.
const PORTS: usize = 20;

/// The lines of `portwatch ports --json`.
fn lines() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    let output = command.args(["ports", "--json"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["type"] == kind)
}

/// Both ends of so many connections.
fn connections(listener: &TcpListener, number: usize) -> Vec<(TcpStream, TcpStream)> {
    let connected = || {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    };
    (0..number).map(|_| connected()).collect()
}

fn bound(address: &str) -> Socket {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

/// Makes a situation, which lasts as long as what it returns.
type Make = fn() -> Box<dyn Any>;

fn live() -> Box<dyn Any> {
    let listener = TcpListener::bind(SERVICE).unwrap();
    Box::new(connections(&listener, PORTS))
}

fn closed_by_the_server() -> Box<dyn Any> {
    let listener = TcpListener::bind(SERVICE).unwrap();
    let clients = connections(&listener, PORTS).into_iter().map(|(client, _)| client);
    Box::new(clients.collect::<Vec<_>>())
}

fn closed_by_the_client_only() -> Box<dyn Any> {
    let listener = TcpListener::bind(SERVICE).unwrap();
    let held = connections(&listener, PORTS);
    held.iter().for_each(|(client, _)| client.shutdown(Shutdown::Write).unwrap());
    Box::new(held)
}

fn closed_by_both() -> Box<dyn Any> {
    set("ipv4/tcp_tw_reuse", "0").unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    for (client, mut server) in connections(&listener, PORTS) {
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }
    Box::new(())
}

/// The other side reads nothing, so what was written comes before the FIN and stays.
fn closed_with_unsent_data() -> Box<dyn Any> {
    let listener = TcpListener::bind(SERVICE).unwrap();
    let held = connections(&listener, PORTS);
    for (client, _) in &held {
        client.set_nonblocking(true).unwrap();
        let mut to = client;
        while to.write(&[0; 64 * 1024]).is_ok() {}
        client.shutdown(Shutdown::Write).unwrap();
    }
    Box::new(held)
}

fn unanswered() -> Box<dyn Any> {
    // Packets to there come back in over loopback, and nobody is at home.
    let route = ["route", "add", "192.0.2.0/24", "dev", "lo"];
    assert!(Command::new("ip").args(route).status().unwrap().success());
    let attempt = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert!(socket.connect(&"192.0.2.1:80".parse::<SocketAddr>().unwrap().into()).is_err());
        socket
    };
    Box::new((0..PORTS).map(attempt).collect::<Vec<_>>())
}

fn bound_by_another_address() -> Box<dyn Any> {
    let binders: Vec<_> = (40000..40016).map(|port| bound(&format!("127.0.0.9:{port}"))).collect();
    let listener = TcpListener::bind(SERVICE).unwrap();
    Box::new((binders, connections(&listener, 4)))
}

fn listened_on() -> Box<dyn Any> {
    let services = (40000..40016).map(|port| TcpListener::bind(("127.0.0.9", port)).unwrap());
    let services: Vec<_> = services.collect();
    let listener = TcpListener::bind(SERVICE).unwrap();
    Box::new((services, connections(&listener, 4)))
}

fn reserved() -> Box<dyn Any> {
    set("ipv4/ip_local_reserved_ports", "40000-40015").unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    Box::new(connections(&listener, 4))
}

fn udp_sockets() -> Box<dyn Any> {
    Box::new((0..PORTS).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect::<Vec<_>>())
}

fn half_used() -> Box<dyn Any> {
    let listener = TcpListener::bind(SERVICE).unwrap();
    Box::new((connections(&listener, PORTS / 2), UdpSocket::bind("127.0.0.1:0").unwrap()))
}

#[test]
fn each_way_to_use_ports_up_is_told_by_a_rule_of_its_own() {
    let cases: [(&str, Make); 11] = [
        ("live-connections", live),
        ("close-wait", closed_by_the_server),
        ("peer-keeps-open", closed_by_the_client_only),
        ("time-wait", closed_by_both),
        ("unfinished-close", closed_with_unsent_data),
        ("unanswered", unanswered),
        ("foreign-binds", bound_by_another_address),
        ("listeners-in-range", listened_on),
        ("reserved-ports", reserved),
        ("udp-sockets", udp_sockets),
        ("", half_used),
    ];
    for (expected, make) in cases {
        let Some(_netns) = or_skipped(Netns::with_ports(40000, 40019)) else { return };
        let _held = make();
        let lines = lines();
        if expected == "foreign-binds" && of(&lines, "snapshot").all(|line| line["bound_visible"] == false) {
            println!("skipped: this kernel does not show sockets that are bound");
            continue;
        }
        let rules: Vec<&str> = of(&lines, "verdict")
            .flat_map(|verdict| verdict["diagnoses"].as_array().unwrap())
            .map(|diagnosis| diagnosis["rule"].as_str().unwrap())
            // So few ports are few, too.
            .filter(|rule| !["small-range", "narrow-namespace"].contains(rule))
            .collect();
        let expected = (!expected.is_empty()).then_some(expected);
        assert_eq!(rules.first().copied(), expected, "{lines:#?}");
    }
}

#[test]
fn a_full_default_range_is_told_with_its_numbers_and_by_what_they_can_carry() {
    const TIME_WAIT: u32 = 26_837;
    const OPEN: u32 = 30;
    let Some(_netns) = or_skipped(Netns::with_ports(32768, 60999)) else { return };
    for (key, value) in
        [("ipv4/tcp_tw_reuse", "0"), ("ipv4/tcp_rfc1337", "1"), ("ipv4/tcp_max_tw_buckets", "60000")]
    {
        set(key, value).unwrap();
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    let connect = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        search_evenly(&socket, 32768, 60999);
        socket.connect(&listener.local_addr().unwrap().into()).unwrap();
        (TcpStream::from(socket), listener.accept().unwrap().0)
    };
    for _ in 0..TIME_WAIT {
        let (client, mut server) = connect();
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }
    let _open: Vec<_> = (0..OPEN).map(|_| connect()).collect();
    let lines = lines();
    let row = of(&lines, "ports").find(|row| row["destination"]["port"] == 8080).unwrap();
    assert_eq!((&row["used"], &row["usable"]), (&json!(TIME_WAIT + OPEN), &json!(28_232)), "{row}");
    assert_eq!(row["by_state"], json!({ "time_wait": TIME_WAIT, "established": OPEN }));
    let diagnosis = &of(&lines, "verdict").next().unwrap()["diagnoses"][0];
    assert_eq!(diagnosis["rule"], "time-wait", "{diagnosis}");
    let sentence = diagnosis["sentence"].as_str().unwrap();
    // 28,232 ports, each of which waits a minute.
    let carries = format!("{} connects/s are the most 28,232 ports can carry", 28_232 / 60);
    assert!(sentence.contains("26,837 of the 28,232 ports") && sentence.contains(&carries), "{sentence}");
    // As many more as the wider range has, less what is reserved and listened on.
    let advice = diagnosis["advice"].as_array().unwrap();
    let widen = advice.iter().find(|one| one["advice"].as_str().unwrap().contains("widen")).unwrap();
    let ends: Vec<u32> = widen["command"]
        .as_str()
        .unwrap()
        .rsplit('=')
        .next()
        .unwrap()
        .trim_matches('"')
        .split(' ')
        .map(|port| port.parse().unwrap())
        .collect();
    let more = ends[1] - ends[0] + 1 - 28_232;
    let gain: String = widen["gain"].as_str().unwrap().replace(',', "");
    assert!(gain.starts_with(&format!("{more} more ports")), "{widen}");
    assert!(gain.contains(&format!("{} more connects/s", more / 60)), "{widen}");
}
