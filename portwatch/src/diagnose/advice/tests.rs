//! Tests of advice: what it says here, and that it is silent without its facts.

use super::{
    Advice, How, Standing, bind_without_port, everything_is_local, more_addresses, reuse_connections,
    take_over_time_wait, widen,
};
use crate::diagnose::Facts;
use crate::diagnose::facts::example::{exhausted, healthy};
use crate::event::{PortRange, Protocol, SocketState};
use crate::event::{Settings, Tgid};

/// The whole advice as text.
fn text(advice: Option<Advice>) -> String {
    match advice.map(|advice| advice.standing) {
        None => "silent".to_owned(),
        Some(Standing::Helps { how, gain, cost }) => {
            let how = match how {
                How::Command(how) | How::Arrangement(how) => how,
                How::Code(how) => how.to_owned(),
            };
            format!("helps: {how} | {gain} | {}", cost.unwrap_or_default())
        }
        Some(Standing::NotHere { why }) => format!("not here: {why}"),
        Some(Standing::Harms { why }) => format!("harms: {why}"),
    }
}

fn full() -> Facts {
    exhausted(&[(SocketState::TimeWait, 28_232)])
}

#[test]
fn a_range_is_widened_up_to_the_next_listeners() {
    let with = |listeners: &[u16], reserved: &[(u16, u16)]| {
        let reserved = reserved.iter().map(|(low, high)| PortRange { low: *low, high: *high }).collect();
        text(widen(&Facts { listeners: Some(listeners.to_vec()), reserved: Some(reserved), ..full() }))
    };
    let cases = [
        ("nobody is near", with(&[22], &[]), "=\"10000 65535\" | 27,304 more ports"),
        ("one below", with(&[15_000], &[]), "=\"15002 65535\" | 22,302 more ports"),
        (
            "one below that is reserved",
            with(&[15_000], &[(15_000, 15_000)]),
            "27,303 more ports for each source",
        ),
        ("reserved ones bring nothing", with(&[], &[(20_000, 20_999)]), "without 1,000 reserved ones"),
        (
            "what 1024 would take",
            with(&[3306, 5432], &[]),
            "not 1024-65535, which would take what is listened on now: 3306, 5432",
        ),
        (
            "listeners on both sides",
            with(&[32_000, 61_500], &[]),
            "not here: only 1,266 ports could be added to 32768-60999 without those of listeners: 32000, 61500",
        ),
    ];
    for (what, said, expected) in cases {
        assert!(said.contains(expected), "{what}: {said}");
    }
    assert_eq!(text(widen(&Facts { listeners: None, ..full() })), "silent");
    assert_eq!(text(widen(&Facts { reserved: None, ..full() })), "silent");
}

#[test]
fn a_namespace_of_its_own_is_entered_before_it_is_set() {
    let there = Facts { namespace_is_hosts: Some(false), namespace_is_own: false, ..full() };
    let cases = [
        (
            "somebody is known to be in it",
            Facts { inside: Some(Tgid(7)), ..there.clone() },
            "nsenter -t 7 -n sysctl -w ",
        ),
        ("nobody is", there.clone(), "nsenter -t PID -n sysctl -w "),
        ("portwatch is", Facts { namespace_is_own: true, ..there.clone() }, "sysctl -w "),
        ("it is the host's", Facts { namespace_is_hosts: Some(true), ..there }, "sysctl -w "),
    ];
    for (what, facts, expected) in cases {
        let said = text(widen(&facts));
        assert!(said.starts_with(&format!("helps: {expected}")), "{what}: {said}");
    }
}

#[test]
fn taking_over_time_wait_is_advised_only_where_it_changes_something() {
    let with = |value, timestamps, destination: &str| {
        let settings = Settings { tcp_tw_reuse: value, tcp_timestamps: timestamps, ..Settings::default() };
        text(take_over_time_wait(&Facts {
            settings,
            source: None,
            destination: Some(destination.parse().unwrap()),
            ..full()
        }))
    };
    let cases = [
        (
            "elsewhere",
            with(Some(2), Some(true), "10.0.0.2:80"),
            "helps: sysctl -w net.ipv4.tcp_tw_reuse=1 | it is 2 now; a port comes back after 1000 ms instead of 60 s: at most 28,232 connects/s instead of 470",
        ),
        (
            "off on loopback",
            with(Some(0), Some(true), "127.0.0.1:80"),
            "helps: sysctl -w net.ipv4.tcp_tw_reuse=2",
        ),
        (
            "loopback",
            with(Some(2), Some(true), "127.0.0.1:80"),
            "not here: it is 2, which covers loopback already",
        ),
        ("on", with(Some(1), Some(true), "10.0.0.2:80"), "not here: it is 1 already"),
        (
            "no timestamps",
            with(Some(2), Some(false), "10.0.0.2:80"),
            "not here: it needs net.ipv4.tcp_timestamps, which is 0",
        ),
        ("not known", with(None, Some(true), "10.0.0.2:80"), "silent"),
        ("timestamps not known", with(Some(2), None, "10.0.0.2:80"), "silent"),
    ];
    for (what, said, expected) in cases {
        assert!(said.starts_with(expected), "{what}: {said}");
    }
}

#[test]
fn reuse_and_addresses_say_how_much_is_needed() {
    let busy = Facts { ends_per_s: Some(470), failures_per_s: Some(530), ..full() };
    assert!(text(Some(reuse_connections(&busy))).contains("it must save 530 of 1,000 connects/s: 470 is"));
    assert!(text(Some(reuse_connections(&full()))).contains("must stay below 470 connects/s"));
    assert!(text(more_addresses(&busy)).contains("1,000 connects/s need 3 in all"));
    let unknown = Facts { range: None, row: None, ..healthy() };
    assert!(text(Some(reuse_connections(&unknown))).contains("a port less in TIME_WAIT"));
    assert_eq!(text(more_addresses(&unknown)), "silent");
    let settings = Settings { tcp_tw_reuse: Some(1), ..busy.settings };
    let reused = Facts { settings, ..busy.clone() };
    assert!(!text(more_addresses(&reused)).contains("connects/s"), "TIME_WAIT does not limit the rate then");
    assert!(!text(Some(reuse_connections(&reused))).contains("connects/s"));
    let local = Facts { destination: Some("127.0.0.1:80".parse().unwrap()), ..busy };
    assert!(text(more_addresses(&local)).contains("127.0.0.2"));
}

#[test]
fn udp_gets_no_advice_of_tcp() {
    let udp = Facts { protocol: Protocol::Udp, ..full() };
    assert!(text(bind_without_port(&udp)).starts_with("not here"));
}

#[test]
fn the_widest_range_is_named_with_whom_it_hits() {
    let listeners = Some(vec![22, 3306, 50_000]);
    assert!(
        text(everything_is_local(&Facts { listeners, ..full() }))
            .contains("1 listener outside of 32768-60999")
    );
}
