//! Each rule on its case, on what looks like it, and without its facts.

use super::{RULES, Rule};
use crate::diagnose::cause::Cause;
use crate::diagnose::facts::Facts;
use crate::diagnose::facts::example::{exhausted, exhausted_range, healthy, holding, row};
use crate::diagnose::{Standing, verdict};
use crate::event::{
    BootNs, Holder, Holding, Occupancy, PortRange, Protocol, Settings, SocketState, TimeWait,
};

/// Younger than any delay.
const YOUNG: TimeWait = TimeWait { last_10_s: 28_232, over_in_s: 60 };

fn started(mut holding: Holding, at: u64) -> Holding {
    if let Holder::Process(process) = &mut holding.holder {
        process.start = BootNs(at);
    }
    holding
}

fn rule(name: &str) -> &'static Rule {
    RULES.iter().find(|rule| rule.name == name).expect("no such rule")
}

fn says(name: &str, facts: &Facts) -> String {
    (rule(name).check)(facts).map_or_else(|| "silent".to_owned(), |evidence| evidence.sentence)
}

#[test]
fn each_rule_speaks_first_on_its_own_example() {
    for rule in &RULES {
        let diagnoses = verdict(&(rule.example)());
        let rules: Vec<_> = diagnoses.iter().map(|diagnosis| diagnosis.rule).collect();
        assert_eq!(rules.first(), Some(&rule.name), "{rules:?}");
    }
}

#[test]
fn each_rule_is_silent_on_a_healthy_host_and_where_nothing_is_known() {
    for rule in &RULES {
        assert_eq!((rule.check)(&healthy()), None, "{}", rule.name);
        let unknown = Facts { cause: (rule.example)().cause, ..Facts::new(Protocol::Tcp) };
        assert_eq!((rule.check)(&unknown), None, "{}", rule.name);
        let other = Facts { cause: Some(Cause::Unknown), ..(rule.example)() };
        assert_eq!((rule.check)(&other), None, "{}", rule.name);
    }
}

#[test]
fn each_rule_advises_something_but_where_nothing_is_known_to_help() {
    for rule in &RULES {
        let helps = (rule.advice)(&(rule.example)())
            .iter()
            .any(|advice| matches!(advice.standing, Standing::Helps { .. }));
        assert_eq!(helps, rule.name != "unseen-holders", "{}", rule.name);
    }
}

#[test]
fn each_rule_says_this_case_with_its_numbers() {
    let cases = [
        (
            "time-wait",
            "28,100 of the 28,232 ports from 10.0.0.1 to 10.0.0.2:443 are in TIME_WAIT, left by connections \
          that are over; 465 connections end in a second, and at least 120 calls fail, retries included; 470 connects/s are the most 28,232 ports can carry, as each waits 60 s",
        ),
        (
            "live-connections",
            "28,200 of the 28,232 ports from 10.0.0.1 to 10.0.0.2:443 belong to open connections, the \
          oldest for 2 h 5 min or longer: a leak, or a pool without a bound; java (pid 812) has 28,200",
        ),
        (
            "close-wait",
            "27,000 of the 28,232 ports from 10.0.0.1 to 10.0.0.2:443 are in CLOSE_WAIT: the other side has \
          closed, java (pid 812) has not;",
        ),
        ("peer-keeps-open", "20,000 of the 28,232 ports"),
        ("unanswered", "28,232 of the 28,232 ports"),
        (
            "unfinished-close",
            "26,000 of the 28,232 ports from 10.0.0.1 to 10.0.0.2:443 are in FIN_WAIT1, LAST_ACK or CLOSING: the connections",
        ),
        (
            "bind-before-connect",
            "bind() asked for any port of 10.0.0.1, and each of the 28,232 ports of 32768-60999",
        ),
        (
            "fixed-port",
            "the socket was bound to port 41000, and a connection from 10.0.0.1:41000 to 10.0.0.2:443 exists",
        ),
        ("no-ipv6-source", "no IPv6 address to send from to [::1]:8080: IPv6 is disabled"),
        ("foreign-address", "bind() asked for 192.0.2.7, which is on no interface of the network namespace"),
        (
            "port-clash",
            "bind() asked for port 5432 of 10.0.0.1, which another socket has: a service waits on it",
        ),
        ("udp-sockets", "a UDP socket found none of the 28,232 ports of 32768-60999 free"),
        ("narrow-socket", "the socket allows itself 100 of the range's 28,232 ports"),
        ("reserved-ports", "27,000 of the 28,232 ports of 32768-60999 are reserved"),
        ("foreign-binds", "27,000 of the 28,232 ports of 32768-60999 have a socket that is bound"),
        ("listeners-in-range", "services listen on 15,000 of the 28,232 ports of 32768-60999"),
        (
            "narrow-namespace",
            "the socket's network namespace has 28,232 ports (32768-60999), the host 55,536 ports",
        ),
        ("unseen-holders", "only 12 of 28,232 ports from 10.0.0.1 to 10.0.0.2:443 were seen taken"),
        ("small-range", "net.ipv4.ip_local_port_range is 40000-40999: 1,000 ports"),
    ];
    assert_eq!(cases.len(), RULES.len(), "a rule has no sentence here");
    for (name, start) in cases {
        let said = says(name, &(rule(name).example)());
        assert!(said.starts_with(start), "{name}: {said}");
    }
}

#[test]
fn time_wait_that_is_taken_over_is_no_shortage_before_one_is_felt() {
    let loopback = |tcp_tw_reuse, cause| Facts {
        cause,
        ends_per_minute: Some(27_900),
        destination: Some("127.0.0.1:8080".parse().unwrap()),
        settings: Settings { tcp_tw_reuse, ..healthy().settings },
        row: Some(Occupancy { time_wait: Some(YOUNG), ..row(&[(SocketState::TimeWait, 28_232)]) }),
        ..exhausted(&[])
    };
    assert_eq!(says("time-wait", &loopback(Some(2), None)), "silent");
    assert_eq!(says("time-wait", &loopback(None, None)), "silent");
    assert!(says("time-wait", &loopback(Some(0), None)).contains("470 connects/s are the most"));
    let failed = says("time-wait", &loopback(Some(2), Some(Cause::RangeExhausted)));
    assert!(failed.contains("tcp_tw_reuse would give them out again after 1000 ms"), "{failed}");
    assert!(failed.contains("; at least 465 connections end in a second"), "{failed}");
    let in_full = says("time-wait", &loopback(Some(0), None));
    assert!(in_full.contains("; 465 connections end in a second"), "{in_full}");
    let unknown = says("time-wait", &loopback(None, Some(Cause::RangeExhausted)));
    assert!(!unknown.contains("are the most") && !unknown.contains("tcp_tw_reuse"), "{unknown}");
}

#[test]
fn a_port_of_who_closed_first_is_not_said_to_come_back_before_time_wait_is_over() {
    let cases = [
        ("close-wait", "27,000 ports come back"),
        ("peer-keeps-open", "20,000 ports go on to TIME_WAIT, and come back 60 s later"),
        ("unfinished-close", "a port in LAST_ACK comes back; one in CLOSING goes on to 60 s of TIME_WAIT"),
    ];
    for (name, expected) in cases {
        let advice = (rule(name).advice)(&(rule(name).example)());
        let gains = advice.iter().filter_map(|advice| match &advice.standing {
            Standing::Helps { gain, .. } => Some(gain.as_str()),
            _ => None,
        });
        assert!(gains.clone().any(|gain| gain.contains(expected)), "{name}: {:?}", gains.collect::<Vec<_>>());
    }
}

#[test]
fn udp_sockets_that_have_nearly_every_port_are_told_before_one_finds_none() {
    let with = |used, cause| Facts {
        cause,
        protocol: Protocol::Udp,
        source: None,
        destination: None,
        row: Some(row(&[(SocketState::Bound, used)])),
        ..healthy()
    };
    let cases = [
        ("far from all", with(22_585, None), "silent"),
        (
            "nearly all",
            with(22_586, None),
            "UDP sockets have 22,586 of the 28,232 ports of 32768-60999: a UDP port is taken wherever its socket sends, so \
             one socket for many requests serves better than one for each; java (pid 812) has 22,586",
        ),
        ("of TCP, bound", Facts { protocol: Protocol::Tcp, ..with(28_232, None) }, "silent"),
        ("another reason", with(28_232, Some(Cause::NoSourceAddress)), "silent"),
    ];
    for (what, facts, expected) in cases {
        assert_eq!(says("udp-sockets", &facts), expected, "{what}");
        let others = verdict(&facts).into_iter().filter(|diagnosis| diagnosis.rule != "udp-sockets");
        assert_eq!(others.count(), 0, "{what}");
    }
}

#[test]
fn nobody_is_blamed_where_several_could_be() {
    let mut facts = exhausted(&[(SocketState::CloseWait, 28_000)]);
    if let Some(row) = &mut facts.row {
        row.holders =
            vec![holding("a", 1, 20_000), Holding { holder: Holder::NotFound, count: 8_000, time_wait: 0 }];
    }
    let said = says("close-wait", &facts);
    assert!(said.contains("the process here has not; a (pid 1) has 20,000;"), "{said}");
}

#[test]
fn a_leak_is_told_with_the_time_that_it_had() {
    let second = 1_000_000_000;
    let facts =
        Facts { at: Some(BootNs(7_200 * second)), ..exhausted(&[(SocketState::Established, 28_232)]) };
    let said = says("live-connections", &facts);
    assert!(said.ends_with("java (pid 812) has 28,232, and was started 1 h 59 min ago"), "{said}");
    let mut shared = facts;
    if let Some(row) = &mut shared.row {
        row.holders = vec![holding("a", 1, 20_000), started(holding("b", 2, 8_232), 3_600 * second)];
    }
    let said = says("live-connections", &shared);
    let expected =
        "a (pid 1) has 20,000, b (pid 2) has 8,232; the first of them, a (pid 1), was started 1 h 59 min ago";
    assert!(said.ends_with(expected), "{said}");
    if let Some(row) = &mut shared.row {
        let nobody = Holding { holder: Holder::NotFound, count: 20_000, time_wait: 0 };
        row.holders = vec![nobody, started(holding("b", 2, 8_232), 3_600 * second)];
    }
    let said = says("live-connections", &shared);
    let expected = "; b (pid 2) has 8,232; the first of those known, b (pid 2), was started 1 h 0 min ago";
    assert!(said.ends_with(expected), "{said}");
    if let Some(row) = &mut shared.row {
        let left = Holding { time_wait: 20_000, ..holding("a", 1, 20_000) };
        row.holders = vec![left, started(holding("b", 2, 4_000), 0), started(holding("c", 3, 4_232), 0)];
    }
    let said = says("live-connections", &shared);
    assert!(said.ends_with("; c (pid 3) has 4,232, b (pid 2) has 4,000"), "nobody's start is known: {said}");
}

#[test]
fn holders_of_other_ports_explain_nothing_to_a_socket_that_narrowed_its_range() {
    let facts = Facts {
        own_range: Some(PortRange { low: 40000, high: 40009 }),
        ..exhausted(&[(SocketState::TimeWait, 28_000)])
    };
    assert_eq!(says("time-wait", &facts), "silent");
    assert!(says("narrow-socket", &facts).contains("10 of the range's 28,232 ports"));
}

#[test]
fn a_socket_with_a_range_of_its_own_gets_a_verdict_however_wide_that_is() {
    let own = |low, high| Some(PortRange { low, high });
    let with = |own_range, states: &[(SocketState, u32)], reserved: &[PortRange]| Facts {
        own_range,
        reserved: Some(reserved.to_vec()),
        ..exhausted(states)
    };
    let (half, most, few) = (own(32_768, 46_883), own(32_768, 55_000), own(40_000, 40_099));
    let waiting = with(half, &[(SocketState::TimeWait, 14_000), (SocketState::Established, 116)], &[]);
    let open = with(most, &[(SocketState::Established, 22_233)], &[]);
    let reserved = with(few, &[], &[PortRange { low: 39_000, high: 40_099 }]);
    let partly = with(few, &[], &[PortRange { low: 40_000, high: 40_089 }]);
    let cases = [
        (
            "half of the range, in TIME_WAIT",
            waiting,
            "allows itself 14,116 of the range's 28,232 ports: IP_LOCAL_PORT_RANGE leaves 32768-46883 of 32768-60999; \
             taken of the whole range from 10.0.0.1 to 10.0.0.2:443: 14,000 in TIME_WAIT, 116 in other states; how many of \
             them are its own is not seen",
            vec!["IP_LOCAL_PORT_RANGE", "tcp_tw_reuse", "more source"],
        ),
        (
            "most of the range, open",
            open,
            "allows itself 22,233 of the range's 28,232 ports: IP_LOCAL_PORT_RANGE leaves 32768-55000 of 32768-60999; \
             taken of the whole range from 10.0.0.1 to 10.0.0.2:443: 22,233 in ESTABLISHED; at least 16,234 of them are its own",
            vec!["IP_LOCAL_PORT_RANGE", "bound the pool", "more source"],
        ),
        (
            "all are reserved",
            reserved,
            "allows itself none of the range's 28,232 ports: IP_LOCAL_PORT_RANGE leaves 40000-40099 of 32768-60999, and \
             each of these is reserved (net.ipv4.ip_local_reserved_ports)",
            vec!["IP_LOCAL_PORT_RANGE"],
        ),
        (
            "some are",
            partly,
            "allows itself 10 of the range's 28,232 ports",
            vec!["IP_LOCAL_PORT_RANGE", "more source"],
        ),
    ];
    for (what, facts, expected, remedies) in cases {
        let diagnoses = verdict(&facts);
        let first = diagnoses.first().unwrap_or_else(|| panic!("{what}: no verdict"));
        assert_eq!(first.rule, "narrow-socket", "{what}");
        assert!(first.evidence.sentence.contains(expected), "{what}: {}", first.evidence.sentence);
        let helps = first.advice.iter().filter(|advice| matches!(advice.standing, Standing::Helps { .. }));
        let helps: Vec<_> = helps.map(|advice| advice.what).collect();
        assert_eq!(helps.len(), remedies.len(), "{what}: {helps:?}");
        let is_there = |words: &&str| helps.iter().any(|advice| advice.contains(*words));
        assert!(remedies.iter().all(is_there), "{what}: {helps:?}");
    }
}

#[test]
fn a_bind_is_told_what_is_known_of_its_address_and_port() {
    let bind = |cause, protocol, address: &str| Facts {
        cause: Some(cause),
        protocol,
        source: Some(address.parse().unwrap()),
        destination: None,
        row: None,
        ..exhausted(&[])
    };
    let elsewhere = |address| bind(Cause::AddressNotLocal, Protocol::Tcp, address);
    let taken = |address| bind(Cause::PortTaken, Protocol::Tcp, address);
    let unknown = |facts| Facts { settings: Settings::default(), listeners: None, ..facts };
    let allowed = |facts: Facts| {
        let settings = Settings { ip_nonlocal_bind: Some(true), ..facts.settings };
        Facts { settings, ..facts }
    };
    let udp = bind(Cause::PortTaken, Protocol::Udp, "0.0.0.0:5353");
    let cases = [
        (elsewhere("192.0.2.7:0"), "net.ipv4.ip_nonlocal_bind is 0", 2, "net.ipv4.ip_nonlocal_bind=1"),
        (elsewhere("[2001:db8::7]:0"), "net.ipv6.ip_nonlocal_bind is 0", 2, "tentative"),
        (unknown(elsewhere("192.0.2.7:0")), "network namespace. Ports", 1, "ip addr"),
        (allowed(elsewhere("192.0.2.7:0")), "net.ipv4.ip_nonlocal_bind is 1 now", 1, "it is 1 already"),
        (taken("10.0.0.1:5432"), "a service waits on it", 1, "ss -tanp 'sport = :5432'"),
        (taken("10.0.0.1:8080"), "nobody listens there now", 2, "SO_REUSEADDR"),
        (unknown(taken("10.0.0.1:8080")), "which another socket has. Ports", 1, "ss -tanp"),
        (udp, "which another socket has. Ports", 1, "ss -uanp 'sport = :5353'"),
    ];
    for (facts, sentence, helps, advice) in cases {
        let diagnoses = verdict(&facts);
        let [diagnosis] = diagnoses.as_slice() else { panic!("one rule: {diagnoses:?}") };
        assert!(diagnosis.evidence.sentence.contains(sentence), "{}", diagnosis.evidence.sentence);
        let number =
            diagnosis.advice.iter().filter(|each| matches!(each.standing, Standing::Helps { .. })).count();
        assert_eq!(number, helps, "{:?}", diagnosis.advice);
        assert!(format!("{:?}", diagnosis.advice).contains(advice), "{:?}", diagnosis.advice);
    }
}

#[test]
fn what_was_there_is_asked_not_what_the_error_suggests() {
    let few = Facts { row: Some(row(&[(SocketState::TimeWait, 90)])), ..exhausted(&[]) };
    let rules: Vec<_> = verdict(&few).iter().map(|diagnosis| diagnosis.rule).collect();
    assert_eq!(rules, ["unseen-holders"]);
    let vanished = Facts { row: None, ..few };
    assert!(says("unseen-holders", &vanished).starts_with("only 0 of 28,232 ports"));
    let udp = Facts { cause: Some(Cause::BindRangeExhausted), protocol: Protocol::Udp, ..healthy() };
    assert_eq!(says("bind-before-connect", &udp), "silent");
    assert!(says("udp-sockets", &udp).contains("wherever its socket sends"));
    let unbound = Facts { cause: Some(Cause::TupleInUse), ..healthy() };
    assert_eq!(says("fixed-port", &unbound), "silent", "the kernel chose port 0, which no socket has");
}

#[test]
fn holders_are_called_unseen_only_where_ports_are_missing() {
    let with = |reserved: &[(u16, u16)], bound, used, high| {
        let range = PortRange { low: 32768, high };
        let reserved: Vec<_> =
            reserved.iter().map(|(low, high)| PortRange { low: *low, high: *high }).collect();
        let taken_out: u32 = reserved.iter().map(|part| part.width()).sum();
        let usable = range.width() - taken_out - bound;
        let row = (used > 0).then(|| Occupancy { usable, ..row(&[(SocketState::Established, used)]) });
        Facts {
            range: Some(range),
            reserved: Some(reserved),
            bound_by_others: Some(bound),
            row,
            ..exhausted(&[])
        }
    };
    let default = 60_999;
    let cases = [
        ("all is reserved", with(&[(32768, 60999)], 0, 0, default), None),
        ("half is reserved, half is bound", with(&[(32768, 46883)], 14_116, 0, default), None),
        ("a fifth is missing", with(&[], 22_585, 0, default), None),
        ("the kernel leaves out one of an odd number", with(&[], 0, 2, 32_770), None),
        ("the only one is missing", with(&[], 0, 0, 32_768), Some("only 0 of 1 port from")),
        ("nothing is taken", with(&[], 0, 0, default), Some("only 0 of 28,232 ports")),
        ("half is bound, half is missing", with(&[], 14_116, 16, default), Some("only 16 of 14,116 ports")),
    ];
    for (what, facts, expected) in cases {
        let said = says("unseen-holders", &facts);
        assert!(said.starts_with(expected.unwrap_or("silent")), "{what}: {said}");
    }
    let reserved = verdict(&with(&[(32768, 60999)], 0, 0, default));
    assert_eq!(reserved.iter().map(|diagnosis| diagnosis.rule).collect::<Vec<_>>(), ["reserved-ports"]);
}

#[test]
fn nobody_is_told_to_bind_otherwise_where_nobody_is_seen_to_bind() {
    let helps = |facts: &Facts| {
        let diagnoses = verdict(facts);
        let all = diagnoses.into_iter().flat_map(|diagnosis| diagnosis.advice);
        all.filter(|advice| matches!(advice.standing, Standing::Helps { .. })).count()
    };
    let burst = exhausted(&[(SocketState::Established, 12)]);
    let hidden = Facts { bound_visible: Some(false), ..burst.clone() };
    let some = Facts { bound_by_others: Some(500), ..burst.clone() };
    assert_eq!((helps(&burst), helps(&hidden), helps(&some)), (0, 0, 1));
    let said = says("unseen-holders", &hidden);
    assert!(said.contains("this kernel does not show") && said.contains("IP_BIND_ADDRESS_NO_PORT"), "{said}");
}

#[test]
fn a_narrow_namespace_is_not_a_small_range() {
    let inside = Facts {
        namespace_is_hosts: Some(false),
        hosts_range: Some(PortRange { low: 32768, high: 60999 }),
        ..exhausted_range(40_000, 40_999)
    };
    assert_eq!(says("small-range", &inside), "silent");
    assert!(says("narrow-namespace", &inside).contains("1,000 ports (40000-40999)"));
    let same = Facts { hosts_range: inside.range, ..inside };
    assert_eq!(says("narrow-namespace", &same), "silent");
    assert!(says("small-range", &same).contains("1,000 ports"));
}

#[test]
fn binds_and_udp_run_out_of_a_small_range_too() {
    for cause in [Cause::BindRangeExhausted, Cause::UdpRangeExhausted] {
        let diagnoses = verdict(&Facts { cause: Some(cause), ..exhausted_range(40_000, 40_999) });
        assert!(diagnoses.iter().any(|diagnosis| diagnosis.rule == "small-range"), "{cause:?}");
    }
    let other = Facts { cause: Some(Cause::NoSourceAddress), ..exhausted_range(40_000, 40_999) };
    assert_eq!(says("small-range", &other), "silent");
}

#[test]
fn reserved_ports_are_not_counted_among_those_in_use() {
    let with = |cause, protocol, high| Facts {
        cause: Some(cause),
        protocol,
        reserved: Some(vec![PortRange { low: 40_000, high }]),
        ..exhausted_range(40_000, 40_009)
    };
    let bind = |high| with(Cause::BindRangeExhausted, Protocol::Tcp, high);
    let udp = |high| with(Cause::UdpRangeExhausted, Protocol::Udp, high);
    let unknown = |facts| Facts { reserved: None, ..facts };
    let cases = [
        (
            "bind-before-connect",
            bind(40_007),
            "each of the 2 ports of 40000-40009 that are not reserved is in use",
        ),
        ("udp-sockets", udp(40_007), "none of the 2 ports of 40000-40009 that are not reserved free"),
        ("bind-before-connect", bind(40_009), "silent"),
        ("udp-sockets", udp(40_009), "silent"),
        ("bind-before-connect", unknown(bind(40_007)), "each of the ports of 40000-40009 is in use"),
        ("udp-sockets", unknown(udp(40_007)), "none of the ports of 40000-40009 free"),
    ];
    for (name, facts, expected) in cases {
        let said = says(name, &facts);
        assert!(said.contains(expected), "{name}: {said}");
    }
    assert_eq!(verdict(&bind(40_009))[0].rule, "reserved-ports");
}

#[test]
fn a_small_range_is_told_as_what_it_is_shared_by() {
    for (cause, expected) in [
        (Cause::RangeExhausted, "1,000 ports for each source and destination,"),
        (Cause::BindRangeExhausted, "1,000 ports for each local address,"),
        (Cause::UdpRangeExhausted, "1,000 ports for each local address,"),
    ] {
        let said = says("small-range", &Facts { cause: Some(cause), ..exhausted_range(40_000, 40_999) });
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn who_left_ports_in_time_wait_is_named_where_it_is_known() {
    let left = |pid, name, time_wait| Holding { time_wait, ..holding(name, pid, time_wait) };
    let mut facts = exhausted(&[(SocketState::TimeWait, 28_200), (SocketState::Established, 32)]);
    if let Some(row) = &mut facts.row {
        row.holders = (100..110).map(|pid| left(pid, "curl", 2_800)).collect();
        row.holders.extend([left(7, "wget", 200), holding("java", 812, 32)]);
    }
    let said = says("time-wait", &facts);
    assert!(said.contains("connections that are over; curl left 28,000, wget left 200;"), "{said}");
    // Who has the others open has no part in it.
    facts.row.as_mut().unwrap().by_state = vec![(SocketState::Established, 28_232)];
    assert!(says("live-connections", &facts).ends_with("; java (pid 812) has 32"));
}
