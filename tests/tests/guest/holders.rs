//! Whose sockets are that nobody has open any more.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::churn::{self, Churn, connections, left_in_time_wait, name};
use portwatch_tests::kernel_is_since;
use portwatch_tests::netns::{Netns, set};
use portwatch_tests::portwatch::{Session, Watching, command};
use portwatch_tests::tally;
use serde_json::{Value, json};

const DESTINATION: &str = "127.0.0.1:8080";

/// A namespace with these local ports, none of which is used again while it is in TIME_WAIT, or loses its TIME_WAIT: late
/// packets of two processors are answered by a reset, which ends one (RFC 1337).
fn namespace(low: u16, high: u16) -> Netns {
    let netns = Netns::with_ports(low, high).unwrap();
    set("ipv4/tcp_tw_reuse", "0").unwrap();
    set("ipv4/tcp_rfc1337", "1").unwrap();
    netns
}

/// Somebody who accepts so many connections and closes each once its peer has: the peer gets the TIME_WAIT.
fn server(address: &str, accepts: u32) -> JoinHandle<()> {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for _ in 0..accepts {
            let (mut accepted, _) = listener.accept().unwrap();
            assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
        }
    })
}

/// Waits until so many sockets of this namespace are in TIME_WAIT.
fn wait_for_time_wait(expected: u32) {
    let since = Instant::now();
    loop {
        let text = fs::read_to_string("/proc/thread-self/net/sockstat").unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "tw").unwrap();
        let now: u32 = words[at + 1].parse().unwrap();
        if now >= expected {
            assert_eq!(now, expected);
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "{now} of {expected} are in TIME_WAIT");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The row of connections to this address in what the end of a session says of the ports; none where sock_diag is missing.
fn row<'a>(session: &'a Session, address: &str) -> Option<&'a Value> {
    if session.stderr.contains("modprobe tcp_diag") {
        println!("skipped: sock_diag is a module here, and none of this version was found");
        return None;
    }
    let place = json!({ "address": address, "port": 8080 });
    let row = session.lines.iter().find(|line| line["type"] == "ports" && line["destination"] == place);
    assert!(row.is_some(), "no row in {:?}\n{}", session.lines, session.stderr);
    row
}

/// Whether the kernel lets programs ask for cookies: since Linux 5.12. portwatch must say the same. If not, whose sockets
/// are in TIME_WAIT cannot be known, which is printed.
fn has_cookies(session: &Session) -> bool {
    let has = kernel_is_since(5, 12);
    assert_eq!(session.limits().any(|limit| limit.contains("no cookies of sockets")), !has);
    if !has {
        println!("skipped: this kernel gives programs no cookies of sockets");
    }
    has
}

/// What each process has of `row`, by its pid, and what is nobody's.
fn holdings(row: &Value) -> (HashMap<u64, &Value>, &Value) {
    let holders = row["holders"].as_array().unwrap();
    let nobody = holders.iter().find(|holder| holder["unknown"] == "time_wait").unwrap_or(&Value::Null);
    let by_pid = holders.iter().filter_map(|holder| Some((holder["process"]["pid"].as_u64()?, holder)));
    (by_pid.collect(), nobody)
}

/// That each process of `churned` has in `row` what it left behind, and that it has ended, where processes are looked up.
fn each_has_its_own(session: &Session, row: &Value, churned: &Churn) {
    let snapshot = session.lines.iter().rfind(|line| line["type"] == "snapshot").unwrap();
    let is_spared =
        |limit: &Value| limit.as_str().unwrap().starts_with("whose sockets are open was not looked for");
    let spared = snapshot["limits"].as_array().unwrap().iter().any(is_spared);
    let exited = if spared { Value::Null } else { json!(true) };
    let (by_pid, _) = holdings(row);
    assert_eq!(by_pid.len(), churned.pids.len(), "processes that hold something");
    for (n, (pid, connections)) in (0..).zip(churned.pids.iter().zip(&churned.connections)) {
        let holder = by_pid.get(&u64::from(*pid)).copied().unwrap_or(&Value::Null);
        assert_eq!(holder["process"]["comm"], name(n), "process {n}: {holder}");
        assert_eq!(holder["process"]["exited"], exited, "{holder}");
        assert_eq!((&holder["count"], &holder["time_wait"]), (&json!(connections), &json!(connections)));
    }
}

#[test]
fn every_time_wait_is_whose_process_connected_it_and_older_ones_are_unknown() {
    const PROCESSES: u32 = 1500;
    const OLDER: u32 = 100;
    let made: u32 = (0..PROCESSES).map(connections).sum();
    let all = made + OLDER;
    let _netns = namespace(20000, 20000 + u16::try_from(all).unwrap() - 1);
    let server = server(DESTINATION, all);
    (0..OLDER).for_each(|_| left_in_time_wait(DESTINATION.parse().unwrap()).unwrap());
    wait_for_time_wait(OLDER);
    let watching = Watching::start(&["trace", "--json", "--holders", "--count", "1"]).unwrap();
    let churned = churn::run(&["connections", &PROCESSES.to_string(), DESTINATION]).unwrap();
    server.join().unwrap();
    wait_for_time_wait(all);
    let tally = tally::run(&["--dest", DESTINATION]).unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 1, "every port is in TIME_WAIT");
    let session = watching.wait().unwrap();
    let Some(row) = row(&session, "127.0.0.1") else { return };
    assert_eq!((&row["used"], &row["by_state"]), (&json!(all), &json!({ "time_wait": all })));
    let (by_pid, nobody) = holdings(row);
    if !has_cookies(&session) {
        assert_eq!((by_pid.len(), &nobody["count"]), (0, &json!(all)), "nothing can be known");
        assert!(session.end()["owners"].is_null(), "{}", session.end());
        return;
    }
    each_has_its_own(&session, row, &churned);
    assert_eq!(nobody["count"], OLDER, "those from before");
    assert_eq!(session.end()["owners"], made, "{}", session.end());
    assert!(session.end()["no_room"].is_null(), "{}", session.end());
}

#[test]
fn each_way_knows_who_connected_over_either_family() {
    const PROCESSES: u32 = 21;
    let made: u32 = (0..PROCESSES).map(connections).sum();
    for mode in ["functions", "wrappers", "tracepoints"] {
        for (address, to) in [(DESTINATION, "127.0.0.1"), ("[::1]:8080", "::1"), ("mapped", "127.0.0.1")] {
            let _netns = namespace(20000, 20000 + u16::try_from(made).unwrap() - 1);
            let is_mapped = address == "mapped";
            let address = if is_mapped { "[::ffff:127.0.0.1]:8080" } else { address };
            let server = server(if is_mapped { DESTINATION } else { address }, made);
            let watching =
                Watching::start(&["trace", "--json", "--holders", "--count", "1", "--mode", mode]).unwrap();
            let churned = churn::run(&["connections", &PROCESSES.to_string(), address]).unwrap();
            server.join().unwrap();
            wait_for_time_wait(made);
            assert!(TcpStream::connect(address).is_err(), "every port is in TIME_WAIT");
            let session = watching.wait().unwrap();
            if !has_cookies(&session) {
                return;
            }
            let Some(row) = row(&session, to) else { return };
            println!("{mode}, {address}");
            each_has_its_own(&session, row, &churned);
        }
    }
}

#[test]
fn who_is_forgotten_for_newer_connects_is_counted() {
    const ROOM: u64 = 1024;
    let _netns = Netns::new().unwrap();
    let watching = Watching::start(&["trace", "--json", "--holders=1024"]).unwrap();
    // Each has sent its packet before it is refused.
    let tally = tally::run(&["--dest", "127.0.0.1:9", "--attempts", "3000"]).unwrap();
    let connects = tally.failed("ECONNREFUSED");
    assert_eq!(connects, 3000);
    let session = watching.end().unwrap();
    if !has_cookies(&session) {
        return;
    }
    assert_eq!(session.end()["owners"], connects, "{}", session.end());
    // Less, if processors left out places.
    let forgotten = session.end()["no_room"]["owners"].as_u64().unwrap();
    assert!((connects - ROOM..connects).contains(&forgotten), "{}", session.end());
    assert!(
        session.stderr.contains("more connects within a minute than --holders remembers"),
        "{}",
        session.stderr
    );
}

/// The next row of the destination for which this holds.
fn wait_for(stdout: &mut impl BufRead, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    let since = Instant::now();
    let mut lines = String::new();
    loop {
        assert!(since.elapsed() < Duration::from_secs(20), "{lines}");
        let from = lines.len();
        if stdout.read_line(&mut lines).unwrap() == 0 {
            return None;
        }
        let line: Value = serde_json::from_str(&lines[from..]).unwrap();
        if line["destination"]["port"] == 8080 && is_it(&line) {
            return Some(line);
        }
    }
}

#[test]
fn a_socket_that_was_seen_open_is_known_in_time_wait_without_programs() {
    const CONNECTIONS: u32 = 50;
    let _netns = namespace(20000, 20099);
    let server = server(DESTINATION, CONNECTIONS + 1);
    left_in_time_wait(DESTINATION.parse().unwrap()).unwrap();
    wait_for_time_wait(1);
    let attempts = CONNECTIONS.to_string();
    let mut load = tally::start(&["--dest", DESTINATION, "--attempts", &attempts, "--hold"]).unwrap();
    let mut ports = command(&["ports", "--json", "--dest", DESTINATION, "--watch", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(ports.stdout.take().unwrap());
    // Where looking for owners takes long, not each look does.
    let open = wait_for(&mut stdout, |row| {
        let mut holders = row["holders"].as_array().unwrap().iter();
        holders.any(|held| held["process"]["pid"] == load.id() && held["count"] == CONNECTIONS)
    });
    load.kill().unwrap();
    load.wait().unwrap();
    let mut stderr = String::new();
    if open.is_none() {
        ports.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        ports.wait().unwrap();
        assert!(stderr.contains("modprobe tcp_diag"), "{stderr}");
        println!("skipped: sock_diag is a module here, and none of this version was found");
        return;
    }
    server.join().unwrap();
    // What is known of a process is looked up again after a second.
    let all_left = |row: &Value| {
        let mut holders = row["holders"].as_array().unwrap().iter();
        row["by_state"]["time_wait"] == CONNECTIONS + 1
            && holders.any(|holder| holder["process"]["exited"] == true)
    };
    let left = wait_for(&mut stdout, all_left).unwrap();
    kill(Pid::from_raw(i32::try_from(ports.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(ports.wait().unwrap().code(), Some(0));
    let (by_pid, nobody) = holdings(&left);
    assert_eq!(nobody, &json!({ "unknown": "time_wait", "count": 1 }), "the older one");
    let holder = by_pid[&u64::from(load.id())];
    let expected = (&json!(CONNECTIONS), &json!(CONNECTIONS), &json!("loadgen"), &json!(true));
    let process = &holder["process"];
    assert_eq!((&holder["count"], &holder["time_wait"], &process["comm"], &process["exited"]), expected);
}

/// What one client program has, and under which name.
struct Client {
    name: &'static str,
    short: u32,
    held: u32,
}

/// How it is run: its name, and the ports that it is to find evenly.
fn options(client: &Client, range: (u16, u16)) -> Vec<String> {
    let hex: String = client.name.bytes().map(|byte| format!("{byte:02x}")).collect();
    let evenly = format!("{}-{}", range.0, range.1);
    ["--dest", DESTINATION, "--comm-hex", &hex, "--evenly", &evenly].map(str::to_owned).to_vec()
}

/// Runs it for its short connections; its process id.
fn come_and_go(client: &Client, range: (u16, u16)) -> u32 {
    let (options, short) = (options(client, range), client.short.to_string());
    let all: Vec<&str> =
        options.iter().map(String::as_str).chain(["--close", "--attempts", &short]).collect();
    let tally = tally::run(&all).unwrap();
    assert_eq!(tally.threads[0].connected, u64::from(client.short));
    tally.pid
}

/// Runs it for those that it holds until it is killed.
fn hold(client: &Client, range: (u16, u16)) -> Child {
    let (options, held) = (options(client, range), client.held.to_string());
    let all: Vec<&str> = options.iter().map(String::as_str).chain(["--hold", "--attempts", &held]).collect();
    tally::start(&all).unwrap()
}

#[test]
fn the_ports_that_two_programs_leave_in_time_wait_are_told_by_program() {
    // From half of the range on each search takes milliseconds, unless it is made evenly, and TIME_WAIT a minute.
    if !kernel_is_since(6, 8) {
        println!(
            "skipped: before Linux 6.8 so many ports are not found within the minute that TIME_WAIT takes"
        );
        return;
    }
    told_by_program((32768, 60999), [("curl", 20_000, 20), ("wget", 6_837, 10)]);
}

#[test]
fn a_tenth_of_the_ports_that_two_programs_leave_in_time_wait_is_told_by_program() {
    told_by_program((32768, 35591), [("curl", 2_000, 2), ("wget", 683, 1)]);
}

/// Two programs have all ports of this range: each so many in TIME_WAIT, and so many that it holds.
fn told_by_program(range: (u16, u16), clients: [(&'static str, u32, u32); 2]) {
    let clients = clients.map(|(name, short, held)| Client { name, short, held });
    let usable = u32::from(range.1 - range.0) + 1;
    let short: u32 = clients.iter().map(|client| client.short).sum();
    let held: u32 = clients.iter().map(|client| client.held).sum();
    let _netns = namespace(range.0, range.1);
    set("ipv4/tcp_max_tw_buckets", "200000").unwrap();
    let watching = Watching::start(&["trace", "--json", "--holders", "--warn"]).unwrap();
    let server = server(DESTINATION, short + held);
    // The server waits for the first one that stays open.
    let began = Instant::now();
    let gone: Vec<u32> = clients.iter().map(|each| come_and_go(each, range)).collect();
    // The first must still be there when the last look is over.
    if began.elapsed() > Duration::from_secs(45) {
        watching.end().unwrap();
        println!("skipped: this machine takes almost as long to make so many connections as TIME_WAIT takes");
        return;
    }
    let running: Vec<(u32, Child)> =
        gone.into_iter().zip(clients.iter().map(|each| hold(each, range))).collect();
    wait_for_time_wait(short);
    // Thirty connections take some milliseconds.
    std::thread::sleep(Duration::from_secs(2));
    let expected = json!({ "time_wait": short, "established": held });

    // Without programs: the numbers, and why.
    let output = command(&["ports", "--json", "--dest", DESTINATION]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rows) = portwatch_tests::contract::snapshots(&text).unwrap().remove(0);
    assert_eq!((&rows[0]["used"], &rows[0]["usable"]), (&json!(short + held), &json!(usable)), "{text}");
    assert_eq!(rows[0]["by_state"], expected, "{text}");
    let verdict = text.lines().find(|line| line.starts_with("{\"type\":\"verdict\"")).unwrap();
    let verdict: Value = serde_json::from_str(verdict).unwrap();
    let diagnosis = &verdict["diagnoses"][0];
    assert_eq!(diagnosis["rule"], "time-wait", "{verdict}");
    let most =
        if usable < 600 { format!("{:.1}", f64::from(usable) / 60.0) } else { (usable / 60).to_string() };
    assert!(
        diagnosis["sentence"].as_str().unwrap().contains(&format!("; {most} connects/s are the most")),
        "{verdict}"
    );

    // With programs: who left them. A look comes every two seconds.
    std::thread::sleep(Duration::from_secs(5));
    let session = watching.end().unwrap();
    let full = |line: &&Value| line["type"] == "ports" && line["by_state"] == expected;
    let row = session.lines.iter().rfind(full);
    assert!(row.is_some(), "{:?}", session.lines.iter().rfind(|line| line["type"] == "ports"));
    if has_cookies(&session) {
        let (by_pid, _) = holdings(row.unwrap());
        for (client, (pid, child)) in clients.iter().zip(&running) {
            let left = by_pid[&u64::from(*pid)];
            assert_eq!(
                (&left["process"]["comm"], &left["time_wait"]),
                (&json!(client.name), &json!(client.short))
            );
            let open = by_pid[&u64::from(child.id())];
            assert_eq!(
                (&open["process"]["comm"], &open["count"]),
                (&json!(client.name), &json!(client.held))
            );
        }
        let told = session.lines.iter().rfind(|line| line["type"] == "verdict").unwrap();
        // While ports fill up, another one may have explained more when it was told.
        let diagnoses = told["diagnoses"].as_array().unwrap();
        let time_wait = diagnoses.iter().find(|diagnosis| diagnosis["rule"] == "time-wait").unwrap();
        let sentence = time_wait["sentence"].as_str().unwrap();
        assert!(sentence.contains("; curl left ") && sentence.contains(", wget left "), "{sentence}");
    }
    for (_, mut child) in running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    server.join().unwrap();
}
