//! Shortages of local ports other than connect() over an exhausted range: at bind, of UDP, of a socket's own range, by
//! sockets that do not connect at all, through calls that are not connect(). And what looks alike but is none.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use portwatch_tests::kernel_is_since;
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching};
use serde_json::{Value, json};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// `IP_LOCAL_PORT_RANGE`, include/uapi/linux/in.h.
const IP_LOCAL_PORT_RANGE: i32 = 51;
/// `IPPROTO_MPTCP`, include/uapi/linux/in.h.
pub(crate) const IPPROTO_MPTCP: i32 = 262;

fn tcp(domain: Domain) -> Socket {
    Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap()
}

fn udp(domain: Domain) -> Socket {
    Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What is tried over each version of the protocol.
struct Family {
    domain: Domain,
    /// Where connections go.
    service: &'static str,
    /// Another place to go to.
    other_service: &'static str,
    /// Another address of the host.
    elsewhere: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        domain: Domain::IPV4,
        service: "127.0.0.1:8080",
        other_service: "127.0.0.1:8081",
        elsewhere: "127.0.0.9",
    },
    Family {
        domain: Domain::IPV6,
        service: "[::1]:8080",
        other_service: "[::1]:8081",
        elsewhere: "[2001:db8::9]",
    },
];

impl Family {
    /// A namespace with these ports, in which all of these addresses are the host's.
    fn netns(low: u16, high: u16) -> Netns {
        let netns = Netns::with_ports(low, high).unwrap();
        let add = ["-6", "address", "add", "2001:db8::9/128", "dev", "lo"];
        let added = std::process::Command::new("ip").args(add).status().unwrap();
        assert!(added.success(), "ip {add:?}: {added}");
        netns
    }

    fn tcp(&self) -> Socket {
        tcp(self.domain)
    }

    /// One that is bound to a port of another address.
    fn bound_elsewhere(&self, port: u16) -> Socket {
        let socket = self.tcp();
        socket.bind(&address(&format!("{}:{port}", self.elsewhere)).into()).unwrap();
        socket
    }

    /// One failure is told: the range was exhausted on the way from here to the service; and has these values.
    fn assert_told_exhausted(&self, session: &Session, values: &[(&str, Value)]) {
        let service = address(self.service);
        let shown = Value::from(service.ip().to_string());
        let destination = ("/destination/address", shown.clone());
        let values = [&[("/cause", "range_exhausted".into()), destination], values].concat();
        assert_told(session, 1, &values);
        let failure = session.failures().next().unwrap();
        let family = if service.is_ipv4() { "ipv4" } else { "ipv6" };
        assert_eq!(
            (&failure["source"]["address"], &failure["family"]),
            (&shown, &family.into()),
            "{failure}"
        );
    }
}

fn errno(result: std::io::Result<impl Sized>) -> Option<Errno> {
    result.err().map(|error| Errno::from_raw(error.raw_os_error().unwrap()))
}

/// The ways to see failures.
const MODES: [&str; 3] = ["functions", "wrappers", "tracepoints"];

fn watched(args: &[&str], provoke: impl FnOnce()) -> Session {
    let watching = Watching::start(&[&["trace", "--json"], args].concat()).unwrap();
    provoke();
    watching.end().unwrap()
}

/// Every failure is told once, in a line and in the counts, and has these values.
fn assert_told(session: &Session, count: u64, values: &[(&str, Value)]) {
    assert_eq!(session.end()["failures"], count, "{}", session.stdout);
    assert_eq!(session.failures().count() as u64, count, "{}", session.stdout);
    let pid = std::process::id();
    for line in session.failures().chain(session.rows()) {
        assert_eq!(line["process"]["pid"], pid, "{line}");
        for (name, value) in values {
            assert_eq!(line.pointer(name), Some(value), "{name} of {line}");
        }
    }
}

#[test]
fn a_bind_to_an_address_of_somebody_else_is_named() {
    let _netns = Netns::new().unwrap();
    for (domain, wanted, shown) in [
        (Domain::IPV4, "192.0.2.7:8080", "192.0.2.7"),
        (Domain::IPV6, "[2001:db8::7]:8080", "2001:db8::7"),
        (Domain::IPV6, "[::ffff:192.0.2.7]:8080", "192.0.2.7"),
    ] {
        for (protocol, socket) in [("tcp", tcp(domain)), ("udp", udp(domain))] {
            let session = watched(&[], || {
                assert_eq!(errno(socket.bind(&address(wanted).into())), Some(Errno::EADDRNOTAVAIL));
            });
            let values = [
                ("/cause", "address_not_local".into()),
                ("/call", "bind".into()),
                ("/protocol", protocol.into()),
                ("/errno", "EADDRNOTAVAIL".into()),
                ("/source/address", shown.into()),
                ("/source/port", 8080.into()),
                ("/destination/port", 0.into()),
            ];
            assert_told(&session, 1, &values);
        }
    }
}

#[test]
fn a_bind_to_any_port_fails_when_every_port_is_in_use_whatever_the_destination() {
    for (listen, any, shown) in [
        ("127.0.0.1:8080", "127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:8080", "[::ffff:127.0.0.1]:0", "127.0.0.1"),
        ("[::1]:8080", "[::1]:0", "::1"),
    ] {
        let _netns = Netns::with_ports(40000, 40003).unwrap();
        let _full = Full::new(listen, 4).unwrap();
        let socket = tcp(Domain::for_address(address(any)));
        let session = watched(&[], || {
            assert_eq!(errno(socket.bind(&address(any).into())), Some(Errno::EADDRINUSE));
        });
        let values = [
            ("/cause", "bind_range_exhausted".into()),
            ("/errno", "EADDRINUSE".into()),
            ("/protocol", "tcp".into()),
            ("/source/address", shown.into()),
            ("/source/port", 0.into()),
        ];
        assert_told(&session, 1, &values);
    }
}

/// Sends two messages by one call.
fn send_several(socket: &Socket, destination: SocketAddr) -> Option<Errno> {
    let destination = SockAddr::from(destination);
    // SAFETY: all zeroes are an empty message.
    let mut messages: [nix::libc::mmsghdr; 2] = unsafe { std::mem::zeroed() };
    for message in &mut messages {
        message.msg_hdr.msg_name = destination.as_ptr().cast_mut().cast();
        message.msg_hdr.msg_namelen = destination.len();
    }
    // SAFETY: the address lives through the call, which only reads it.
    let sent = unsafe { nix::libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), 2, 0) };
    Errno::result(sent).err()
}

/// A send over TCP that would block: a look-alike, of a socket that has a port.
fn would_block() {
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let sending = tcp(Domain::IPV4);
    sending.connect(&listener.local_addr().unwrap().into()).unwrap();
    sending.set_nonblocking(true).unwrap();
    let refused = (0..100_000).find_map(|_| errno(sending.send(&[0; 4096])));
    assert_eq!(refused, Some(Errno::EAGAIN));
}

#[test]
fn udp_sockets_that_get_no_port_are_told_from_ones_that_would_block() {
    let families = [
        ("127.0.0.1:53", "0.0.0.0:0", "127.0.0.1"),
        ("[::ffff:127.0.0.1]:53", "[::ffff:0.0.0.0]:0", "127.0.0.1"),
        ("[::1]:53", "[::]:0", "::1"),
    ];
    for ((text, wildcard, shown), mode) in
        families.into_iter().flat_map(|family| MODES.map(|mode| (family, mode)))
    {
        let _netns = Netns::with_ports(40000, 40003).unwrap();
        let domain = Domain::for_address(address(text));
        let holders: Vec<_> = (0..4)
            .map(|_| {
                let socket = udp(domain);
                socket.bind(&address(wildcard).into()).unwrap();
                socket
            })
            .collect();
        let session = watched(&["--mode", mode], || {
            assert_eq!(errno(udp(domain).connect(&address(text).into())), Some(Errno::EAGAIN));
            assert_eq!(errno(udp(domain).send_to(b"x", &address(text).into())), Some(Errno::EAGAIN));
            assert_eq!(send_several(&udp(domain), address(text)), Some(Errno::EAGAIN));
            assert_eq!(errno(udp(domain).bind(&address(wildcard).into())), Some(Errno::EADDRINUSE));
            would_block();
        });
        drop(holders);
        assert_eq!(session.end()["failures"], 4, "{mode}: {}", session.stdout);
        let told: Vec<_> = session
            .failures()
            .map(|failure| {
                assert_eq!(failure["protocol"], "udp", "{mode}: {failure}");
                [&failure["call"], &failure["cause"], &failure["errno"]].map(|word| word.as_str().unwrap())
            })
            .collect();
        let expected = [
            ["connect", "udp_range_exhausted", "EAGAIN"],
            ["sendto", "udp_range_exhausted", "EAGAIN"],
            ["sendto", "udp_range_exhausted", "EAGAIN"],
            ["bind", "bind_range_exhausted", "EADDRINUSE"],
        ];
        assert_eq!(told, expected, "{mode}: {}", session.stdout);
        // Where programs may read the memory of processes.
        for failure in session.failures().take(3) {
            let destination = (&failure["destination"]["address"], &failure["destination"]["port"]);
            assert_eq!(destination, (&shown.into(), &53.into()), "{text}, {mode}: {failure}");
        }
    }
}

/// `socket`, which shall use ports of this range only; none, with the reason printed, where the kernel has no such
/// option.
fn narrowed(socket: Socket, low: u16, high: u16) -> Option<Socket> {
    let range = u32::from(high) << 16 | u32::from(low);
    // SAFETY: four bytes are what the option takes.
    let result = unsafe {
        let value = (&raw const range).cast();
        nix::libc::setsockopt(socket.as_raw_fd(), nix::libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, value, 4)
    };
    if result != 0 {
        let is_mptcp = socket.protocol().unwrap() == Some(Protocol::from(IPPROTO_MPTCP));
        let whose = if is_mptcp { "MPTCP of this kernel" } else { "this kernel" };
        println!("skipped: {whose} has no IP_LOCAL_PORT_RANGE");
    }
    (result == 0).then_some(socket)
}

/// One failure, of a socket with a range of its own within that of the namespace.
fn assert_own_range(session: &Session, cause: &str) {
    assert_told(session, 1, &[("/cause", cause.into())]);
    let failure = session.failures().next().unwrap();
    let [own, namespace] =
        [(40050, 40051), (40000, 40099)].map(|(low, high)| json!({ "low": low, "high": high }));
    assert_eq!((&failure["socket_port_range"], &failure["port_range"]), (&own, &namespace), "{failure}");
}

#[test]
fn a_sockets_own_range_is_shown() {
    for family in FAMILIES {
        let _netns = Netns::with_ports(40000, 40099).unwrap();
        let _listener = TcpListener::bind(family.service).unwrap();
        let narrow = || narrowed(family.tcp(), 40050, 40051);
        let Some(first) = narrow() else { return };
        let held = [first, narrow().unwrap()];
        let destination = address(family.service).into();
        held.iter().for_each(|socket| socket.connect(&destination).unwrap());
        for mode in MODES {
            let session = watched(&["--mode", mode], || {
                assert_eq!(errno(narrow().unwrap().connect(&destination)), Some(Errno::EADDRNOTAVAIL));
            });
            assert_own_range(&session, "range_exhausted");
        }
    }
}

#[test]
fn a_udp_sockets_own_range_is_shown() {
    type Call = fn(&Socket, &SockAddr, &SockAddr) -> std::io::Result<()>;
    let calls: [(&str, Call, Errno); 3] = [
        ("udp_range_exhausted", |socket, _, to| socket.connect(to), Errno::EAGAIN),
        ("udp_range_exhausted", |socket, _, to| socket.send_to(b"x", to).map(drop), Errno::EAGAIN),
        ("bind_range_exhausted", |socket, any, _| socket.bind(any), Errno::EADDRINUSE),
    ];
    for (any, to) in [("0.0.0.0:0", "127.0.0.1:53"), ("[::]:0", "[::1]:53")] {
        let _netns = Netns::with_ports(40000, 40099).unwrap();
        let [any, to] = [any, to].map(address);
        let narrow = || narrowed(udp(Domain::for_address(any)), 40050, 40051);
        let Some(first) = narrow() else { return };
        let held = [first, narrow().unwrap()];
        held.iter().for_each(|socket| socket.bind(&any.into()).unwrap());
        for (mode, (cause, call, refused)) in
            MODES.into_iter().flat_map(|mode| calls.map(|call| (mode, call)))
        {
            let session = watched(&["--mode", mode], || {
                assert_eq!(errno(call(&narrow().unwrap(), &any.into(), &to.into())), Some(refused), "{mode}");
            });
            assert_own_range(&session, cause);
        }
    }
}

/// A connect that finds no port is told so.
fn assert_exhausted(family: &Family) {
    let session = watched(&[], || {
        let result = family.tcp().connect(&address(family.service).into());
        assert_eq!(errno(result), Some(Errno::EADDRNOTAVAIL), "{}", family.service);
    });
    family.assert_told_exhausted(&session, &[]);
}

#[test]
fn ports_that_others_bound_elsewhere_are_as_good_as_taken() {
    for family in FAMILIES {
        let _netns = Family::netns(40000, 40003);
        let _listener = TcpListener::bind(family.service).unwrap();
        let _holders: Vec<_> = (40000..40004).map(|port| family.bound_elsewhere(port)).collect();
        assert_exhausted(&family);
    }
}

#[test]
fn a_port_whose_binder_is_long_gone_stays_refused_up_to_linux_6_17_and_is_told_so() {
    for family in FAMILIES {
        let _netns = Family::netns(40000, 40000);
        let _listeners =
            [family.service, family.other_service].map(|service| TcpListener::bind(service).unwrap());
        let first = family.tcp();
        first.connect(&address(family.other_service).into()).unwrap();
        drop(family.bound_elsewhere(40000));
        // Up to 6.17 the port stays marked as bound while its first user lives; since 6.18 the mark goes with the
        // binder (`inet_bind_bucket_destroy`, net/ipv4/inet_hashtables.c).
        if kernel_is_since(6, 18) {
            let session = watched(&[], || family.tcp().connect(&address(family.service).into()).unwrap());
            assert_told(&session, 0, &[]);
        } else {
            assert_exhausted(&family);
        }
    }
}

#[test]
fn reserved_ports_eat_the_range() {
    for family in FAMILIES {
        let _netns = Netns::with_ports(40000, 40003).unwrap();
        set("ipv4/ip_local_reserved_ports", "40000-40003").unwrap();
        let _listener = TcpListener::bind(family.service).unwrap();
        assert_exhausted(&family);
    }
}

#[test]
fn a_connect_that_is_part_of_a_send_is_told_as_one() {
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let full = Full::new("127.0.0.1:8080", 2).unwrap();
    let socket = tcp(Domain::IPV4);
    let session = watched(&[], || {
        let flags = nix::libc::MSG_FASTOPEN;
        let result = socket.send_to_with_flags(b"x", &full.destination.into(), flags);
        assert_eq!(errno(result), Some(Errno::EADDRNOTAVAIL));
    });
    let values = [
        ("/cause", "range_exhausted".into()),
        ("/call", "sendto".into()),
        ("/destination/address", "127.0.0.1".into()),
        ("/destination/port", 8080.into()),
    ];
    assert_told(&session, 1, &values);
}

#[test]
fn a_connect_through_io_uring_is_seen() {
    use io_uring::{IoUring, opcode, types};
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    let full = Full::new("127.0.0.1:8080", 2).unwrap();
    let mut ring = match IoUring::new(2) {
        Ok(ring) => ring,
        Err(error) => {
            println!("skipped: this kernel has no io_uring: {error}");
            return;
        }
    };
    let destination: SockAddr = full.destination.into();
    for mode in MODES {
        let socket = tcp(Domain::IPV4);
        let session = watched(&["--mode", mode], || {
            let connect = opcode::Connect::new(
                types::Fd(socket.as_raw_fd()),
                destination.as_ptr().cast(),
                destination.len(),
            );
            // SAFETY: descriptor and address live until the completion below.
            unsafe { ring.submission().push(&connect.build()) }.unwrap();
            ring.submit_and_wait(1).unwrap();
            let completion = ring.completion().next().unwrap();
            assert_eq!(Errno::from_raw(-completion.result()), Errno::EADDRNOTAVAIL, "{mode}");
        });
        let values = [
            ("/cause", "range_exhausted".into()),
            ("/call", "connect".into()),
            ("/destination/port", 8080.into()),
        ];
        assert_told(&session, 1, &values);
    }
}

/// A socket of MPTCP; none, with the reason printed, where the kernel has none.
pub(crate) fn mptcp(domain: Domain) -> Option<Socket> {
    match Socket::new(domain, Type::STREAM, Some(Protocol::from(IPPROTO_MPTCP))) {
        Ok(socket) => Some(socket),
        Err(error) => {
            println!("skipped: this kernel has no MPTCP: {error}");
            None
        }
    }
}

#[test]
fn a_connect_of_mptcp_is_told_once_and_as_one() {
    for family in FAMILIES {
        let _netns = Netns::with_ports(40000, 40001).unwrap();
        let full = Full::new(family.service, 2).unwrap();
        let Some(socket) = mptcp(family.domain) else { return };
        for args in ways() {
            let session = watched(&args, || {
                let refused = errno(socket.connect(&full.destination.into()));
                assert_eq!(refused, Some(Errno::EADDRNOTAVAIL), "{args:?}");
            });
            let values = [
                ("/protocol", "mptcp".into()),
                ("/call", "connect".into()),
                ("/destination/port", 8080.into()),
            ];
            family.assert_told_exhausted(&session, &values);
        }
    }
}

/// The ways to see failures, and with every error too.
fn ways() -> impl Iterator<Item = Vec<&'static str>> {
    let errors: [&[&str]; 2] = [&[], &["--errno", "all"]];
    errors.into_iter().flat_map(|errors| MODES.map(|mode| [errors, &["--mode", mode]].concat()))
}

/// A call of a socket of MPTCP that fails for want of a port or an address.
struct OfMptcp {
    /// Of its family, bound to this first, sharing it where it connects then.
    bind: Option<&'static str>,
    connect: Option<&'static str>,
    cause: &'static str,
    errno: Errno,
    /// The address that was asked for, as it is shown, and its port.
    shown: (&'static str, u16),
}

impl OfMptcp {
    fn domain(&self) -> Domain {
        Domain::for_address(address(self.connect.or(self.bind).unwrap()))
    }

    fn call(&self, socket: &Socket) -> std::io::Result<()> {
        let bind = self.bind.map(|source| socket.bind(&address(source).into()));
        match self.connect {
            None => bind.unwrap(),
            Some(destination) => {
                bind.transpose().unwrap();
                socket.connect(&address(destination).into())
            }
        }
    }
}

const fn connects(
    bind: Option<&'static str>,
    to: &'static str,
    cause: &'static str,
    shown: &'static str,
) -> OfMptcp {
    OfMptcp { bind, connect: Some(to), cause, errno: Errno::EADDRNOTAVAIL, shown: (shown, 8080) }
}

const fn binds(to: &'static str, errno: Errno, cause: &'static str, shown: (&'static str, u16)) -> OfMptcp {
    OfMptcp { bind: Some(to), connect: None, cause, errno, shown }
}

/// Where all four ports have connections to port 8080, and so has port 41000.
const SHORTAGES_OF_MPTCP: [OfMptcp; 10] = [
    connects(None, "[::ffff:127.0.0.1]:8080", "range_exhausted", "127.0.0.1"),
    connects(Some("127.0.0.1:41000"), "127.0.0.1:8080", "tuple_in_use", "127.0.0.1"),
    connects(Some("[::ffff:127.0.0.1]:41000"), "[::ffff:127.0.0.1]:8080", "tuple_in_use", "127.0.0.1"),
    connects(Some("[::1]:41000"), "[::1]:8080", "tuple_in_use", "::1"),
    binds("192.0.2.7:80", Errno::EADDRNOTAVAIL, "address_not_local", ("192.0.2.7", 80)),
    binds("[2001:db8::7]:80", Errno::EADDRNOTAVAIL, "address_not_local", ("2001:db8::7", 80)),
    binds("[::ffff:192.0.2.7]:80", Errno::EADDRNOTAVAIL, "address_not_local", ("192.0.2.7", 80)),
    binds("127.0.0.1:0", Errno::EADDRINUSE, "bind_range_exhausted", ("127.0.0.1", 0)),
    binds("[::ffff:127.0.0.1]:0", Errno::EADDRINUSE, "bind_range_exhausted", ("127.0.0.1", 0)),
    binds("[::1]:0", Errno::EADDRINUSE, "bind_range_exhausted", ("::1", 0)),
];

#[test]
fn each_shortage_of_mptcp_is_told_once_and_as_one() {
    if mptcp(Domain::IPV4).is_none() {
        return;
    }
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = ["127.0.0.1:8080", "[::1]:8080"].map(|service| Full::new(service, 4).unwrap());
    // A fixed port may be shared by who says so.
    let shared = |socket: Socket| {
        socket.set_reuse_address(true).unwrap();
        socket
    };
    let _first = [("127.0.0.1:41000", "127.0.0.1:8080"), ("[::1]:41000", "[::1]:8080")].map(|(from, to)| {
        let socket = shared(tcp(Domain::for_address(address(from))));
        socket.bind(&address(from).into()).unwrap();
        socket.connect(&address(to).into()).unwrap();
        socket
    });
    let told = |args: &[&str], case: &OfMptcp| {
        let socket = mptcp(case.domain()).unwrap();
        let socket = if case.connect.is_some() { shared(socket) } else { socket };
        let what = format!("{args:?}: {:?} -> {:?}", case.bind, case.connect);
        println!("{what}");
        let session = watched(args, || assert_eq!(errno(case.call(&socket)), Some(case.errno), "{what}"));
        let call = if case.connect.is_some() { "connect" } else { "bind" };
        let asked = if case.connect.is_some() { "destination" } else { "source" };
        let [shown, port] = ["address", "port"].map(|name| format!("/{asked}/{name}"));
        let values = [
            ("/protocol", "mptcp".into()),
            ("/call", call.into()),
            ("/cause", case.cause.into()),
            ("/errno", format!("{:?}", case.errno).into()),
            (&*shown, case.shown.0.into()),
            (&*port, case.shown.1.into()),
        ];
        assert_told(&session, 1, &values);
        let failure = session.failures().next().unwrap();
        assert_eq!(failure["kernel_socket"], Value::Null, "{what}: {failure}");
        if case.cause == "tuple_in_use" {
            let had = (&failure["source"]["port"], &failure["had_port"]);
            assert_eq!(had, (&41000.into(), &true.into()), "{what}: {failure}");
        }
    };
    for args in ways() {
        SHORTAGES_OF_MPTCP.iter().for_each(|case| told(&args, case));
    }
    set("ipv6/conf/all/disable_ipv6", "1").unwrap();
    for args in ways() {
        told(&args, &connects(None, "[::1]:8080", "no_source_address", "::1"));
    }
}

#[test]
fn an_mptcp_sockets_own_range_is_shown() {
    for family in FAMILIES {
        let _netns = Netns::with_ports(40000, 40099).unwrap();
        let _listener = TcpListener::bind(family.service).unwrap();
        let destination = address(family.service).into();
        let Some(first) = narrowed(family.tcp(), 40050, 40051) else { return };
        let held = [first, narrowed(family.tcp(), 40050, 40051).unwrap()];
        held.iter().for_each(|socket| socket.connect(&destination).unwrap());
        for args in ways() {
            let Some(socket) = mptcp(family.domain) else { return };
            let Some(socket) = narrowed(socket, 40050, 40051) else { return };
            let session = watched(&args, || {
                assert_eq!(errno(socket.connect(&destination)), Some(Errno::EADDRNOTAVAIL), "{args:?}");
            });
            assert_own_range(&session, "range_exhausted");
            assert_eq!(session.failures().next().unwrap()["protocol"], "mptcp", "{args:?}");
        }
    }
}

/// One port, which is taken, and a connection of MPTCP that looks for another path meanwhile.
fn second_path(mode: &str) -> Session {
    let _netns = Netns::with_ports(40000, 40000).unwrap();
    // A second path starts from this address once the first is established. Connections look for one when they are
    // made.
    let endpoint = ["mptcp", "endpoint", "add", "127.0.0.5", "dev", "lo", "subflow"];
    let added = std::process::Command::new("ip").args(endpoint).status().unwrap();
    assert!(added.success(), "ip mptcp: {added}");
    let [listening, socket] = [(); 2].map(|()| mptcp(Domain::IPV4).unwrap());
    listening.bind(&address("127.0.0.1:8080").into()).unwrap();
    listening.listen(8).unwrap();
    let blocker = tcp(Domain::IPV4);
    blocker.bind(&address("0.0.0.0:40000").into()).unwrap();
    watched(&["--mode", mode], || {
        // Bound, the first path needs no search.
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address("127.0.0.1:41000").into()).unwrap();
        socket.connect(&address("127.0.0.1:8080").into()).unwrap();
        let (mut accepted, _) = listening.accept().unwrap();
        // Data tells both sides that the other speaks MPTCP.
        std::io::Write::write_all(&mut &socket, b"x").unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(&mut accepted, &mut byte).unwrap();
        std::io::Write::write_all(&mut accepted, b"y").unwrap();
        std::io::Read::read_exact(&mut &socket, &mut byte).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
    })
}

#[test]
fn what_the_kernel_connects_by_itself_is_named_as_the_kernels() {
    if mptcp(Domain::IPV4).is_none() {
        return;
    }
    let mut binds_first = false;
    for mode in MODES {
        let session = second_path(mode);
        for failure in session.failures() {
            assert_eq!(
                (&failure["protocol"], &failure["kernel_socket"]),
                (&"mptcp".into(), &true.into()),
                "{mode}: {failure}"
            );
            // Some versions bind first, some leave the port to the connect.
            let cause = failure["cause"].as_str().unwrap();
            assert!(["range_exhausted", "bind_range_exhausted"].contains(&cause), "{mode}: {failure}");
            binds_first |= cause == "bind_range_exhausted";
            assert_eq!(failure["source"]["address"], "127.0.0.5", "{mode}: {failure}");
            assert!(failure["process"]["comm"].as_str().unwrap().starts_with("kworker"), "{mode}: {failure}");
        }
        // A bind of the kernel's own returns from no system call.
        let is_seen = mode != "tracepoints" || !binds_first;
        assert_eq!(session.end()["failures"] != 0, is_seen, "{mode}: {}", session.stdout);
        println!("{mode}: {}", session.end()["failures"]);
    }
}

#[test]
fn what_looks_like_a_shortage_and_is_none_is_not_reported() {
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let destination = listener.local_addr().unwrap().into();
    let session = watched(&[], || {
        // A port that another one has, asked for by its number.
        let taken = tcp(Domain::IPV4).bind(&address("127.0.0.1:8080").into());
        assert_eq!(errno(taken), Some(Errno::EADDRINUSE));
        // Nobody listens.
        assert_eq!(
            errno(tcp(Domain::IPV4).connect(&address("127.0.0.1:9").into())),
            Some(Errno::ECONNREFUSED)
        );
        // Under way, asked for again, and done.
        let socket = tcp(Domain::IPV4);
        socket.set_nonblocking(true).unwrap();
        assert_eq!(errno(socket.connect(&destination)), Some(Errno::EINPROGRESS));
        assert!(socket.connect(&destination).is_err() || socket.connect(&destination).is_err());
        // Another family has addresses that are in use, too.
        let path = std::env::temp_dir().join("portwatch-look-alike");
        let _first = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(errno(std::os::unix::net::UnixListener::bind(&path)), Some(Errno::EADDRINUSE));
        std::fs::remove_file(&path).unwrap();
        // UDP may share what TCP has.
        UdpSocket::bind("127.0.0.1:8080").unwrap();
    });
    assert_told(&session, 0, &[]);
}

#[test]
fn a_port_that_is_taken_is_reported_when_all_errors_are() {
    let _netns = Netns::new().unwrap();
    let _listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let session = watched(&["--errno", "all"], || {
        let taken = tcp(Domain::IPV4).bind(&address("127.0.0.1:8080").into());
        assert_eq!(errno(taken), Some(Errno::EADDRINUSE));
    });
    assert_told(&session, 1, &[("/cause", "port_taken".into()), ("/source/port", 8080.into())]);
}

#[test]
fn sockets_in_time_wait_exhaust_a_range() {
    for family in FAMILIES {
        let _netns = Netns::with_ports(40000, 40003).unwrap();
        set("ipv4/tcp_tw_reuse", "0").unwrap();
        let listener = TcpListener::bind(family.service).unwrap();
        for _ in 0..4 {
            let client = std::net::TcpStream::connect(family.service).unwrap();
            // Who closes first waits.
            client.shutdown(std::net::Shutdown::Both).unwrap();
            drop(listener.accept().unwrap());
        }
        assert_exhausted(&family);
    }
}
