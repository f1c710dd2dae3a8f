//! Records as the kernel side writes them, and bytes it never writes.

use std::sync::Arc;

use std::net::Ipv6Addr;

use portwatch_ebpf::abi;

use std::time::Duration;

use super::{
    Malformed, NoRecord, connected_at, failure, owner, record as decoded, row, search_row, search_times,
};
use crate::event::{BootNs, CgroupId, Errno, Item, PortRange, Process, Stage, Text, Tgid};

fn words(bytes: [u8; 16]) -> abi::Words {
    let word = |n: usize| u32::from_ne_bytes(std::array::from_fn(|i| bytes[n * 4 + i]));
    [word(0), word(1), word(2), word(3)]
}

fn address(text: &str) -> abi::Address {
    let address: std::net::IpAddr = text.parse().unwrap();
    words(match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    })
}

fn key(destination: &str, place: u8, flags: u8) -> abi::FailureKey {
    abi::FailureKey {
        start_boot_ns: 5_000_000_000,
        address: address(destination),
        tgid: 4711,
        netns: 4_026_531_840,
        port_be: 8080_u16.to_be(),
        errno: 99,
        place,
        flags,
        protocol: abi::PROTOCOL_TCP,
        call: abi::CALL_CONNECT,
    }
}

fn record(key: abi::FailureKey, comm: &[u8]) -> abi::FailureRecord {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm);
    abi::FailureRecord {
        boot_ns: 6_000_000_000,
        cgroup_id: 77,
        search_ns: 0,
        key,
        source: address("127.0.0.1"),
        comm: words(name),
        tid: 4712,
        uid: 1000,
        gid: 100,
        source_port: 40041,
        range_low: 40000,
        range_high: 40999,
        own_low: 0,
        own_high: 0,
        reserved: [0; 2],
    }
}

fn bytes(record: &abi::FailureRecord) -> &[u8] {
    // SAFETY: a record has no padding (asserted where it is defined) and lives as long as the slice.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<abi::FailureRecord>()) }
}

#[test]
fn every_field_of_a_record_arrives() {
    let decoded =
        failure(bytes(&record(key("10.1.2.3", abi::PLACE_PORT_SEARCH, abi::FLAG_HAD_PORT), b"worker-7")))
            .unwrap();
    assert_eq!(decoded.at.0, 6_000_000_000);
    assert_eq!(decoded.fault.errno, Errno::EADDRNOTAVAIL);
    assert_eq!(decoded.fault.stage, Stage::PortSearch);
    assert!(decoded.fault.had_port && !decoded.fault.v4_mapped);
    assert_eq!(decoded.fault.address.to_string(), "10.1.2.3:8080");
    assert_eq!(decoded.source.to_string(), "127.0.0.1:40041");
    assert_eq!((decoded.port_range.low, decoded.port_range.high), (40000, 40999));
    assert_eq!(decoded.netns.0, 4_026_531_840);
    let process = &decoded.process;
    assert_eq!((process.tgid.0, process.tid.unwrap().0, process.start.0), (4711, 4712, 5_000_000_000));
    assert_eq!((process.uid, process.gid, process.cgroup.0), (1000, 100, 77));
    assert_eq!(process.comm.0, b"worker-7");
}

#[test]
fn a_destination_is_what_packets_would_carry() {
    let v6 = Ipv6Addr::LOCALHOST.to_string();
    let cases = [
        ("IPv4", "192.0.2.1", 0, "192.0.2.1:8080", false),
        ("IPv6", v6.as_str(), 0, "[::1]:8080", false),
        ("IPv4 through an IPv6 socket", "192.0.2.1", abi::FLAG_V4_MAPPED, "192.0.2.1:8080", true),
    ];
    for (what, destination, flags, shown, v4_mapped) in cases {
        let decoded = failure(bytes(&record(key(destination, abi::PLACE_CONNECT, flags), b"x"))).unwrap();
        assert_eq!(decoded.fault.address.to_string(), shown, "{what}");
        assert_eq!(decoded.fault.v4_mapped, v4_mapped, "{what}");
        assert_eq!(decoded.fault.stage, Stage::OutsidePortSearch, "{what}");
    }
}

#[test]
fn a_name_ends_at_its_nul_whatever_follows() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"ab\0garbage", b"ab"),
        (b"", b""),
        (b"exactly-15-long", b"exactly-15-long"),
        (b"0123456789abcdef", b"0123456789abcdef"),
    ];
    for (stored, name) in cases {
        let decoded = failure(bytes(&record(key("10.0.0.1", abi::PLACE_PORT_SEARCH, 0), stored))).unwrap();
        assert_eq!(decoded.process.comm.0, *name);
    }
}

#[test]
fn bytes_that_are_no_record_are_refused() {
    let good = record(key("10.0.0.1", abi::PLACE_PORT_SEARCH, 0), b"x");
    assert!(matches!(decoded(bytes(&good), 250), Ok(Item::Failure(_))));
    for length in 0..bytes(&good).len() {
        // Some other record has as many bytes as it has.
        if length != size_of::<abi::SysctlRecord>() {
            assert_eq!(decoded(&bytes(&good)[..length], 250), Err(NoRecord::Failure), "{length} bytes");
        }
    }
    let longer = [bytes(&good), &[0]].concat();
    assert_eq!(decoded(&longer, 250), Err(NoRecord::Failure), "one byte more");
    let keys = [
        ("unknown place", abi::FailureKey { place: 9, ..good.key }),
        ("no hook", abi::FailureKey { place: 0, ..good.key }),
        ("unknown call", abi::FailureKey { call: 0, ..good.key }),
        ("unknown protocol", abi::FailureKey { protocol: 9, ..good.key }),
        ("unknown flag", abi::FailureKey { flags: 0x80, ..good.key }),
        ("no error", abi::FailureKey { errno: 0, ..good.key }),
    ];
    for (what, key) in keys {
        assert_eq!(failure(bytes(&record(key, b"x"))), Err(Malformed), "{what}");
    }
}

#[test]
fn a_count_becomes_a_row_about_the_whole_process() {
    let value = abi::FailureCount {
        count: 500,
        first_boot_ns: 10,
        last_boot_ns: 9,
        cgroup_id: 3,
        uid: 1,
        gid: 2,
        leader_comm: words(*b"java\0left-over-s"),
        budget: abi::Budget::default(),
    };
    let row = row(&key("10.0.0.1", abi::PLACE_PORT_SEARCH, 0), &value).unwrap();
    assert_eq!((row.count, row.first.0, row.last.0), (500, 10, 10), "the last is never before the first");
    assert_eq!((row.process.comm.0.as_slice(), row.process.tid), (b"java".as_slice(), None));
}

#[test]
fn an_owner_becomes_a_whole_process() {
    let value = abi::Owner {
        cookie: 9,
        connected_boot_ns: 8,
        start_boot_ns: 7,
        cgroup_id: 6,
        leader_comm: words(*b"curl\0left-over-s"),
        tgid: 5,
        uid: 4,
        gid: 3,
        reserved: 0,
        check: 0,
    };
    let expected = Process {
        tgid: Tgid(5),
        start: BootNs(7),
        tid: None,
        comm: Text(b"curl".to_vec()),
        uid: 4,
        gid: 3,
        cgroup: CgroupId(6),
        details: Arc::default(),
    };
    assert_eq!((owner(&value), connected_at(&value)), (expected, BootNs(8)));
}

#[test]
fn what_a_socket_allows_and_how_long_was_searched_is_there_only_where_it_is_known() {
    let plain = record(key("10.0.0.1", abi::PLACE_PORT_SEARCH, 0), b"x");
    let decoded = failure(bytes(&plain)).unwrap();
    assert_eq!((decoded.own_range, decoded.search), (None, None));
    let rich = abi::FailureRecord { own_low: 40000, own_high: 40001, search_ns: 2_400_000, ..plain };
    let decoded = failure(bytes(&rich)).unwrap();
    assert_eq!(decoded.own_range, Some(PortRange { low: 40000, high: 40001 }));
    assert_eq!(decoded.search, Some(Duration::from_micros(2400)));
}

#[test]
fn searches_have_an_average_even_if_there_was_none() {
    let key = abi::SearchKey {
        source: address("127.0.0.1"),
        destination: address("127.0.0.1"),
        netns: 1,
        destination_port_be: 80_u16.to_be(),
        reserved: [0; 2],
    };
    let times = abi::SearchTimes { count: 4, slow: 1, total_ns: 400, longest_ns: 300 };
    let decoded = search_row(&key, &times);
    assert_eq!(
        (decoded.times.average(), decoded.times.longest),
        (Duration::from_nanos(100), Duration::from_nanos(300))
    );
    assert_eq!(decoded.destination.to_string(), "127.0.0.1:80");
    assert_eq!(search_times(&abi::SearchTimes::default()).average(), Duration::ZERO);
}
