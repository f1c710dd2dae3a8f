//! `--errno all`: connects that fail for any other reason, at once or by the network's answer, and who called.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::gettid;
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching};
use portwatch_tests::tally;
use portwatch_tests::wire::{ACK, RST, SYN, Wire};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::shortages::{IPPROTO_MPTCP, mptcp};

/// The ways to see failures.
const MODES: [&str; 3] = ["functions", "wrappers", "tracepoints"];
const ALL: [&str; 4] = ["trace", "--json", "--errno", "all"];

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {words}: {status}");
}

/// One failure, of this process, with these values.
fn assert_one(session: &Session, errno: &str, stage: &str, destination: &str) {
    let failures: Vec<&Value> = session.failures().collect();
    assert_eq!(failures.len(), 1, "{}", session.stdout);
    assert_eq!(session.end()["failures"], 1, "{}", session.stdout);
    let destination: SocketAddr = destination.parse().unwrap();
    let values = [
        ("/errno", errno.into()),
        ("/stage", stage.into()),
        ("/cause", "other".into()),
        ("/call", "connect".into()),
        ("/process/pid", std::process::id().into()),
        ("/destination/address", destination.ip().to_string().into()),
        ("/destination/port", destination.port().into()),
    ];
    for (name, value) in values {
        assert_eq!(failures[0].pointer(name), Some(&value), "{name} of {}", failures[0]);
    }
}

fn connect(destination: &str) -> Errno {
    connect_by(None, destination)
}

fn connect_by(protocol: Option<Protocol>, destination: &str) -> Errno {
    let destination: SocketAddr = destination.parse().unwrap();
    let socket = Socket::new(Domain::for_address(destination), Type::STREAM, protocol).unwrap();
    let error = socket.connect(&destination.into()).unwrap_err();
    Errno::from_raw(error.raw_os_error().unwrap())
}

/// These connects of MPTCP by this process are told, each once, in their order; and at which stage if they were not
/// answered by the network.
fn assert_told_of_mptcp(session: &Session, stage: &str, expected: &[(Errno, &str)]) {
    let pid = std::process::id();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let told: Vec<_> = session
        .failures()
        .map(|failure| {
            assert_eq!(failure["process"]["pid"], pid, "{failure}");
            let names = ["protocol", "call", "errno", "stage"].map(|name| text(&failure[name]));
            let (address, port) = (&failure["destination"]["address"], &failure["destination"]["port"]);
            (names, text(address), port.clone())
        })
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(errno, destination)| {
            let destination: SocketAddr = destination.parse().unwrap();
            let is_answer = *errno == Errno::ECONNREFUSED;
            let stage = if is_answer { "network" } else { stage };
            let names = ["mptcp", "connect", &format!("{errno:?}"), stage].map(str::to_owned);
            (names, destination.ip().to_string(), Value::from(destination.port()))
        })
        .collect();
    assert_eq!(told, expected, "{}", session.stdout);
    assert_eq!(session.end()["failures"], expected.len(), "{}", session.stdout);
}

#[test]
fn connects_of_mptcp_that_fail_are_told_once_and_of_the_process_that_called() {
    if mptcp(Domain::IPV4).is_none() {
        return;
    }
    const CASES: [(Errno, &str); 6] = [
        (Errno::ECONNREFUSED, "127.0.0.1:9"),
        (Errno::ECONNREFUSED, "[::1]:9"),
        (Errno::EACCES, "198.51.100.1:80"),
        (Errno::EHOSTUNREACH, "203.0.113.1:80"),
        (Errno::ENETUNREACH, "192.0.2.1:80"),
        (Errno::ENETUNREACH, "[2001:db8::1]:80"),
    ];
    for mode in MODES {
        let _netns = Netns::new().unwrap();
        ip("route add prohibit 198.51.100.0/24");
        ip("route add unreachable 203.0.113.0/24");
        let watching = Watching::start(&[&ALL[..], &["--mode", mode]].concat()).unwrap();
        // Each again: nothing that is known of the first may hide the second.
        let attempts = || CASES.iter().chain(&CASES);
        for (errno, destination) in attempts() {
            let refused = connect_by(Some(Protocol::from(IPPROTO_MPTCP)), destination);
            assert_eq!(refused, *errno, "{mode}: {destination}");
        }
        // One that does not wait, and asks again until it knows.
        let (last, socket) = ("127.0.0.1:10", mptcp(Domain::IPV4).unwrap());
        socket.set_nonblocking(true).unwrap();
        let destination: SocketAddr = last.parse().unwrap();
        let since = Instant::now();
        let again = || socket.connect(&destination.into()).err().and_then(|error| error.raw_os_error());
        while again() != Some(Errno::ECONNREFUSED as i32) {
            assert!(since.elapsed() < Duration::from_secs(10), "{mode}: nobody refuses");
        }
        let session = watching.end().unwrap();
        println!("{mode}");
        let stage = if mode == "tracepoints" { "unknown" } else { "outside_port_search" };
        let expected: Vec<_> = attempts().copied().chain([(Errno::ECONNREFUSED, last)]).collect();
        assert_told_of_mptcp(&session, stage, &expected);
    }
}

#[test]
fn routes_that_refuse_are_told_apart() {
    let _netns = Netns::new().unwrap();
    ip("route add prohibit 198.51.100.0/24");
    ip("route add unreachable 203.0.113.0/24");
    for (destination, errno) in [
        ("198.51.100.1:80", Errno::EACCES),
        ("203.0.113.1:80", Errno::EHOSTUNREACH),
        ("192.0.2.1:80", Errno::ENETUNREACH),
        ("[2001:db8::1]:80", Errno::ENETUNREACH),
    ] {
        let watching = Watching::start(&ALL).unwrap();
        assert_eq!(connect(destination), errno);
        let session = watching.end().unwrap();
        assert_one(&session, &format!("{errno:?}"), "outside_port_search", destination);
    }
}

#[test]
fn an_answer_is_told_of_the_process_that_called() {
    let _netns = Netns::new().unwrap();
    for (waits, destination) in
        [(true, "127.0.0.1:9"), (false, "127.0.0.1:9"), (true, "[::1]:9"), (false, "[::1]:9")]
    {
        let watching = Watching::start(&ALL).unwrap();
        let mut args = vec!["--dest", destination, "--attempts", "5"];
        if !waits {
            args.push("--nonblocking");
        }
        let tally = tally::run(&args).unwrap();
        let session = watching.end().unwrap();
        assert_eq!(session.end()["failures"], 5, "{waits} {destination}: {}", session.stdout);
        for failure in session.failures() {
            assert_eq!((&failure["errno"], &failure["stage"]), (&"ECONNREFUSED".into(), &"network".into()));
            assert_eq!(failure["process"]["pid"], tally.pid, "{failure}");
            assert_eq!(failure["process"]["comm"], "loadgen", "{failure}");
            assert_ne!(failure["source"]["port"], 0, "{failure}");
        }
    }
}

#[test]
fn an_answer_that_never_comes_is_told_of_the_process_that_called() {
    let _netns = Netns::new().unwrap();
    // Packets to there come back in over loopback, and nobody is at home.
    ip("route add 192.0.2.0/24 dev lo");
    set("ipv4/tcp_syn_retries", "1").unwrap();
    let watching = Watching::start(&ALL).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let destination: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let error = socket.connect(&destination.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EINPROGRESS as i32));
    // One second, then two: the timer runs on whatever task there is.
    std::thread::sleep(Duration::from_millis(4500));
    let session = watching.end().unwrap();
    assert_one(&session, "ETIMEDOUT", "network", "192.0.2.1:80");
}

/// Where nobody answers: packets to there come back in over loopback, and end there.
const NOBODY: &str = "192.0.2.1:80";

/// A namespace with a way to [`NOBODY`], and what goes there.
fn nobody() -> (Netns, Wire, SocketAddr) {
    let netns = Netns::new().unwrap();
    ip("route add 192.0.2.0/24 dev lo");
    (netns, Wire::new().unwrap(), NOBODY.parse().unwrap())
}

/// A connect that is under way, by a thread of this name, which has ended; and that thread's id.
fn connecting(destination: SocketAddr) -> (Socket, i32) {
    let call = move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let error = socket.connect(&destination.into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EINPROGRESS as i32));
        (socket, gettid().as_raw())
    };
    std::thread::Builder::new().name("caller".to_owned()).spawn(call).unwrap().join().unwrap()
}

/// What the kernel says has become of it.
fn ended_with(socket: &Socket) -> Option<Errno> {
    let since = Instant::now();
    loop {
        if let Some(error) = socket.take_error().unwrap() {
            return error.raw_os_error().map(Errno::from_raw);
        }
        if since.elapsed() > Duration::from_secs(10) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_router_that_finds_no_host_is_told_of_the_process_that_called() {
    for mode in ["functions", "wrappers", "tracepoints"] {
        let (_netns, wire, destination) = nobody();
        let watching = Watching::start(&[&ALL[..], &["--mode", mode]].concat()).unwrap();
        let (socket, tid) = connecting(destination);
        // Sent, and so received, by another thread than that which called.
        wire.next_to(destination).unwrap().answer_unreachable().unwrap();
        assert_eq!(ended_with(&socket), Some(Errno::EHOSTUNREACH), "{mode}");
        let session = watching.end().unwrap();
        assert_one(&session, "EHOSTUNREACH", "network", NOBODY);
        let process = &session.failures().next().unwrap()["process"];
        assert_eq!((&process["tid"], &process["comm"]), (&tid.into(), &"caller".into()), "{mode}: {process}");
    }
}

/// Sends SIGUSR1 to this thread of this process, if there still is one.
fn interrupt(tid: i32) {
    let signal = Signal::SIGUSR1 as i32;
    // SAFETY: takes numbers only.
    let _ = unsafe { nix::libc::syscall(nix::libc::SYS_tgkill, std::process::id(), tid, signal) };
}

#[test]
fn a_connect_that_a_signal_interrupts_goes_on_and_is_no_failure() {
    extern "C" fn nothing(_: i32) {}
    let handler = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    let before = unsafe { sigaction(Signal::SIGUSR1, &handler) }.unwrap();
    for mode in ["functions", "wrappers", "tracepoints"] {
        let (_netns, wire, destination) = nobody();
        let watching = Watching::start(&[&ALL[..], &["--mode", mode]].concat()).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            tell.send(gettid().as_raw()).unwrap();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let error = socket.connect(&destination.into()).unwrap_err();
            let again = socket.connect(&destination.into()).unwrap_err();
            [error, again].map(|error| Errno::from_raw(error.raw_os_error().unwrap()))
        });
        let tid = told.recv().unwrap();
        // Its first packet was sent: from here until it returns it only waits.
        wire.next_to(destination).unwrap();
        // Again and again, as the second call, which waits for the same connect, is interrupted as well.
        let since = Instant::now();
        while !waiting.is_finished() {
            assert!(since.elapsed() < Duration::from_secs(10), "{mode}: the signal interrupts nothing");
            interrupt(tid);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(waiting.join().unwrap(), [Errno::EINTR; 2], "{mode}");
        let session = watching.end().unwrap();
        assert_eq!(session.end()["failures"], 0, "{mode}: {}", session.stdout);
    }
    // SAFETY: as it was.
    unsafe { sigaction(Signal::SIGUSR1, &before) }.unwrap();
}

#[test]
fn an_answer_that_was_forgotten_may_be_counted_again_which_is_said() {
    // More than are remembered of those that no call has returned yet.
    const ANSWERS: usize = 20_000;
    let _netns = Netns::new().unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 32_768, 32_768).unwrap();
    let destination: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let watching = Watching::start(&ALL).unwrap();
    let mut sockets = Vec::new();
    for _ in 0..ANSWERS {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert!(socket.connect(&destination.into()).is_err());
        sockets.push(socket);
    }
    for socket in &sockets {
        let again = socket.connect(&destination.into()).unwrap_err();
        assert_eq!(again.raw_os_error(), Some(Errno::ECONNREFUSED as i32));
    }
    let session = watching.end().unwrap();
    let end = session.end();
    let repeats = usize::try_from(end["no_room"]["repeats"].as_u64().unwrap()).unwrap();
    assert!(repeats >= ANSWERS - 16 * 1024, "{end}");
    assert_eq!(end["failures"], ANSWERS + repeats, "{end}");
}

#[test]
fn what_began_before_has_an_unknown_caller() {
    let _netns = Netns::new().unwrap();
    ip("route add 192.0.2.0/24 dev lo");
    set("ipv4/tcp_syn_retries", "2").unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let destination: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert!(socket.connect(&destination.into()).is_err());
    let watching = Watching::start(&ALL).unwrap();
    std::thread::sleep(Duration::from_millis(8500));
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 1, "{}", session.stdout);
    let failure = session.failures().next().unwrap();
    assert_eq!(
        (&failure["errno"], &failure["process"]["pid"]),
        (&"ETIMEDOUT".into(), &0.into()),
        "{failure}"
    );
}

#[test]
fn calls_that_go_on_or_are_done_are_no_failures() {
    let _netns = Netns::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let destination = listener.local_addr().unwrap().into();
    let watching = Watching::start(&ALL).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let again =
        || socket.connect(&destination).err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
    assert_eq!(again(), Some(Errno::EINPROGRESS));
    // Established at once over loopback: the first asks for the result, the second is one too many.
    let seen = [again(), again()];
    assert!(seen.contains(&Some(Errno::EISCONN)), "{seen:?}");
    // Closed while under way.
    ip("route add 192.0.2.0/24 dev lo");
    let pending = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    pending.set_nonblocking(true).unwrap();
    let nobody: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert!(pending.connect(&nobody.into()).is_err());
    let error = pending.connect(&nobody.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EALREADY as i32));
    drop(pending);
    // Of another family.
    assert!(std::os::unix::net::UnixStream::connect("/nowhere").is_err());
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 0, "{}", session.stdout);
}

#[test]
fn a_shortage_among_all_errors_is_told_once() {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let _full = Full::new("127.0.0.1:8080", 2).unwrap();
    let watching = Watching::start(&ALL).unwrap();
    assert_eq!(connect("127.0.0.1:8080"), Errno::EADDRNOTAVAIL);
    assert_eq!(connect("[::ffff:127.0.0.1]:8080"), Errno::EADDRNOTAVAIL);
    let session = watching.end().unwrap();
    assert_eq!(session.end()["failures"], 2, "{}", session.stdout);
    assert!(session.failures().all(|failure| failure["cause"] == "range_exhausted"), "{}", session.stdout);
}

/// Attaches a program that returns 0 to a new control group, and goes there.
fn forbid_connects() -> File {
    #[repr(C)]
    struct Load {
        kind: u32,
        instructions: u32,
        at: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach_type: u32,
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        attach_type: u32,
        flags: u32,
    }
    // BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT (linux/bpf.h).
    const LOAD: u32 = 5;
    const ATTACH: u32 = 8;
    const SOCK_ADDR: u32 = 18;
    const INET4_CONNECT: u32 = 10;
    fn bpf<T>(command: u32, attributes: &T) -> i32 {
        // SAFETY: the attributes are those of the command, and live through the call.
        let result = unsafe {
            nix::libc::syscall(nix::libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>())
        };
        i32::try_from(Errno::result(result).unwrap()).unwrap()
    }
    // Before Linux 5.11 it counts as locked memory, beside what sessions before have not yet freed.
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).unwrap();
    // r0 = 0; exit
    let instructions: [u64; 2] = [0xb7, 0x95];
    let program = bpf(
        LOAD,
        &Load {
            kind: SOCK_ADDR,
            instructions: 2,
            at: instructions.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: [0; 16],
            interface: 0,
            attach_type: INET4_CONNECT,
        },
    );
    let path = "/sys/fs/cgroup/no-connects";
    fs::create_dir_all(path).unwrap();
    let group = File::open(path).unwrap();
    let target = u32::try_from(group.as_raw_fd()).unwrap();
    let program = u32::try_from(program).unwrap();
    bpf(ATTACH, &Attach { target, program, attach_type: INET4_CONNECT, flags: 0 });
    fs::write(format!("{path}/cgroup.procs"), std::process::id().to_string()).unwrap();
    group
}

#[test]
fn a_control_group_that_forbids_connects_is_seen() {
    let _netns = Netns::new().unwrap();
    let _group = forbid_connects();
    let watching = Watching::start(&ALL).unwrap();
    let refused = connect("127.0.0.1:80");
    // Back to where the next test begins.
    fs::write("/sys/fs/cgroup/cgroup.procs", std::process::id().to_string()).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(refused, Errno::EPERM);
    assert_one(&session, "EPERM", "socket_layer", "127.0.0.1:80");
}

#[test]
fn a_control_group_that_forbids_connects_of_mptcp_is_seen_in_each_way() {
    if mptcp(Domain::IPV4).is_none() {
        return;
    }
    const TO: &str = "127.0.0.1:80";
    let _netns = Netns::new().unwrap();
    for mode in MODES {
        let _group = forbid_connects();
        let watching = Watching::start(&[&ALL[..], &["--mode", mode]].concat()).unwrap();
        let refused = [(); 2].map(|()| connect_by(Some(Protocol::from(IPPROTO_MPTCP)), TO));
        fs::write("/sys/fs/cgroup/cgroup.procs", std::process::id().to_string()).unwrap();
        let session = watching.end().unwrap();
        assert_eq!(refused, [Errno::EPERM; 2], "{mode}");
        println!("{mode}");
        let stage = if mode == "tracepoints" { "unknown" } else { "socket_layer" };
        assert_told_of_mptcp(&session, stage, &[(Errno::EPERM, TO); 2]);
    }
}

/// Forbids TCP connects to this thread, by Landlock; false where the kernel cannot.
fn forbid_by_landlock() -> bool {
    // landlock_create_ruleset, landlock_restrict_self; LANDLOCK_ACCESS_NET_CONNECT_TCP (linux/landlock.h).
    const CREATE: i64 = 444;
    const RESTRICT: i64 = 446;
    let rules: [u64; 2] = [0, 1 << 1];
    // SAFETY: `rules` has the layout of `struct landlock_ruleset_attr` of version 4.
    let ruleset = unsafe { nix::libc::syscall(CREATE, rules.as_ptr(), size_of_val(&rules), 0) };
    if ruleset < 0 {
        return false;
    }
    // SAFETY: takes numbers only.
    unsafe {
        nix::libc::prctl(nix::libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && nix::libc::syscall(RESTRICT, ruleset, 0) == 0
    }
}

#[test]
fn a_security_module_that_forbids_connects_is_seen() {
    let _netns = Netns::new().unwrap();
    let watching = Watching::start(&ALL).unwrap();
    // In a thread of its own: there is no way back.
    let attempt = || forbid_by_landlock().then(|| connect("127.0.0.1:80"));
    let refused = std::thread::spawn(attempt).join().unwrap();
    let session = watching.end().unwrap();
    let Some(refused) = refused else {
        println!("skipped: this kernel's Landlock knows no connects");
        return;
    };
    assert_eq!(refused, Errno::EACCES);
    assert_one(&session, "EACCES", "socket_layer", "127.0.0.1:80");
}

/// Where TOMOYO is asked and told (Documentation/admin-guide/LSM/tomoyo.rst).
const TOMOYO: &str = "/sys/kernel/security/tomoyo";
/// A program that it keeps from connecting.
const FORBIDDEN: &str = "/tmp/forbidden";

/// Has TOMOYO forbid connects to [`FORBIDDEN`], and nothing to anybody else; false where the kernel does not run it.
fn forbid_by_tomoyo() -> bool {
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap();
    if !modules.trim().split(',').any(|module| module == "tomoyo") {
        return false;
    }
    let write = |file: &str, text: String| fs::write(format!("{TOMOYO}/{file}"), text).unwrap();
    write("profile", "PROFILE_VERSION=20110903\n".to_owned());
    // The kernel panics where a profile is in use and not defined: everybody else has number 0.
    write("profile", "0-CONFIG={ mode=disabled }\n".to_owned());
    write("profile", "1-CONFIG::network::inet_stream_connect={ mode=enforcing }\n".to_owned());
    write("domain_policy", format!("<kernel> {FORBIDDEN}\nuse_profile 1\n"));
    // It begins when this is executed, if there is a program to load the policy, which was done above.
    fs::create_dir_all("/sbin").unwrap();
    for program in ["/sbin/tomoyo-init", "/sbin/init"] {
        fs::write(program, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(program, Permissions::from_mode(0o755)).unwrap();
    }
    assert!(Command::new("/sbin/init").status().unwrap().success());
    true
}

#[test]
fn connects_that_tomoyo_forbids_are_seen_in_each_way() {
    if !forbid_by_tomoyo() {
        println!("skipped: this kernel does not run TOMOYO");
        return;
    }
    fs::copy(std::env::var_os("LOADGEN_BIN").unwrap(), FORBIDDEN).unwrap();
    for destination in ["127.0.0.1:80", "[::1]:80"] {
        for mode in ["functions", "wrappers", "tracepoints"] {
            let _netns = Netns::new().unwrap();
            let watching = Watching::start(&[&ALL[..], &["--mode", mode]].concat()).unwrap();
            let output = Command::new(FORBIDDEN).args(["--dest", destination]).output().unwrap();
            let tally: tally::Tally = serde_json::from_slice(&output.stdout).unwrap();
            let session = watching.end().unwrap();
            assert_eq!(tally.failed("EPERM"), 1, "{tally:?}");
            assert_eq!(session.end()["failures"], 1, "{mode}: {}", session.stdout);
            let failure = session.failures().next().unwrap();
            let values = [
                ("/errno", "EPERM".into()),
                ("/stage", if mode == "tracepoints" { "unknown" } else { "socket_layer" }.into()),
                ("/cause", "other".into()),
                ("/process/pid", tally.pid.into()),
                ("/process/comm", "forbidden".into()),
                ("/destination/port", 80.into()),
            ];
            for (name, value) in values {
                assert_eq!(failure.pointer(name), Some(&value), "{mode}: {name} of {failure}");
            }
        }
    }
}

#[test]
fn a_reset_of_a_connection_that_both_sides_open_is_told_of_the_process_that_called() {
    for mode in ["functions", "wrappers", "tracepoints"] {
        let (_netns, wire, destination) = nobody();
        let watching = Watching::start(&[&ALL[..], &["--mode", mode]].concat()).unwrap();
        let (socket, tid) = connecting(destination);
        let first = wire.next_to(destination).unwrap();
        // The other side connects to this one at the same time, and thinks better of it once it is answered.
        first.answer(SYN, 1_000_000, 0).unwrap();
        let answered = wire.next_to(destination).unwrap();
        assert_eq!((answered.flags & (SYN | ACK), answered.acknowledged), (SYN | ACK, 1_000_001), "{mode}");
        answered.answer(RST | ACK, 1_000_001, answered.sequence.wrapping_add(1)).unwrap();
        assert_eq!(ended_with(&socket), Some(Errno::ECONNRESET), "{mode}");
        let session = watching.end().unwrap();
        assert_one(&session, "ECONNRESET", "network", NOBODY);
        let process = &session.failures().next().unwrap()["process"];
        assert_eq!((&process["tid"], &process["comm"]), (&tid.into(), &"caller".into()), "{mode}: {process}");
    }
}
