//! Tests of advice: what it says here, and that it is silent without its facts.

use super::{
    Advice, How, Standing, bind_without_port, everything_is_local, ipv6_source, more_addresses,
    reuse_connections, take_over_time_wait, widen,
};
use crate::diagnose::facts::example::{exhausted, healthy, row};
use crate::diagnose::{Cause, Facts};
use crate::event::{Occupancy, PortRange, Protocol, Settings, SocketState, Tgid, TimeWait};

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
fn a_range_is_widened_and_listeners_in_it_are_reserved_first() {
    let with = |listeners: &[u16], reserved: &[(u16, u16)]| {
        let reserved = reserved.iter().map(|(low, high)| PortRange { low: *low, high: *high }).collect();
        text(widen(&Facts { listeners: Some(listeners.to_vec()), reserved: Some(reserved), ..full() }))
    };
    let range = "net.ipv4.ip_local_port_range=\"10000 65535\" | ";
    let reserve = "helps: sysctl -w net.ipv4.ip_local_reserved_ports=";
    let cases = [
        ("nobody is near", with(&[22], &[]), format!("helps: sysctl -w {range}27,304 more ports")),
        (
            "one just below",
            with(&[32_700], &[]),
            format!("{reserve}\"32700\" {range}27,303 more ports for each source and destination, without 1 of listeners"),
        ),
        (
            "on both sides, in and far below the range",
            with(&[22, 32_000, 32_001, 32_002, 40_000, 61_000], &[]),
            format!("{reserve}\"32000-32002,40000,61000\" {range}27,300 more ports"),
        ),
        (
            "what is reserved stays so",
            with(&[8000, 32_700, 32_766], &[(8080, 8080), (32_701, 32_765)]),
            format!(
                "{reserve}\"8080,32700-32766\" {range}27,237 more ports for each source and destination, \
                 without 65 reserved ones and 2 of listeners"
            ),
        ),
        (
            "one that is reserved already",
            with(&[15_000], &[(15_000, 15_000)]),
            format!("helps: sysctl -w {range}27,303 more ports for each source"),
        ),
        ("reserved ones bring nothing", with(&[], &[(20_000, 20_999)]), "without 1,000 reserved ones".to_owned()),
        (
            "what 1024 would take",
            with(&[3306, 5432, 15_000], &[]),
            "not 1024-65535, which would take what is listened on now: 3306, 5432".to_owned(),
        ),
        (
            "there are services everywhere",
            with(&[vec![31_999], (10_000..31_500).collect(), (61_000..=65_535).collect()].concat(), &[]),
            "not here: only 1,267 ports could be added to 32768-60999 without those of listeners: 10000, 10001, \
             10002, 10003, 10004 and 26032 more"
                .to_owned(),
        ),
    ];
    for (what, said, expected) in cases {
        assert!(said.contains(&expected), "{what}: {said}");
    }
    assert_eq!(text(widen(&Facts { listeners: None, ..full() })), "silent");
    assert_eq!(text(widen(&Facts { reserved: None, ..full() })), "silent");
}

#[test]
fn a_range_is_not_widened_to_where_the_kernel_refuses_it() {
    let with = |start, low, high| {
        let settings = Settings { ip_unprivileged_port_start: start, ..full().settings };
        text(widen(&Facts { settings, range: Some(PortRange { low, high }), ..full() }))
    };
    for (start, low, high, expected) in [
        (None, 32_768, 60_999, "=\"10000 65535\""),
        (Some(1024), 32_768, 60_999, "=\"10000 65535\""),
        (Some(20_000), 32_768, 60_999, "=\"20000 65535\""),
        (Some(20_001), 32_768, 60_999, "=\"20002 65535\""),
        (Some(60_999), 60_999, 60_999, "=\"60999 65534\""),
        (Some(0), 5_000, 20_000, "=\"5000 65535\""),
    ] {
        let said = with(start, low, high);
        assert!(said.contains(expected), "{start:?}, {low}-{high}: {said}");
    }
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
        (
            "nobody is",
            there.clone(),
            "inside of network namespace 4026531840 (`lsns -t net` names a process there, for nsenter): sysctl -w ",
        ),
        ("nor which it is", Facts { netns: None, ..there.clone() }, "inside of its network namespace (`lsns"),
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
fn a_setting_that_the_sockets_disprove_is_not_said_to_work() {
    // Of 28,232 this many began to wait in the last ten seconds.
    let with = |young, delay, cause, value, destination: &str| {
        let settings = Settings {
            tcp_tw_reuse: Some(value),
            tcp_tw_reuse_delay_ms: delay,
            tcp_timestamps: Some(true),
            ..Settings::default()
        };
        let mut facts = Facts { settings, cause, destination: Some(destination.parse().unwrap()), ..full() };
        facts.row.as_mut().unwrap().time_wait = Some(TimeWait { last_10_s: young, over_in_s: 60 });
        facts
    };
    let short = Some(Cause::RangeExhausted);
    let (far, near) = ("10.0.0.2:80", "127.0.0.1:80");
    let disproved = "28,000 of the ports have been in TIME_WAIT for 10 s or longer";
    for (what, facts, expected) in [
        ("old ones", with(232, None, short, 1, far), disproved),
        ("old ones on loopback", with(232, Some(5_000), short, 2, near), disproved),
        (
            "young ones",
            with(20_000, None, short, 1, far),
            "it is 1 already: a port comes back after 1000 ms if",
        ),
        (
            "a long delay",
            with(232, Some(30_000), short, 1, far),
            "it is 1 already: a port comes back after 30000 ms if",
        ),
        (
            "nobody asked for them",
            with(232, None, None, 1, far),
            "it is 1 already: a port comes back after 1000 ms if",
        ),
    ] {
        let said = text(take_over_time_wait(&facts));
        assert!(said.contains(expected), "{what}: {said}");
    }
    // They carry no more than without it.
    let slow = with(232, None, short, 1, far);
    assert!(text(Some(reuse_connections(&slow))).contains("must stay below 470 connects/s"));
    let sentence = &crate::diagnose::verdict(&slow)[0].evidence.sentence;
    assert!(
        sentence.contains("470 connects/s are the most") && sentence.contains("although tcp_tw_reuse"),
        "{sentence}"
    );
}

#[test]
fn reuse_and_addresses_say_how_much_is_needed() {
    let busy = Facts { ends_per_minute: Some(60_000), failures_per_minute: Some(120_000), ..full() };
    assert!(
        text(Some(reuse_connections(&busy)))
            .contains("the ports can carry 470 of the 1,000 connects/s that end now: 529 must be saved")
    );
    assert!(text(Some(reuse_connections(&full()))).contains("must stay below 470 connects/s"));
    assert!(text(more_addresses(&busy)).contains("1,000 connects/s need 3 in all"));
    // A client that tries again and again.
    let retries = Facts { ends_per_minute: Some(27_900), ..busy.clone() };
    let said = text(Some(reuse_connections(&retries)));
    assert!(
        said.contains(
            "below 470 connects/s; 465 end and 2,000 fail now: at most 1,994 must be saved, fewer if"
        ),
        "{said}"
    );
    assert!(!text(more_addresses(&retries)).contains("in all"));
    let unknown = Facts { range: None, row: None, ..healthy() };
    assert!(text(Some(reuse_connections(&unknown))).contains("a port less in TIME_WAIT"));
    assert_eq!(text(more_addresses(&unknown)), "silent");
    let settings = Settings { tcp_tw_reuse: Some(1), ..busy.settings };
    let mut reused = Facts { settings, ..busy.clone() };
    reused.row.as_mut().unwrap().time_wait = Some(TimeWait { last_10_s: 28_232, over_in_s: 60 });
    assert!(!text(more_addresses(&reused)).contains("connects/s"), "TIME_WAIT does not limit the rate then");
    assert!(!text(Some(reuse_connections(&reused))).contains("connects/s"));
    let local = Facts { destination: Some("127.0.0.1:80".parse().unwrap()), ..busy };
    assert!(text(more_addresses(&local)).contains("127.0.0.2"));
}

#[test]
fn few_ports_carry_less_than_one_connection_a_second() {
    let few = |usable| {
        let row = row(&[(SocketState::TimeWait, usable)]);
        Facts { row: Some(Occupancy { usable, ..row }), ends_per_minute: Some(90), ..full() }
    };
    assert!(text(Some(reuse_connections(&few(5)))).contains("carry 0.1 of the 1.5 connects/s"));
    assert!(
        text(more_addresses(&few(5)))
            .contains("brings 5 ports, 0.1 connects/s; 1.5 connects/s need 18 in all")
    );
    assert!(text(take_over_time_wait(&few(100))).contains("at most 100 connects/s instead of 1.7"));
    assert!(text(take_over_time_wait(&few(5))).contains("at most 5.0 connects/s instead of 0.1"));
}

#[test]
fn without_an_ipv6_address_one_is_told_how_to_get_one() {
    let with = |destination: &str, ipv6_disabled| {
        let facts = Facts {
            cause: Some(Cause::NoSourceAddress),
            destination: Some(destination.parse().unwrap()),
            settings: Settings { ipv6_disabled, ..Settings::default() },
            ..healthy()
        };
        ipv6_source(&facts).into_iter().map(|advice| text(Some(advice))).collect::<Vec<_>>().join("\n")
    };
    let (enable_lo, enable) =
        ("sysctl -w net.ipv6.conf.lo.disable_ipv6=0", "sysctl -w net.ipv6.conf.all.disable_ipv6=0");
    let (up, assign, other) = ("ip link set lo up", "ip -6 addr", "IPv4");
    let (near, far) = ("[::1]:8080", "[2001:db8::1]:443");
    let cases = [
        (near, Some(true), vec![enable_lo, "127.0.0.1"], vec![up, assign, "| if "]),
        (near, Some(false), vec![up, "127.0.0.1", "| if lo is down"], vec![enable_lo, assign]),
        (
            near,
            None,
            vec![enable_lo, up, "127.0.0.1", "| if IPv6 is off on lo", "| if lo is down"],
            vec![assign],
        ),
        (far, Some(true), vec![enable, other], vec![up, assign, "| if "]),
        (far, Some(false), vec![assign, other], vec![up, enable, "| if "]),
        (
            far,
            None,
            vec![assign, enable, other, "| if IPv6 is on there", "| if IPv6 is off on the way"],
            vec![up],
        ),
    ];
    for (destination, disabled, there, absent) in cases {
        let said = with(destination, disabled);
        assert!(there.iter().all(|words| said.contains(words)), "{destination} {disabled:?}: {said}");
        assert!(!absent.iter().any(|words| said.contains(words)), "{destination} {disabled:?}: {said}");
    }
    let elsewhere = Facts {
        cause: Some(Cause::NoSourceAddress),
        destination: Some(near.parse().unwrap()),
        namespace_is_hosts: Some(false),
        namespace_is_own: false,
        inside: Some(Tgid(7)),
        ..healthy()
    };
    assert!(
        text(ipv6_source(&elsewhere).into_iter().next())
            .starts_with("helps: nsenter -t 7 -n ip link set lo up")
    );
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
