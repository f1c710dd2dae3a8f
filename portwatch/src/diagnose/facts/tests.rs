//! Tests of what follows from facts.

use super::example::{exhausted, healthy, row};
use super::{Facts, PortRange, Settings};
use crate::event::SocketState;

#[test]
fn a_socket_that_leaves_the_whole_range_has_not_narrowed_it() {
    let left = |low, high| Facts { own_range: Some(PortRange { low, high }), ..healthy() }.narrowed();
    assert_eq!(left(40000, 0), Some(PortRange { low: 40000, high: 60999 }));
    assert_eq!((left(1000, 65000), left(0, 0)), (None, None));
}

#[test]
fn whether_time_wait_is_taken_over_follows_from_settings_and_addresses() {
    let cases = [
        ("off", Some(0), Some(true), "10.0.0.2:80", Some(false)),
        ("everywhere", Some(1), Some(true), "10.0.0.2:80", Some(true)),
        ("loopback only, elsewhere", Some(2), Some(true), "10.0.0.2:80", Some(false)),
        ("loopback only, there", Some(2), Some(true), "127.0.0.1:80", Some(true)),
        ("loopback only, IPv6", Some(2), Some(true), "[::1]:80", Some(true)),
        ("no timestamps", Some(1), Some(false), "127.0.0.1:80", Some(false)),
        ("setting not known", None, Some(true), "127.0.0.1:80", None),
        ("timestamps not known", Some(1), None, "127.0.0.1:80", None),
    ];
    for (what, tcp_tw_reuse, tcp_timestamps, destination, expected) in cases {
        let settings = Settings { tcp_tw_reuse, tcp_timestamps, ..Settings::default() };
        let destination = Some(destination.parse().unwrap());
        let facts = Facts { settings, destination, ..healthy() };
        assert_eq!(facts.reuses_time_wait(), expected, "{what}");
    }
}

#[test]
fn a_shortage_is_near_at_four_fifths() {
    let with = |used| Facts { row: Some(row(&[(SocketState::Established, used)])), ..healthy() };
    assert!(!with(22_585).is_short());
    assert!(with(22_586).is_short());
    assert!(exhausted(&[]).is_short());
}

#[test]
fn reserved_ports_and_listeners_are_counted_where_they_matter() {
    let reserved = vec![PortRange { low: 32000, high: 33000 }];
    let facts =
        Facts { reserved: Some(reserved), listeners: Some(vec![50000, 32900, 22, 40000]), ..healthy() };
    assert_eq!(facts.reserved_within(facts.range.unwrap()), Some(233));
    assert_eq!(facts.unreserved_listeners(), Some(vec![22, 40000, 50000]));
    assert_eq!(facts.listeners_inside(), Some(2));
}
