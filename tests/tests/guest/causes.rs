//! Every way to fail that has a cause of its own, and look-alikes.

use std::net::{SocketAddr, TcpListener};

use nix::errno::Errno;
use portwatch_tests::netns::{Full, Netns, set};
use portwatch_tests::portwatch::{Session, Watching};
use portwatch_tests::tally::{self, Tally};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// Runs the load generator under `portwatch trace --json` and checks what holds for every cause.
fn watched(args: &[&str]) -> (Session, Tally) {
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let tally = tally::run(args).unwrap();
    let session = watching.end().unwrap();
    assert!(session.status.success(), "{:?}", session.status);
    (session, tally)
}

/// Each failure of the tally is one line and one count, about the right process, namespace, range and destination.
fn assert_exact(
    session: &Session,
    tally: &Tally,
    netns: &Netns,
    cause: &str,
    destination: (&str, u64),
    range: (u64, u64),
) {
    let expected = tally.failed("EADDRNOTAVAIL");
    assert!(expected > 0, "the load generator did not fail: {tally:?}");
    assert_eq!(session.end()["failures"], expected, "{}", session.stdout);
    assert_eq!(session.failures().count() as u64, expected, "{}", session.stdout);
    for failure in session.failures() {
        let fields = [
            ("cause", &failure["cause"], Value::from(cause)),
            ("errno", &failure["errno"], "EADDRNOTAVAIL".into()),
            ("call", &failure["call"], "connect".into()),
            ("pid", &failure["process"]["pid"], tally.pid.into()),
            ("comm", &failure["process"]["comm"], "loadgen".into()),
            ("uid", &failure["process"]["uid"], 0.into()),
            ("netns", &failure["netns"], netns.id.into()),
            ("address", &failure["destination"]["address"], destination.0.into()),
            ("port", &failure["destination"]["port"], destination.1.into()),
            ("low", &failure["port_range"]["low"], range.0.into()),
            ("high", &failure["port_range"]["high"], range.1.into()),
        ];
        for (name, found, wanted) in fields {
            assert_eq!(*found, wanted, "{name} of {failure}");
        }
    }
    let of_process = |row: &Value| row["process"]["pid"] == tally.pid && row["cause"] == cause;
    assert_eq!(session.counted(of_process), expected, "{}", session.stdout);
}

#[test]
fn an_exhausted_range_is_named_for_ipv4() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("127.0.0.1:8080", 10).unwrap();
    let (session, tally) = watched(&["--dest", "127.0.0.1:8080", "--attempts", "20"]);
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 20);
    assert_exact(&session, &tally, &netns, "range_exhausted", ("127.0.0.1", 8080), (40000, 40009));
    for failure in session.failures() {
        assert_eq!(
            (&failure["family"], &failure["stage"]),
            (&"ipv4".into(), &"port_search".into()),
            "{failure}"
        );
        assert_eq!(failure["source"], serde_json::json!({"address": "127.0.0.1", "port": 0}), "{failure}");
    }
}

#[test]
fn an_exhausted_range_is_named_for_ipv6() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("[::1]:8080", 10).unwrap();
    let (session, tally) = watched(&["--dest", "[::1]:8080", "--attempts", "20"]);
    assert_exact(&session, &tally, &netns, "range_exhausted", ("::1", 8080), (40000, 40009));
    for failure in session.failures() {
        assert_eq!(failure["family"], "ipv6", "{failure}");
        assert_eq!(failure["source"], serde_json::json!({"address": "::1", "port": 0}), "{failure}");
    }
}

#[test]
fn a_v4_mapped_connect_passes_two_hooks_and_is_one_failure() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("127.0.0.1:8080", 10).unwrap();
    let (session, tally) = watched(&["--dest", "127.0.0.1:8080", "--mapped", "--attempts", "20"]);
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 20);
    assert_exact(&session, &tally, &netns, "range_exhausted", ("127.0.0.1", 8080), (40000, 40009));
    for failure in session.failures() {
        assert_eq!((&failure["family"], &failure["v4_mapped"]), (&"ipv4".into(), &true.into()), "{failure}");
    }
}

#[test]
fn a_connect_that_does_not_wait_fails_alike() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("127.0.0.1:8080", 10).unwrap();
    let (session, tally) = watched(&["--dest", "127.0.0.1:8080", "--nonblocking", "--attempts", "20"]);
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 20);
    assert_exact(&session, &tally, &netns, "range_exhausted", ("127.0.0.1", 8080), (40000, 40009));
}

#[test]
fn one_socket_tried_again_and_again_fails_each_time() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _full = Full::new("127.0.0.1:8080", 10).unwrap();
    let (session, tally) = watched(&["--dest", "127.0.0.1:8080", "--same-socket", "--attempts", "20"]);
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 20);
    assert_exact(&session, &tally, &netns, "range_exhausted", ("127.0.0.1", 8080), (40000, 40009));
}

#[test]
fn a_bound_port_whose_connection_exists_is_told_from_an_exhausted_range() {
    for (listen, source, mapped) in [
        ("127.0.0.1:8080", "127.0.0.1:41000", false),
        ("127.0.0.1:8080", "127.0.0.1:41000", true),
        ("[::1]:8080", "[::1]:41000", false),
    ] {
        let netns = Netns::with_ports(40000, 40009).unwrap();
        let listener = TcpListener::bind(listen).unwrap();
        let address = listener.local_addr().unwrap().ip().to_string();
        // The first attempt connects and is held; the second finds its 4-tuple taken.
        let args = ["--dest", listen, "--source", source, "--attempts", "2"];
        let option: &[&str] = if mapped { &["--mapped"] } else { &[] };
        let (session, tally) = watched(&[&args, option].concat());
        assert_eq!(tally.failed("EADDRNOTAVAIL"), 1, "{listen}");
        assert_exact(&session, &tally, &netns, "tuple_in_use", (&address, 8080), (40000, 40009));
        let failure = session.failures().next().unwrap();
        assert_eq!(failure["source"], serde_json::json!({"address": address, "port": 41000}), "{failure}");
        assert_eq!(failure["had_port"], true, "{failure}");
        assert_eq!(failure["v4_mapped"] == true, mapped, "{failure}");
    }
}

#[test]
fn ipv6_without_an_address_is_not_a_shortage_of_ports() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    set("ipv6/conf/all/disable_ipv6", "1").unwrap();
    let (session, tally) = watched(&["--dest", "[::1]:8080", "--attempts", "5"]);
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 5);
    assert_exact(&session, &tally, &netns, "no_source_address", ("::1", 8080), (40000, 40009));
}

#[test]
fn udp_without_an_address_is_told_as_tcp_is() {
    let _netns = Netns::with_ports(40000, 40009).unwrap();
    set("ipv6/conf/all/disable_ipv6", "1").unwrap();
    let options: [&[&str]; 4] =
        [&[], &["--errno", "EADDRNOTAVAIL"], &["--mode", "wrappers"], &["--mode", "tracepoints"]];
    for option in options {
        let watching = Watching::start(&[&["trace", "--json"], option].concat()).unwrap();
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        let destination: SocketAddr = "[::1]:53".parse().unwrap();
        let error = socket.connect(&destination.into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EADDRNOTAVAIL as i32));
        let session = watching.end().unwrap();
        assert_eq!(session.end()["delivered"], 1, "{option:?}: {}", session.stdout);
        let failure = session.failures().next().unwrap();
        let values = [("protocol", "udp"), ("call", "connect"), ("cause", "no_source_address")];
        assert!(values.iter().all(|(name, value)| failure[*name] == *value), "{option:?}: {failure}");
        assert_eq!(failure["destination"], serde_json::json!({ "address": "::1", "port": 53 }), "{failure}");
    }
}

#[test]
fn two_namespaces_fail_with_their_own_ranges() {
    let first = Netns::with_ports(40000, 40003).unwrap();
    let first_full = Full::new("127.0.0.1:8080", 4).unwrap();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let in_first = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
    let second = Netns::with_ports(50000, 50003).unwrap();
    let second_full = Full::new("127.0.0.1:8080", 4).unwrap();
    let in_second = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "4"]).unwrap();
    let session = watching.end().unwrap();
    drop((first_full, second_full));
    assert_ne!(first.id, second.id);
    for (netns, tally, low, high) in [(first, in_first, 40000, 40003), (second, in_second, 50000, 50003)] {
        let failures: Vec<&Value> =
            session.failures().filter(|failure| failure["netns"] == netns.id).collect();
        assert_eq!(failures.len() as u64, tally.failed("EADDRNOTAVAIL"));
        for failure in failures {
            assert_eq!(failure["port_range"], serde_json::json!({"low": low, "high": high}), "{failure}");
            assert_eq!(failure["process"]["pid"], tally.pid, "{failure}");
        }
        assert_eq!(session.counted(|row| row["netns"] == netns.id), tally.failed("EADDRNOTAVAIL"));
    }
}

#[test]
fn other_errors_are_reported_only_when_asked_for() {
    // No route, refused by the other side, and one that succeeds.
    let provoke = |_netns: &Netns| {
        let unreachable = tally::run(&["--dest", "192.0.2.1:80", "--attempts", "3"]).unwrap();
        assert_eq!(unreachable.failed("ENETUNREACH"), 3);
        let unreachable_v6 = tally::run(&["--dest", "[2001:db8::1]:80", "--attempts", "2"]).unwrap();
        assert_eq!(unreachable_v6.failed("ENETUNREACH"), 2);
        let refused = tally::run(&["--dest", "127.0.0.1:9", "--attempts", "3"]).unwrap();
        assert_eq!(refused.failed("ECONNREFUSED"), 3);
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let connected = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
        assert_eq!(connected.threads[0].connected, 3);
        drop(listener);
    };
    let cases: [(&[&str], u64); 5] = [
        (&["trace", "--json"], 0),
        (&["trace", "--json", "--errno", "all"], 8),
        (&["trace", "--json", "--errno", "ENETUNREACH"], 5),
        (&["trace", "--json", "--errno", "econnrefused"], 3),
        (&["trace", "--json", "--errno", "EADDRNOTAVAIL,EACCES"], 0),
    ];
    for (args, expected) in cases {
        let netns = Netns::new().unwrap();
        let watching = Watching::start(args).unwrap();
        provoke(&netns);
        let session = watching.end().unwrap();
        assert_eq!(session.end()["failures"], expected, "{args:?}: {}", session.stdout);
        for failure in session.failures() {
            assert_eq!(failure["cause"], "other", "{failure}");
            let (address, port, stage) = match failure["errno"].as_str().unwrap() {
                "ENETUNREACH" => (&["192.0.2.1", "2001:db8::1"][..], 80, "outside_port_search"),
                "ECONNREFUSED" => (&["127.0.0.1"][..], 9, "network"),
                other => panic!("{other}: {failure}"),
            };
            let destination = failure["destination"]["address"].as_str().unwrap();
            assert!(address.contains(&destination), "{failure}");
            assert_eq!((&failure["destination"]["port"], &failure["stage"]), (&port.into(), &stage.into()));
        }
    }
}

#[test]
fn the_wrappers_serve_where_the_search_itself_cannot_be_hooked() {
    let netns = Netns::with_ports(40000, 40009).unwrap();
    let _v4 = Full::new("127.0.0.1:8080", 10).unwrap();
    let _v6 = Full::new("[::1]:8443", 10).unwrap();
    let watching = Watching::start(&["trace", "--json", "--mode", "wrappers"]).unwrap();
    let over_v4 = tally::run(&["--dest", "127.0.0.1:8080", "--attempts", "3"]).unwrap();
    let over_v6 = tally::run(&["--dest", "[::1]:8443", "--attempts", "4"]).unwrap();
    let mapped = tally::run(&["--dest", "127.0.0.1:8080", "--mapped", "--attempts", "5"]).unwrap();
    set("ipv6/conf/all/disable_ipv6", "1").unwrap();
    let no_address = tally::run(&["--dest", "[::1]:8443", "--attempts", "2"]).unwrap();
    let session = watching.end().unwrap();
    assert_eq!(session.lines[0]["hooks"]["inet6_hash_connect"], "fexit", "{}", session.lines[0]);
    for (tally, cause) in [
        (over_v4, "range_exhausted"),
        (over_v6, "range_exhausted"),
        (mapped, "range_exhausted"),
        (no_address, "no_source_address"),
    ] {
        let of_run = |row: &Value| {
            row["process"]["pid"] == tally.pid && row["cause"] == cause && row["netns"] == netns.id
        };
        assert_eq!(session.counted(of_run), tally.failed("EADDRNOTAVAIL"), "{}", session.stdout);
    }
    assert_eq!(session.end()["failures"], 14, "{}", session.stdout);
}

/// connect() with an address of this family and as many bytes of it.
fn connect_raw(socket: &TcpListener, address: &[u8], length: u32) -> i32 {
    use std::os::fd::AsRawFd as _;
    // SAFETY: `address` is readable and at least `length` bytes long; the kernel copies it.
    let result = unsafe { nix::libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    assert_eq!(result, -1);
    Errno::last_raw()
}

#[test]
fn a_destination_that_was_not_given_is_not_invented() {
    use socket2::{Domain, Socket, Type};
    let _netns = Netns::new().unwrap();
    let watching = Watching::start(&["trace", "--json", "--errno", "all"]).unwrap();
    let socket = |domain| TcpListener::from(Socket::new(domain, Type::STREAM, None).unwrap());
    let family = |family: i32| u16::try_from(family).unwrap().to_ne_bytes();
    let v4 = [&family(nix::libc::AF_INET)[..], &80_u16.to_be_bytes(), &[192, 0, 2, 1], &[0; 8]].concat();
    let link_local = [
        &family(nix::libc::AF_INET6)[..],
        &80_u16.to_be_bytes(),
        &[0; 4],
        &[0xfe, 0x80],
        &[0; 13],
        &[1],
        &[0; 4],
    ]
    .concat();
    // Two bytes of an address; an IPv6 address on an IPv4 socket; a link-local one without an interface.
    assert_eq!(connect_raw(&socket(Domain::IPV4), &v4, 2), nix::libc::EINVAL);
    assert_eq!(connect_raw(&socket(Domain::IPV4), &link_local, 28), nix::libc::EAFNOSUPPORT);
    assert_eq!(connect_raw(&socket(Domain::IPV6), &link_local, 28), nix::libc::EINVAL);
    let session = watching.end().unwrap();
    let shown: Vec<_> = session
        .failures()
        .map(|failure| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&failure["errno"]),
                text(&failure["destination"]["address"]),
                failure["destination"]["port"].clone(),
            )
        })
        .collect();
    // Locked down for confidentiality, a kernel lets programs read only half of an IPv6 address.
    for link_local in ["fe80::1", "::"] {
        let expected = [
            ("EINVAL".to_owned(), "0.0.0.0".to_owned(), Value::from(0)),
            ("EAFNOSUPPORT".to_owned(), "0.0.0.0".to_owned(), Value::from(0)),
            ("EINVAL".to_owned(), link_local.to_owned(), Value::from(80)),
        ];
        if shown == expected {
            return;
        }
    }
    panic!("{}", session.stdout);
}
