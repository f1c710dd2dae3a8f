//! `portwatch ports` on this host: made sockets, exact numbers. Needs no BPF.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::io::{BufRead, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, gettid};
use portwatch_tests::contract;
use portwatch_tests::netns::{Netns, or_skipped, set};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    command.arg("ports").args(args).stdin(Stdio::null());
    command
}

fn text(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(args).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The one snapshot of `portwatch ports --json ARGS`.
fn snapshot(args: &[&str]) -> (Value, Vec<Value>) {
    let text = text(&[&["--json"], args].concat());
    let mut snapshots = contract::snapshots(&text).unwrap();
    assert_eq!(snapshots.len(), 1, "{text}");
    snapshots.remove(0)
}

/// A namespace with twenty local ports; none, with the reason printed, where there can be none.
fn namespace() -> Option<Netns> {
    or_skipped(Netns::with_ports(40000, 40019))
}

/// A socket with a port and without a peer.
fn bound(address: &str) -> Socket {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

/// A connection to `listener`: both ends.
fn connected(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Closes the client's end first, so that its port goes into TIME_WAIT.
fn time_wait(listener: &TcpListener) {
    let (client, mut server) = connected(listener);
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
}

/// Destination, used, usable, and what is in which state, of each row.
fn numbers(rows: &[Value]) -> Vec<Value> {
    let place = |row: &Value| match row["destination"]["address"].as_str() {
        Some(address) => {
            format!("{} to {address} {}", row["source"].as_str().unwrap(), row["destination"]["port"])
        }
        None => format!("{} any", row["protocol"].as_str().unwrap()),
    };
    rows.iter().map(|row| json!([place(row), row["used"], row["usable"], row["by_state"]])).collect()
}

#[test]
fn every_kind_of_socket_is_counted_where_it_takes_a_port() {
    let Some(netns) = namespace() else { return };
    set("ipv4/ip_local_reserved_ports", "40018-40019,50000").unwrap();
    let _bound = [bound("127.0.0.9:40010"), bound("[::1]:40012"), bound("127.0.0.1:9999")];
    let _in_range = TcpListener::bind("127.0.0.1:40011").unwrap();
    let v4 = TcpListener::bind("127.0.0.1:8080").unwrap();
    let v6 = TcpListener::bind("[::1]:8443").unwrap();
    let _established = [connected(&v4), connected(&v4), connected(&v6)];
    let mapped = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    mapped.connect(&"[::ffff:127.0.0.1]:8080".parse::<SocketAddr>().unwrap().into()).unwrap();
    let _accepted = v4.accept().unwrap();
    let (_close_wait, server) = connected(&v4);
    drop(server);
    (0..3).for_each(|_| time_wait(&v4));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect("127.0.0.1:53").unwrap();
    let _udp = [udp, UdpSocket::bind("[::]:0").unwrap(), UdpSocket::bind("127.0.0.1:53").unwrap()];

    let (head, rows) = snapshot(&[]);
    let shown = head["bound_visible"] != false;
    let (bound, any) =
        if shown { (3, json!({ "bound": 2, "listen": 1 })) } else { (1, json!({ "listen": 1 })) };
    let usable = 18 - bound;
    let v4_states = json!({ "established": 3, "time_wait": 3, "close_wait": 1 });
    let mut expected = vec![
        json!(["127.0.0.1 to 127.0.0.1 8080", 7, usable, v4_states]),
        json!(["tcp any", bound, 18, any]),
        json!(["udp any", 2, 18, { "established": 1, "bound": 1 }]),
        json!(["::1 to ::1 8443", 1, usable, { "established": 1 }]),
    ];
    if !shown {
        expected.swap(1, 2);
        expected.swap(2, 3);
    }
    assert_eq!(numbers(&rows), expected);
    let namespace = &head["namespaces"][0];
    for (field, expected) in [
        ("netns", json!(netns.id)),
        ("port_range", json!({ "low": 40000, "high": 40019 })),
        ("reserved", json!(2)),
        ("bound", json!(bound)),
        ("reserved_ports", json!([{ "low": 40018, "high": 40019 }, { "low": 50000, "high": 50000 }])),
        (
            "listeners",
            if shown { json!([53, 8080, 8443, 9999, 40011]) } else { json!([53, 8080, 8443, 40011]) },
        ),
    ] {
        assert_eq!(namespace[field], expected, "{field}: {namespace}");
    }
    assert_eq!(namespace["settings"]["tcp_tw_reuse"], 2, "{namespace}");
    // They closed within the last seconds, and have most of the minute before them.
    let time_wait = &rows[0]["time_wait"];
    assert_eq!(time_wait["last_10_s"], 3, "{time_wait}");
    assert!((50..=60).contains(&time_wait["over_in_s"].as_u64().unwrap()), "{time_wait}");
    assert_eq!((&head["repeated"], &head["limits"]), (&json!(0), &json!([])));

    // The three in TIME_WAIT are nobody's, the others are this process's.
    let holders = rows[0]["holders"].as_array().unwrap();
    assert_eq!(
        (&holders[0]["process"]["pid"], &holders[0]["count"]),
        (&json!(std::process::id()), &json!(4))
    );
    assert!(holders[0]["process"]["exe"].as_str().unwrap().contains("ports"), "{holders:?}");
    assert_eq!(holders[1..], [json!({ "unknown": "time_wait", "count": 3 })]);

    let filters: &[(&[&str], &[&str])] = &[
        (&["--dest", "127.0.0.1:8080"], &["127.0.0.1 to 127.0.0.1 8080"]),
        (&["--dest", "127.0.0.0/8"], &["127.0.0.1 to 127.0.0.1 8080"]),
        (&["--dest", ":8443"], &["::1 to ::1 8443"]),
        (&["--dest", "::1"], &["::1 to ::1 8443"]),
        (&["--dest", "::/0"], &["127.0.0.1 to 127.0.0.1 8080", "::1 to ::1 8443"]),
        (&["--dest", "127.0.0.1:8443"], &[]),
    ];
    for (filter, destinations) in filters {
        let (_, rows) = snapshot(filter);
        let all = numbers(&rows);
        let places: Vec<&str> = all.iter().map(|row| row[0].as_str().unwrap()).collect();
        let kept: Vec<&str> = places.iter().copied().filter(|place| !place.ends_with(" any")).collect();
        assert_eq!(kept, *destinations, "{filter:?}");
        assert_eq!(
            places.len(),
            kept.len() + 2,
            "ports that are bound matter whatever the destination: {filter:?}"
        );
        assert!(all.iter().all(|row| expected.contains(row)), "{filter:?}: {all:?}");
    }
}

#[test]
fn a_range_that_is_bound_as_a_whole_looks_full() {
    let Some(_netns) = namespace() else { return };
    let _held: Vec<Socket> = (40000..40020).map(|port| bound(&format!("127.0.0.1:{port}"))).collect();
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    assert!(TcpStream::connect(listener.local_addr().unwrap()).is_err());
    let (head, rows) = snapshot(&[]);
    let text = text(&[]);
    if head["bound_visible"] == true {
        assert_eq!(numbers(&rows), [json!(["tcp any", 20, 20, { "bound": 20 }])]);
        let row = text.lines().find(|line| line.starts_with("100%")).unwrap();
        let holder = format!("(pid {}) 20", std::process::id());
        assert!(row.contains("any") && row.contains("bound 20") && row.ends_with(&holder), "{text}");
    } else {
        assert!(rows.is_empty(), "{rows:?}");
        assert!(text.contains("does not show sockets that are bound"), "{text}");
    }
}

#[test]
fn a_script_is_told_by_the_exit_code_that_ports_run_short() {
    let Some(_netns) = namespace() else { return };
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let _held: Vec<_> = (0..12).map(|_| connected(&listener)).collect();
    // 12 of 20 are 60 %.
    for (args, code, warned) in [
        (&["--fail-on", "warn"][..], 0, false),
        (&["--warn", "60%"], 0, true),
        (&["--warn", "60%", "--fail-on", "warn"], 3, true),
        (&["--warn", "61%", "--fail-on", "warn"], 0, false),
    ] {
        let output = command(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), text.contains("\nwarning: ")),
            (Some(code), warned),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn ports_in_time_wait_that_may_be_taken_over_are_no_reason_to_warn() {
    // Loopback is covered by 2. Of those that began to wait in ten seconds, a fifth at most is too young.
    for (tcp_tw_reuse, code) in [("0", 3), ("1", 0), ("2", 0)] {
        let Some(_netns) = namespace() else { return };
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        set("ipv4/tcp_tw_reuse", "0").unwrap();
        (0..18).for_each(|_| time_wait(&listener));
        set("ipv4/tcp_tw_reuse", tcp_tw_reuse).unwrap();
        let output = command(&["--fail-on", "warn"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let has_verdict = text.contains("are in TIME_WAIT");
        assert_eq!((output.status.code(), has_verdict), (Some(code), code == 3), "{tcp_tw_reuse}: {text}");
        assert!(text.contains("TIME_WAIT 18"), "{text}");
    }
}

#[test]
fn other_namespaces_are_entered_by_file_by_number_by_process_and_all_at_once() {
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let there = std::thread::spawn(move || {
        let Some(netns) = namespace() else { return };
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let _held = connected(&listener);
        // A process there: this one is somewhere else.
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        tell.send((netns.id, gettid(), child.id())).unwrap();
        let _ = ended.recv();
        child.kill().and_then(|()| child.wait()).unwrap();
    });
    let Ok((id, tid, pid)) = told.recv() else { return };
    let path = format!("/proc/{}/task/{tid}/ns/net", std::process::id());
    let expected = [json!(["127.0.0.1 to 127.0.0.1 8080", 1, 20, { "established": 1 }])];
    for which in [&path[..], &id.to_string(), &pid.to_string()] {
        let (head, rows) = snapshot(&["--netns", which]);
        assert_eq!(numbers(&rows), expected, "{which}");
        assert_eq!(head["namespaces"][0]["netns"], id, "{which}");
    }
    let (head, rows) = snapshot(&["--netns", "all"]);
    // Root sees every one.
    assert!(head["all_namespaces"] == true || !head["limits"].as_array().unwrap().is_empty(), "{head}");
    let rows: Vec<Value> = rows.into_iter().filter(|row| row["netns"] == id).collect();
    assert_eq!(numbers(&rows), expected);
    let of_this = head["namespaces"].as_array().unwrap().iter().filter(|namespace| namespace["netns"] == id);
    assert_eq!(of_this.count(), 1, "{head}");
    assert!(snapshot(&[]).1.iter().all(|row| row["netns"] != id), "the own namespace is another one");
    drop(end);
    there.join().unwrap();
}

#[test]
fn a_namespace_that_is_not_there_is_an_error_that_names_it() {
    for (which, named) in
        [("/nowhere/net", "/nowhere/net"), ("4294967295", "4294967295"), ("/dev/null", "/dev/null")]
    {
        let output = command(&["--netns", which]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            output.stdout.is_empty() && stderr.starts_with("portwatch: ") && stderr.contains(named),
            "{stderr}"
        );
    }
}

#[test]
fn watching_shows_what_changes_until_a_signal_ends_it_well() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let Some(_netns) = namespace() else { return };
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let mut child = command(&["--json", "--watch", "20ms"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut all = String::new();
        let mut wait_for = |rows: u64| {
            loop {
                let from = all.len();
                assert!(stdout.read_line(&mut all).unwrap() > 0, "it ended: {all}");
                let line: Value = serde_json::from_str(&all[from..]).unwrap();
                if line["type"] == "snapshot" && line["rows"] == rows {
                    break;
                }
            }
        };
        wait_for(0);
        let held = connected(&listener);
        wait_for(1);
        drop(held);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        stdout.read_to_string(&mut all).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        assert!(contract::snapshots(&all).unwrap().len() >= 2);
    }
}

/// The next line of this type that is wanted, of a command that goes on.
fn next_line(stdout: &mut impl BufRead, kind: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let mut text = String::new();
        assert!(stdout.read_line(&mut text).unwrap() > 0, "it ended without {kind}");
        let line: Value = serde_json::from_str(&text).unwrap();
        if line["type"] == kind && is_wanted(&line) {
            return line;
        }
    }
}

#[test]
fn watching_warns_and_says_when_it_is_over() {
    // 12 of 20 are 60 %. Below half of them nothing is near, however fast it grew.
    for (fail_on, code) in [(&["--fail-on", "warn"][..], 3), (&[], 0)] {
        let Some(netns) = namespace() else { return };
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let args = [&["--json", "--watch", "20ms", "--warn", "60%"], fail_on].concat();
        let mut child = command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut wait_for = |kind: &str| next_line(&mut stdout, kind, |_| true);
        let mut held: Vec<_> = (0..12).map(|_| freed_at_once(&listener)).collect();
        let warning = wait_for("warning");
        held.truncate(9);
        let recovered = wait_for("recovered");
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
        stdout.read_to_string(&mut String::new()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
        for (line, used) in [(warning, 12), (recovered, 9)] {
            let place = json!({ "address": "127.0.0.1", "port": 8080 });
            assert_eq!((&line["used"], &line["usable"]), (&json!(used), &json!(20)), "{line}");
            assert_eq!((&line["netns"], &line["destination"]), (&json!(netns.id), &place), "{line}");
        }
    }
}

#[test]
fn a_namespace_that_ends_while_it_is_warned_of_has_recovered() {
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let there = std::thread::spawn(move || {
        let Some(netns) = namespace() else { return };
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let held: Vec<_> = (0..12).map(|_| connected(&listener)).collect();
        tell.send((netns.id, listener, held)).unwrap();
        let _ = ended.recv();
    });
    // Its sockets outlive the only thread in it.
    let Ok((id, _listener, _held)) = told.recv() else { return };
    let args = ["--json", "--watch", "20ms", "--netns", "all", "--warn", "60%"];
    let mut child = command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let sees_all = next_line(&mut stdout, "snapshot", |_| true)["all_namespaces"] == true;
    let mut wait_for = |kind: &str| next_line(&mut stdout, kind, |line| line["netns"] == id);
    let warning = wait_for("warning");
    drop(end);
    there.join().unwrap();
    let recovered = if sees_all { wait_for("recovered") } else { json!({ "gone": true }) };
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    stdout.read_to_string(&mut String::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!((&warning["used"], &warning["gone"]), (&json!(12), &Value::Null), "{warning}");
    assert_eq!(recovered["gone"], true, "{recovered}");
    if !sees_all {
        println!("skipped: not every namespace of this host can be looked at");
    }
}

/// A connection that leaves nothing in TIME_WAIT.
fn freed_at_once(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let (client, server) = connected(listener);
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    (client, server)
}

#[test]
fn watching_knows_whose_a_socket_was_that_it_saw_open() {
    let Some(_netns) = namespace() else { return };
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    time_wait(&listener);
    let held = [connected(&listener), connected(&listener)];
    let (staying, _server) = connected(&listener);
    let mut child = command(&["--json", "--watch", "20ms"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut wait_for =
        |state: &str, count: u64| next_line(&mut stdout, "ports", |line| line["by_state"][state] == count);
    wait_for("established", 3);
    for (client, mut server) in held {
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
    }
    let row = wait_for("time_wait", 3);
    drop(staying);
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let [own, older] = row["holders"].as_array().unwrap().as_slice() else { panic!("{row}") };
    assert_eq!((&own["count"], &own["time_wait"]), (&json!(3), &json!(2)), "{row}");
    assert_eq!(own["process"]["pid"], std::process::id(), "{row}");
    assert_eq!(older, &json!({ "unknown": "time_wait", "count": 1 }));
}

#[test]
fn a_closed_pipe_ends_watching_quietly() {
    for form in [&["--watch", "10ms"][..], &["--watch", "10ms", "--json"], &["--watch", "1h"]] {
        let mut child = command(form).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut String::new()).unwrap();
        drop(stdout);
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{form:?}");
    }
}
