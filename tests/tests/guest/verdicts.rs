//! What explains a shortage, and whether the failures stop when what is advised is done.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching, command};
use portwatch_tests::tally;
use portwatch_tests::{contract, kernel_is_since};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

const SERVICE: &str = "127.0.0.1:8080";
/// `IP_BIND_ADDRESS_NO_PORT`, include/uapi/linux/in.h.
const IP_BIND_ADDRESS_NO_PORT: i32 = 24;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What trace says of the one call that fails.
fn told(fail: impl FnOnce() -> std::io::Error) -> Session {
    let watching = Watching::start(&["trace", "--json", "--count", "1"]).unwrap();
    fail();
    watching.wait().unwrap()
}

/// The one that was written.
fn verdict(session: &Session) -> &Value {
    let found = session.lines.iter().find(|line| line["type"] == "verdict");
    assert!(found.is_some(), "no verdict: {}\n{}", session.stdout, session.stderr);
    found.unwrap()
}

fn rules(verdict: &Value) -> Vec<&str> {
    verdict["diagnoses"].as_array().unwrap().iter().map(|each| each["rule"].as_str().unwrap()).collect()
}

/// What helps, by the beginning of its words.
fn advice<'a>(verdict: &'a Value, words: &str) -> &'a Value {
    let diagnoses = verdict["diagnoses"].as_array().unwrap();
    let mut all = diagnoses.iter().flat_map(|diagnosis| diagnosis["advice"].as_array().unwrap());
    let named =
        |advice: &&Value| advice["advice"].as_str().unwrap().contains(words) && advice["standing"] == "helps";
    let found = all.find(named);
    assert!(found.is_some(), "no advice on {words}: {verdict}");
    found.unwrap()
}

/// Runs the command of a piece of advice, of which this thread is inside of the namespace already: its process is not.
fn follow(advice: &Value) {
    let line = advice["command"].as_str().unwrap();
    let inside = line.split_once(" -n ").map_or(line, |(_, inside)| inside);
    let status = Command::new("sh").args(["-c", inside]).status().unwrap();
    assert!(status.success(), "{inside}: {status}");
}

fn connect_error() -> std::io::Error {
    TcpStream::connect(SERVICE).unwrap_err()
}

/// Connections whose client closes first, until none is possible any more.
fn short_connections(listener: &TcpListener) -> usize {
    let mut made = 0;
    while let Ok(client) = TcpStream::connect(listener.local_addr().unwrap()) {
        let mut server = listener.accept().unwrap().0;
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        made += 1;
    }
    made
}

#[test]
fn a_leak_of_connections_is_told_with_who_has_them() {
    let netns = Netns::with_ports(40000, 40099).unwrap();
    let full = Full::new(SERVICE, 100).unwrap();
    let session = told(connect_error);
    let verdict = verdict(&session);
    assert_eq!(rules(verdict)[0], "live-connections", "{verdict}");
    let sentence = verdict["diagnoses"][0]["sentence"].as_str().unwrap();
    assert!(sentence.contains("100 of the 100 ports from 127.0.0.1 to 127.0.0.1:8080"), "{sentence}");
    assert!(sentence.contains(&format!("(pid {}) has 100", std::process::id())), "{sentence}");
    let row = session.lines.iter().find(|line| line["type"] == "ports").unwrap();
    assert_eq!((&row["netns"], &row["used"]), (&json!(netns.id), &json!(100)));
    drop(full);
}

#[test]
fn connections_that_the_other_side_has_closed_are_told_as_a_leak_of_this_process() {
    let _netns = Netns::with_ports(40000, 40099).unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    let clients: Vec<TcpStream> = (0..100)
        .map(|_| {
            let client = TcpStream::connect(SERVICE).unwrap();
            drop(listener.accept().unwrap());
            client
        })
        .collect();
    let session = told(connect_error);
    let verdict = verdict(&session);
    assert_eq!(rules(verdict)[0], "close-wait", "{verdict}");
    // As advised, the process closes them.
    advice(verdict, "close connections");
    drop(clients);
    TcpStream::connect(SERVICE).unwrap();
}

#[test]
fn ports_in_time_wait_are_taken_over_when_the_setting_is_made_that_is_advised() {
    let _netns = Netns::with_ports(40000, 40099).unwrap();
    set("ipv4/tcp_tw_reuse", "0").unwrap();
    let listener = TcpListener::bind(SERVICE).unwrap();
    assert_eq!(short_connections(&listener), 100);
    let session = told(connect_error);
    let verdict = verdict(&session);
    assert!(rules(verdict).contains(&"time-wait"), "{verdict}");
    let said = verdict["diagnoses"].to_string();
    // 100 ports of a minute each.
    assert!(said.contains("1.7 connects/s are the most 100 ports can carry, as each waits 60 s"), "{said}");
    assert!(
        said.contains("100 of the 100 ports from 127.0.0.1 to 127.0.0.1:8080 are in TIME_WAIT"),
        "{said}"
    );
    follow(advice(verdict, "tcp_tw_reuse"));
    let since = Instant::now();
    while let Err(error) = TcpStream::connect(SERVICE) {
        assert_eq!(error.raw_os_error(), Some(Errno::EADDRNOTAVAIL as i32));
        // It says that it may take until the second whole second.
        assert!(since.elapsed() < Duration::from_secs(4), "the failures go on");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_wider_range_brings_as_many_ports_as_is_said_and_none_of_a_service() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let full = Full::new(SERVICE, 10).unwrap();
    let _beside = TcpListener::bind("127.0.0.1:40100").unwrap();
    // Bound, and nothing more; before Linux 6.8 that cannot be seen.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&"127.0.0.1:40200".parse::<SocketAddr>().unwrap().into()).unwrap();
    let services: &[u16] = if kernel_is_since(6, 8) { &[40100, 40200] } else { &[40100] };
    let session = told(connect_error);
    let verdict = verdict(&session);
    let widen = advice(verdict, "widen");
    follow(widen);
    let now = |key: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{key}")).unwrap();
    let reserved: Vec<String> = services.iter().map(u16::to_string).collect();
    assert_eq!(now("ip_local_reserved_ports").trim(), reserved.join(","));
    let range = now("ip_local_port_range");
    let ends: Vec<u32> = range.split_whitespace().map(|port| port.parse().unwrap()).collect();
    let more = ends[1] - ends[0] + 1 - 10 - u32::try_from(services.len()).unwrap();
    let digits: String = widen["gain"]
        .as_str()
        .unwrap()
        .chars()
        .take_while(|c| *c != ' ')
        .filter(char::is_ascii_digit)
        .collect();
    assert_eq!(digits, more.to_string(), "{widen}");
    let many: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(SERVICE).unwrap()).collect();
    drop((full, many));
}

#[test]
fn a_command_for_another_namespace_works_as_it_is_given() {
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let there = std::thread::spawn(move || {
        let _netns = Netns::with_ports(40000, 40009).unwrap();
        let _listener = TcpListener::bind(SERVICE).unwrap();
        let holder = tally::start(&["--dest", SERVICE, "--attempts", "10", "--hold"]).unwrap();
        let holder = tally::held(holder).unwrap();
        tell.send(holder.tally.pid.to_string()).unwrap();
        let _ = ended.recv();
    });
    let pid = told.recv().unwrap();
    let lines = || {
        let output = command(&["ports", "--json", "--netns", &pid]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let of = |kind: &str| lines().into_iter().find(|line| line["type"] == kind).unwrap();
    let verdict = of("verdict");
    let command = advice(&verdict, "widen")["command"].as_str().unwrap();
    assert!(command.starts_with(&format!("nsenter -t {pid} -n sysctl -w ")), "{command}");
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}: {status}");
    let range = &of("snapshot")["namespaces"][0]["port_range"];
    assert!(command.contains(&format!("\"{} {}\"", range["low"], range["high"])), "{command}: {range}");
    end.send(()).unwrap();
    there.join().unwrap();
}

#[test]
fn a_bind_before_connect_is_told_and_its_remedy_gives_ports_to_each_destination() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let listeners = ["127.0.0.2:8080", "127.0.0.3:8080"].map(|address| TcpListener::bind(address).unwrap());
    let bound = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&address("127.0.0.1:0").into()).map(|()| socket)
    };
    let held: Vec<Socket> = (0..10)
        .map(|n| {
            let socket = bound().unwrap();
            socket.connect(&listeners[n % 2].local_addr().unwrap().into()).unwrap();
            socket
        })
        .collect();
    let session = told(|| bound().unwrap_err());
    let verdict = verdict(&session);
    assert_eq!(
        (rules(verdict)[0], &verdict["cause"]),
        ("bind-before-connect", &json!("bind_range_exhausted"))
    );
    let sentence = verdict["diagnoses"][0]["sentence"].as_str().unwrap();
    assert!(sentence.contains(&format!("(pid {}) has 10", std::process::id())), "{sentence}");
    assert!(advice(verdict, "IP_BIND_ADDRESS_NO_PORT")["code"].as_str().unwrap().contains("setsockopt"));
    // At once, without TIME_WAIT.
    held.iter().for_each(|socket| socket.set_linger(Some(Duration::ZERO)).unwrap());
    drop(held);
    // Ten to each of two destinations, instead of ten in all.
    let late = |destination: &TcpListener| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        leave_port_to_connect(&socket);
        socket.bind(&address("127.0.0.1:0").into()).unwrap();
        socket.connect(&destination.local_addr().unwrap().into()).unwrap();
        socket
    };
    let _held: Vec<Socket> = listeners.iter().flat_map(|to| (0..10).map(move |_| late(to))).collect();
}

/// As advised.
fn leave_port_to_connect(socket: &Socket) {
    let on: i32 = 1;
    // SAFETY: an integer of four bytes that outlives the call.
    let result = unsafe {
        let value = std::ptr::from_ref(&on).cast();
        nix::libc::setsockopt(socket.as_raw_fd(), nix::libc::IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, value, 4)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn ipv6_without_an_address_is_told_and_its_remedies_work() {
    let disabled = || set("ipv6/conf/lo/disable_ipv6", "1").unwrap();
    let down = || assert!(Command::new("ip").args(["link", "set", "lo", "down"]).status().unwrap().success());
    let cases: [(fn(), &str); 2] = [(disabled, "enable IPv6"), (down, "bring lo up")];
    for (break_it, remedy) in cases {
        let _netns = Netns::new().unwrap();
        break_it();
        let connect = || TcpStream::connect("[::1]:8080").unwrap_err();
        let session = told(connect);
        let failure = session.failures().next().unwrap();
        if failure["cause"] != "no_source_address" {
            println!("skipped: this kernel says {} instead of that there is no address", failure["errno"]);
            return;
        }
        let verdict = verdict(&session);
        assert_eq!(rules(verdict), ["no-ipv6-source"], "{verdict}");
        follow(advice(verdict, remedy));
        assert_eq!(connect().raw_os_error(), Some(Errno::ECONNREFUSED as i32), "{remedy}");
    }
}

#[test]
fn a_udp_socket_without_an_ipv6_address_is_told_the_same() {
    let _netns = Netns::new().unwrap();
    set("ipv6/conf/lo/disable_ipv6", "1").unwrap();
    let watching = Watching::start(&["trace", "--json", "--count", "1", "--errno", "EADDRNOTAVAIL"]).unwrap();
    let connect = || UdpSocket::bind("[::]:0").unwrap().connect("[::1]:53");
    if connect().map_err(|error| error.raw_os_error()) != Err(Some(Errno::EADDRNOTAVAIL as i32)) {
        println!("skipped: this kernel does not say that there is no address");
        return;
    }
    let session = watching.wait().unwrap();
    let verdict = verdict(&session);
    assert_eq!((rules(verdict), &verdict["cause"]), (vec!["no-ipv6-source"], &json!("no_source_address")));
    follow(advice(verdict, "enable IPv6"));
    connect().unwrap();
}

#[test]
fn a_bind_to_an_address_that_is_not_there_is_told_and_its_remedy_works() {
    let _netns = Netns::new().unwrap();
    let bind = || TcpListener::bind("192.0.2.7:8080");
    let session = told(|| bind().unwrap_err());
    let verdict = verdict(&session);
    assert_eq!((rules(verdict), &verdict["source"]), (vec!["foreign-address"], &json!("192.0.2.7")));
    follow(advice(verdict, "ip_nonlocal_bind"));
    bind().unwrap();
}

#[test]
fn a_bind_to_a_port_that_is_taken_is_told_with_what_has_it() {
    let _netns = Netns::new().unwrap();
    let _listener = TcpListener::bind(SERVICE).unwrap();
    let watching = Watching::start(&["trace", "--json", "--count", "1", "--errno", "EADDRINUSE"]).unwrap();
    TcpListener::bind(SERVICE).unwrap_err();
    let session = watching.wait().unwrap();
    let verdict = verdict(&session);
    assert_eq!((rules(verdict), &verdict["cause"]), (vec!["port-clash"], &json!("port_taken")));
    let sentence = verdict["diagnoses"][0]["sentence"].as_str().unwrap();
    assert!(
        sentence.contains("port 8080 of 127.0.0.1, which another socket has: a service waits on it"),
        "{sentence}"
    );
    let command = advice(verdict, "find who has the port")["command"].as_str().unwrap();
    assert!(command.ends_with("ss -tanp 'sport = :8080'"), "{command}");
}

#[test]
fn udp_sockets_that_have_every_port_are_told_with_their_process() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    let held: Vec<UdpSocket> = (0..10).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let session = told(|| UdpSocket::bind("127.0.0.1:0").unwrap_err());
    let verdict = verdict(&session);
    assert_eq!(rules(verdict)[0], "udp-sockets", "{verdict}");
    let sentence = verdict["diagnoses"][0]["sentence"].as_str().unwrap();
    assert!(sentence.contains(&format!("(pid {}) has 10", std::process::id())), "{sentence}");
    drop(held);
}

#[test]
fn reserved_ports_are_told_as_what_they_leave() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40007").unwrap();
    let full = Full::new(SERVICE, 2).unwrap();
    let session = told(connect_error);
    let verdict = verdict(&session);
    assert!(rules(verdict).contains(&"reserved-ports"), "{verdict}");
    drop(full);
}

/// Whether the kernel's tables can be read; if not, that is printed.
fn has_sock_diag(stderr: &str) -> bool {
    let has = !stderr.contains("modprobe tcp_diag");
    if !has {
        println!("skipped: sock_diag is a module here, and none of this version was found");
    }
    has
}

/// No opinion among these lines.
fn assert_healthy(text: &str) {
    assert!(!text.contains("\"verdict\"") && !text.contains("\"warning\""), "{text}");
}

#[test]
fn a_healthy_host_gets_no_verdict() {
    let _netns = Netns::new().unwrap();
    let _some = Full::new(SERVICE, 50).unwrap();
    let output = command(&["ports", "--json"]).output().unwrap();
    let [text, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    if !has_sock_diag(&stderr) {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let (_, rows) = contract::snapshots(&text).unwrap().remove(0);
    let used = |rows: &[Value]| {
        let row = rows.iter().find(|row| row["destination"]["port"] == 8080);
        row.and_then(|row| row["used"].as_u64())
    };
    assert_eq!(used(&rows), Some(50), "{text}");
    assert_healthy(&text);
    // What the first leaves in TIME_WAIT counts for the second.
    for (options, looks) in [(&["--warn"][..], true), (&[], false)] {
        let watching = Watching::start(&[&["trace", "--json"], options].concat()).unwrap();
        let more: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(SERVICE).unwrap()).collect();
        if looks {
            watching.wait_for("\"used\":60,", Duration::from_secs(10)).unwrap();
        }
        let session = watching.end().unwrap();
        drop(more);
        assert_eq!(session.status.code(), Some(0), "{}", session.stderr);
        assert_eq!(session.end()["failures"], 0, "{}", session.stdout);
        assert_healthy(&session.stdout);
    }
}

/// So many sockets of this namespace, which goes on having ports 20000 to 59999, are in TIME_WAIT, each program's to a
/// destination of its own.
fn fill_with_time_wait(sockets: u32) {
    for (key, value) in
        [("ipv4/tcp_tw_reuse", "0"), ("ipv4/tcp_rfc1337", "1"), ("ipv4/tcp_max_tw_buckets", "200000")]
    {
        set(key, value).unwrap();
    }
    let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..sockets {
            assert_eq!(listener.accept().unwrap().0.read(&mut [0]).unwrap(), 0);
        }
    });
    let each = (sockets / 4).to_string();
    let clients: Vec<_> = (1..=4)
        .map(|n| {
            let destination = format!("127.0.0.{n}:8080");
            let args = ["--dest", &destination, "--close", "--evenly", "20000-59999", "--attempts", &each];
            tally::start(&args).unwrap()
        })
        .collect();
    for client in clients {
        assert_eq!(tally::finish(client).unwrap().threads[0].connected, u64::from(sockets / 4));
    }
    server.join().unwrap();
}

#[test]
fn a_look_at_a_hundred_thousand_sockets_loses_no_failure() {
    const SOCKETS: u32 = 100_000;
    const FAILURES: u64 = 5_000;
    if !kernel_is_since(6, 8) {
        println!(
            "skipped: before Linux 6.8 so many ports are not found within the minute that TIME_WAIT takes"
        );
        return;
    }
    let crowded = Netns::with_ports(20000, 59999).unwrap();
    let began = Instant::now();
    fill_with_time_wait(SOCKETS);
    println!("{SOCKETS} sockets in {:?}", began.elapsed());
    // The first must still be there when the last look is over.
    if began.elapsed() > Duration::from_secs(52) {
        println!("skipped: this machine takes almost as long to make so many sockets as TIME_WAIT takes");
        return;
    }
    // From here on nobody gets a port there.
    set("ipv4/ip_local_reserved_ports", "20000-59999").unwrap();
    // Regular looks see them all, and so does the one for want of a port whatever the destination.
    let watching = Watching::start(&["trace", "--json", "--warn"]).unwrap();
    let (fail, shall_fail) = mpsc::channel();
    let in_the_crowd = std::thread::spawn(move || {
        shall_fail.recv().unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap_err()
    });
    let full = Netns::with_ports(40000, 40001).unwrap();
    let _held = Full::new("127.0.0.1:8080", 2).unwrap();
    let (attempts, rate) = (FAILURES.to_string(), "1000");
    let load = tally::start(&["--dest", SERVICE, "--attempts", &attempts, "--rate", rate]).unwrap();
    // In their midst.
    std::thread::sleep(Duration::from_secs(1));
    fail.send(()).unwrap();
    assert_eq!(in_the_crowd.join().unwrap().raw_os_error(), Some(Errno::EADDRINUSE as i32));
    let tally = tally::finish(load).unwrap();
    let session = watching.end().unwrap();
    if !has_sock_diag(&session.stderr) {
        return;
    }
    assert_eq!(tally.failed("EADDRNOTAVAIL"), FAILURES);
    let end = session.end();
    let counts = ["failures", "delivered", "suppressed"].map(|name| end[name].as_u64().unwrap());
    assert_eq!((counts, &end["lost"]), ([FAILURES + 1, FAILURES + 1, 0], &json!({})), "{end}");
    // The load kept its rate, as the kernel saw it.
    let at = |line: &Value| line["monotonic_ns"].as_u64().unwrap();
    let of_load = session.failures().filter(|failure| failure["process"]["pid"] == tally.pid);
    let times: Vec<u64> = of_load.map(at).collect();
    let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    let took = Duration::from_nanos(last - first);
    println!("{FAILURES} failures in {took:?}");
    assert!(took < Duration::from_millis(5_500), "fewer than 900 failures a second: {took:?}");
    let heads = || session.lines.iter().filter(|line| line["type"] == "snapshot");
    let is_large = |head: &&Value| head["sockets"].as_u64() >= Some(u64::from(SOCKETS) * 9 / 10);
    let causes: Vec<_> = heads().filter(is_large).map(|head| (at(head), &head["bind"])).collect();
    assert!(causes.iter().any(|(_, bind)| bind.is_null()), "no regular look saw them: {causes:?}");
    let caused = heads().filter(is_large).find(|head| head["bind"] == "127.0.0.1");
    let caused = caused.unwrap_or_else(|| panic!("the failure there made nobody look: {causes:?}"));
    assert_eq!(caused["namespaces"][0]["netns"], crowded.id, "{caused}");
    // Before that look, and from its beginning on.
    let before = times.iter().filter(|time| **time < at(caused)).count();
    println!("{before} failures before the look, {} from then on", times.len() - before);
    assert!(before > 0 && times.len() - before >= 1000, "{before} of {FAILURES} came before {caused}");
    assert!(heads().any(|line| line["namespaces"][0]["netns"] == full.id), "nobody looked where it failed");
}
