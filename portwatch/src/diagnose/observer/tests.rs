//! Streams made up, and what is said of them.

use super::{Observer, Opinion, Pressure, Sight, Verdict, Warn};
use crate::diagnose::facts::example::{failure, row, snapshot};
use crate::diagnose::trouble::Troubles;
use crate::diagnose::{Cause, Forecast};
use crate::event::{
    BootNs, Call, Destination, Errno, Failure, Item, Occupancy, Protocol, Scope, SocketState, Stage, TimeWait,
};

const OPEN: SocketState = SocketState::Established;

fn verdicts(opinions: Vec<Opinion>) -> Vec<Verdict> {
    let verdict = |opinion| if let Opinion::Verdict(verdict) = opinion { Some(verdict) } else { None };
    opinions.into_iter().filter_map(verdict).collect()
}

fn pressures(opinions: Vec<Opinion>) -> Vec<Pressure> {
    let pressure = |opinion| if let Opinion::Pressure(pressure) = opinion { Some(pressure) } else { None };
    opinions.into_iter().filter_map(pressure).collect()
}

fn look(observer: &mut Observer, second: u64, rows: Vec<Occupancy>) -> Vec<Opinion> {
    observer.see(&Item::Ports(snapshot(BootNs(second * 1_000_000_000), rows)))
}

/// Warnings and recoveries, by the second, of a row with so many open connections.
fn warned(permille: u32, used: &[u32]) -> Vec<(usize, bool)> {
    let mut observer = Observer::new(Warn::FromPermille(permille));
    let mut told = Vec::new();
    for (second, used) in used.iter().enumerate() {
        for opinion in look(&mut observer, second as u64 + 1, vec![row(&[(OPEN, *used)])]) {
            if let Opinion::Pressure(Pressure { is_over, .. }) = opinion {
                told.push((second, is_over));
            }
        }
    }
    assert_eq!(observer.has_warned(), !told.is_empty());
    told
}

#[test]
fn a_snapshot_after_a_failure_explains_it_once() {
    let mut observer = Observer::default();
    assert!(observer.see(&Item::Failure(failure())).is_empty());
    let full = || vec![row(&[(SocketState::TimeWait, 28_100), (OPEN, 132)])];
    let first = verdicts(look(&mut observer, 10, full()));
    let [verdict] = first.as_slice() else { panic!("one verdict: {first:?}") };
    assert_eq!((verdict.cause, verdict.is_news), (Some(Cause::RangeExhausted), true));
    assert_eq!(verdict.diagnoses[0].rule, "time-wait");
    let again = verdicts(look(&mut observer, 20, full()));
    assert!(!again[0].is_news);
    // Another reason is news.
    let other = verdicts(look(&mut observer, 30, vec![row(&[(OPEN, 28_232)])]));
    assert_eq!((other[0].diagnoses[0].rule, other[0].is_news), ("live-connections", true));
}

#[test]
fn a_failure_long_ago_or_elsewhere_is_not_explained_by_this_snapshot() {
    let mut observer = Observer::default();
    observer.see(&Item::Failure(failure()));
    assert!(verdicts(look(&mut observer, 100, vec![row(&[(OPEN, 40)])])).is_empty());
    let mut elsewhere = failure();
    elsewhere.netns.0 += 1;
    observer.see(&Item::Failure(elsewhere));
    assert!(verdicts(look(&mut observer, 1, vec![row(&[(OPEN, 40)])])).is_empty());
}

#[test]
fn a_shortage_that_is_over_is_explained_by_what_was_there_and_not_by_what_is_left() {
    let mut observer = Observer::default();
    observer.see(&Item::Failure(failure()));
    assert_eq!(verdicts(look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])])).len(), 1);
    for left in [vec![row(&[(OPEN, 40)])], vec![]] {
        assert_eq!(verdicts(look(&mut observer, 8, left)), []);
    }
    let still = verdicts(look(&mut observer, 9, vec![row(&[(OPEN, 28_232)])]));
    assert_eq!((still.len(), still[0].is_news), (1, false), "{still:?}");
}

#[test]
fn a_bind_is_explained_by_the_row_of_its_address() {
    let mut fault = failure().fault;
    (fault.call, fault.stage, fault.errno) = (Call::Bind, Stage::Bind, Errno::EADDRINUSE);
    fault.address = ([10, 0, 0, 1], 0).into();
    let mut observer = Observer::default();
    observer.see(&Item::Failure(Failure { fault, ..failure() }));
    let bind = Occupancy { destination: None, ..row(&[(OPEN, 28_232)]) };
    let mut snapshot = snapshot(BootNs(2_000_000_000), vec![bind]);
    snapshot.scope.bind = Some([10, 0, 0, 1].into());
    let all = verdicts(observer.see(&Item::Ports(snapshot)));
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].diagnoses[0].rule, "bind-before-connect");
    assert!(all[0].diagnoses[0].evidence.sentence.contains("java (pid 812) has 28,232"), "{all:?}");
}

#[test]
fn a_row_that_is_nearly_full_is_explained_before_anything_fails() {
    let mut observer = Observer::default();
    assert!(verdicts(look(&mut observer, 1, vec![row(&[(OPEN, 20_000)])])).is_empty());
    let near = verdicts(look(&mut observer, 2, vec![row(&[(OPEN, 27_000)])]));
    assert_eq!((near[0].cause, near[0].diagnoses[0].rule), (None, "live-connections"));
}

#[test]
fn a_warning_is_given_once_and_taken_back_when_it_is_clearly_over() {
    // 80 % of 28,232 are 22,586, 70 % are 19,762. Slowly, as a rise by much warns before.
    let slowly = [22_560, 22_570, 22_600, 22_570, 22_600, 20_000, 22_700, 19_000, 18_900];
    assert_eq!(warned(800, &slowly), [(2, false), (7, true)]);
    assert_eq!(warned(800, &[28_232, 0]), [(0, false), (1, true)]);
    assert_eq!(warned(990, &[27_000, 27_010]), []);
}

#[test]
fn who_will_be_full_within_a_minute_is_warned_before_the_threshold() {
    // 300 more a second, from 15,000 on: a minute before the end, not at 80 %, 26 s before it.
    let rising: Vec<u32> = (0..30).map(|second| 5_000 + second * 500).collect();
    let told = warned(800, &rising);
    let (second, _) = told[0];
    assert!(rising[second] >= 14_116 && rising[second] < 16_000, "{told:?}");
}

/// A look at connections to this port only.
fn limited(port: u16, second: u64, rows: Vec<Occupancy>) -> Item {
    let towards = Destination { network: None, port: Some(port) };
    let mut snapshot = snapshot(BootNs(second * 1_000_000_000), rows);
    snapshot.scope = Scope { towards: Some(towards), ..Scope::default() };
    Item::Ports(snapshot)
}

#[test]
fn a_snapshot_of_something_else_says_nothing_of_a_row() {
    let mut observer = Observer::new(Warn::FromPermille(800));
    observer.see(&Item::Failure(failure()));
    let full = || vec![row(&[(OPEN, 28_232)])];
    let warned =
        |opinions: &[Opinion]| opinions.iter().filter(|it| matches!(it, Opinion::Pressure(_))).count();
    let first = look(&mut observer, 10, full());
    assert_eq!((warned(&first), verdicts(first).len()), (1, 1));
    // To another port: neither a recovery nor another verdict, and growth is not begun anew.
    let other = observer.see(&limited(80, 11, Vec::new()));
    assert_eq!(other, []);
    let again = look(&mut observer, 12, full());
    let growth = again.iter().find_map(|opinion| match opinion {
        Opinion::Forecast { forecast, .. } => forecast.growth_per_s,
        _ => None,
    });
    assert_eq!((warned(&again), growth), (0, Some(0.0)));
    assert!(!verdicts(again)[0].is_news);
    // To this one: it is free.
    assert_eq!(warned(&observer.see(&limited(443, 13, Vec::new()))), 1);
}

/// A look with so many open connections in another row, the least full of those that are there.
fn shortened(second: u64, least_full: Option<u32>) -> Item {
    let other = |used| Occupancy { source: Some([10, 0, 0, 9].into()), ..row(&[(OPEN, used)]) };
    let rows = least_full.into_iter().map(other).collect();
    let mut shortened = snapshot(BootNs(second * 1_000_000_000), rows);
    shortened.scope.rows_left_out = 7;
    Item::Ports(shortened)
}

#[test]
fn a_row_that_was_left_out_has_recovered_if_fuller_ones_are_below_the_threshold() {
    // 70 % of 28,232 are 19,762.4.
    for (least_full, over) in [(None, None), (Some(19_763), None), (Some(19_762), Some(19_762))] {
        let mut observer = Observer::new(Warn::FromPermille(800));
        look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])]);
        let told: Vec<_> = pressures(observer.see(&shortened(2, least_full)))
            .into_iter()
            .map(|pressure| (pressure.is_over, pressure.sight, pressure.forecast.used))
            .collect();
        let expected: Vec<_> = over.map(|used| (true, Sight::LeftOut, used)).into_iter().collect();
        assert_eq!(told, expected, "{least_full:?}");
        // Once it is over, the next one is a warning again.
        let again = pressures(look(&mut observer, 3, vec![row(&[(OPEN, 28_232)])]));
        assert_eq!(again.len(), usize::from(over.is_some()), "{least_full:?}: {again:?}");
    }
}

#[test]
fn a_namespace_that_has_gone_has_recovered_if_all_were_looked_for() {
    for (all_namespaces, over) in [(true, vec![(true, Sight::Gone)]), (false, vec![])] {
        let mut observer = Observer::new(Warn::FromPermille(800));
        look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])]);
        let mut elsewhere = snapshot(BootNs(2_000_000_000), Vec::new());
        elsewhere.namespaces[0].id.0 += 1;
        elsewhere.scope.all_namespaces = all_namespaces;
        let told = |observer: &mut Observer| {
            let told = pressures(observer.see(&Item::Ports(elsewhere.clone())));
            told.iter().map(|pressure| (pressure.is_over, pressure.sight)).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut observer), over, "all were looked for: {all_namespaces}");
        assert_eq!(told(&mut observer), [], "it is said once");
    }
}

#[test]
fn warnings_that_are_remembered_are_bounded_and_the_one_seen_longest_ago_makes_room() {
    let mut observer = Observer::new(Warn::FromPermille(800));
    let full = |device: u32| Occupancy { device, ..row(&[(OPEN, 28_232)]) };
    let mut told = |second: u64, devices: std::ops::Range<u32>, covered: bool| {
        let mut looked = snapshot(BootNs(second * 1_000_000_000), devices.map(full).collect());
        // What is not asked about may be as it was.
        let port = if covered { 443 } else { 80 };
        looked.scope.towards = Some(Destination { network: None, port: Some(port) });
        pressures(observer.see(&Item::Ports(looked))).len()
    };
    assert_eq!(told(1, 0..4_096, true), 4_096);
    assert_eq!(told(2, 4_096..4_098, false), 2, "two others make room");
    assert_eq!(told(3, 4_096..4_098, false), 0);
    assert_eq!(told(4, 0..4_096, true), 2, "these are warned of again");
}

#[test]
fn a_row_beyond_those_that_are_followed_has_what_it_has() {
    let mut observer = Observer::new(Warn::FromPermille(800));
    look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])]);
    for (used, recovered) in [(20_000, None), (10_000, Some(10_000))] {
        let other = |n: u32| Occupancy { device: n + 1, ..row(&[(OPEN, used)]) };
        let rows = (0..5_000).map(other).chain([row(&[(OPEN, used)])]).collect();
        let told = pressures(look(&mut observer, 2, rows));
        let of_it = told.iter().find(|pressure| pressure.path.device == 0);
        assert_eq!(of_it.map(|pressure| pressure.forecast.used), recovered);
    }
}

#[test]
fn failures_that_no_snapshot_explains_leave_room_for_those_that_one_does() {
    let mut observer = Observer::default();
    for port in 1..2000 {
        let mut refused = failure();
        (refused.fault.stage, refused.fault.errno) = (Stage::Network, Errno(111));
        refused.fault.address.set_port(port);
        observer.see(&Item::Failure(refused));
    }
    observer.see(&Item::Failure(failure()));
    let all = verdicts(look(&mut observer, 2, vec![row(&[(OPEN, 28_232)])]));
    assert_eq!(all[0].cause, Some(Cause::RangeExhausted));
}

#[test]
fn a_udp_socket_without_an_address_is_explained_by_a_look_at_where_it_went() {
    let mut nowhere = failure();
    let fault = &mut nowhere.fault;
    (fault.protocol, fault.stage) = (Protocol::Udp, Stage::SocketLayer);
    fault.address = "[::1]:53".parse().unwrap();
    let mut observer = Observer::default();
    observer.see(&Item::Failure(nowhere));
    let all = verdicts(observer.see(&limited(53, 2, Vec::new())));
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].diagnoses[0].rule, "no-ipv6-source");
}

#[test]
fn a_bind_to_another_address_or_to_a_port_that_is_taken_is_explained_by_any_look_at_its_namespace() {
    let bind = |errno, address: &str, protocol| {
        let mut fault = failure().fault;
        (fault.call, fault.stage, fault.errno, fault.protocol) = (Call::Bind, Stage::Bind, errno, protocol);
        fault.address = address.parse().unwrap();
        Item::Failure(Failure { fault, ..failure() })
    };
    let cases = [
        (bind(Errno::EADDRNOTAVAIL, "192.0.2.7:0", Protocol::Tcp), "foreign-address", "192.0.2.7"),
        (bind(Errno::EADDRNOTAVAIL, "192.0.2.8:53", Protocol::Udp), "foreign-address", "192.0.2.8"),
        (bind(Errno::EADDRINUSE, "10.0.0.1:5432", Protocol::Tcp), "port-clash", "10.0.0.1"),
        (bind(Errno::EADDRINUSE, "0.0.0.0:53", Protocol::Udp), "port-clash", "0.0.0.0"),
    ];
    let mut observer = Observer::default();
    for (failure, ..) in &cases {
        observer.see(failure);
    }
    let all = verdicts(observer.see(&limited(80, 2, Vec::new())));
    assert_eq!(all.len(), cases.len(), "{all:?}");
    for (_, rule, address) in &cases {
        let of = |verdict: &&Verdict| verdict.path.source == Some(address.parse().unwrap());
        let rules = |verdict: &Verdict| verdict.diagnoses.iter().map(|each| each.rule).collect::<Vec<_>>();
        assert_eq!(all.iter().find(of).map(rules), Some(vec![*rule]), "{address}");
    }
}

#[test]
fn ports_that_come_back_before_one_looks_are_told_as_that() {
    let mut observer = Observer::default();
    observer.see(&Item::Failure(failure()));
    let all = verdicts(look(&mut observer, 2, vec![row(&[(OPEN, 12)])]));
    assert_eq!(all[0].diagnoses[0].rule, "unseen-holders");
}

#[test]
fn calls_that_fail_are_told_beside_what_ends() {
    let mut observer = Observer::default();
    for tenth in 0..50 {
        observer
            .see(&Item::Failure(Failure { at: BootNs(1_000_000_000 + tenth * 100_000_000), ..failure() }));
    }
    let all = verdicts(look(&mut observer, 6, vec![row(&[(SocketState::TimeWait, 28_232)])]));
    let sentence = &all[0].diagnoses[0].evidence.sentence;
    assert!(sentence.contains("470 connections end in a second, and at least 10 calls fail"), "{sentence}");
}

/// Ten minutes of a client that opens and closes connections, and keeps so many more open each second: warnings and
/// recoveries, with this value of `tcp_tw_reuse`.
fn minutes(ends_per_s: u32, leaks_per_s: u32, tcp_tw_reuse: u8) -> Vec<Pressure> {
    let mut observer = Observer::new(Warn::FromPermille(800));
    let mut told = Vec::new();
    for second in (2..600).step_by(2) {
        let passed = u32::try_from(second).unwrap();
        // How many are open at a time is chance.
        let open = (leaks_per_s * passed + u32::try_from(second * 7919 % 11).unwrap()).min(28_232);
        let waiting = (ends_per_s * passed.min(60)).min(28_232 - open);
        let mut row = row(&[(SocketState::TimeWait, waiting), (OPEN, open)]);
        row.time_wait =
            (waiting > 0).then_some(TimeWait { last_10_s: waiting.min(ends_per_s * 10), over_in_s: 60 });
        let mut looked = snapshot(BootNs(second * 1_000_000_000), vec![row]);
        looked.namespaces[0].settings.tcp_tw_reuse = Some(tcp_tw_reuse);
        told.extend(pressures(observer.see(&Item::Ports(looked))));
    }
    told
}

fn ten_minutes(ends_per_s: u32) -> usize {
    minutes(ends_per_s, 0, 0).len()
}

#[test]
fn a_load_that_levels_off_below_the_threshold_is_no_reason_to_warn() {
    // 470 are the capacity.
    for ends_per_s in [235, 260, 300, 360] {
        assert_eq!(ten_minutes(ends_per_s), 0, "{ends_per_s}/s");
    }
    assert_eq!(ten_minutes(400), 1);
    assert_eq!(ten_minutes(600), 1);
}

#[test]
fn ports_in_time_wait_that_are_taken_over_are_no_reason_to_warn_and_open_connections_are() {
    // 424 a second keep nine tenths of the ports in TIME_WAIT.
    let cases = [
        ("not taken over", 424, 0, 0, true),
        ("taken over", 424, 0, 1, false),
        ("taken over, all of them", 2_000, 0, 1, false),
        ("loopback only, and this is not", 424, 0, 2, true),
        ("taken over, beside a leak", 300, 60, 1, true),
        ("nothing but a leak", 0, 60, 1, true),
    ];
    for (what, ends_per_s, leaks_per_s, tcp_tw_reuse, warned) in cases {
        let told = minutes(ends_per_s, leaks_per_s, tcp_tw_reuse);
        assert_eq!(
            told.iter().filter(|pressure| !pressure.is_over).count(),
            usize::from(warned),
            "{what}: {told:?}"
        );
    }
    // What is taken over counts neither at the threshold nor as growth: 60 a second are a minute and a half.
    let Forecast { used, blocked, full_in, .. } = minutes(300, 60, 1)[0].forecast;
    assert!((22_586..22_900).contains(&blocked) && used > blocked + 5_000, "{blocked} of {used}");
    assert!(full_in.is_some_and(|time| (80..100).contains(&time.as_secs())), "{full_in:?}");
}

#[test]
fn a_row_that_time_wait_fills_gets_no_verdict_where_it_is_taken_over() {
    for (tcp_tw_reuse, rules) in [(0, vec!["time-wait"]), (1, vec![])] {
        let mut looked = snapshot(BootNs(1), vec![row(&[(SocketState::TimeWait, 27_000), (OPEN, 30)])]);
        looked.namespaces[0].settings.tcp_tw_reuse = Some(tcp_tw_reuse);
        let told = verdicts(Observer::default().see(&Item::Ports(looked)));
        let told: Vec<_> = told.iter().flat_map(|it| &it.diagnoses).map(|diagnosis| diagnosis.rule).collect();
        assert_eq!(told, rules, "tcp_tw_reuse is {tcp_tw_reuse}");
    }
}

#[test]
fn without_a_threshold_nobody_is_warned() {
    let mut observer = Observer::new(Warn::Never);
    let opinions = look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])]);
    assert!(!opinions.iter().any(|opinion| matches!(opinion, Opinion::Pressure(_))));
    assert!(!observer.has_warned());
}

#[test]
fn a_row_that_is_gone_has_recovered() {
    let mut observer = Observer::new(Warn::FromPermille(800));
    look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])]);
    let opinions = look(&mut observer, 2, Vec::new());
    let [Opinion::Pressure(pressure)] = opinions.as_slice() else { panic!("{opinions:?}") };
    assert_eq!((pressure.is_over, pressure.forecast.used, pressure.forecast.usable), (true, 0, 28_232));
}

#[test]
fn however_many_kinds_of_failures_there_are_memory_is_bounded() {
    let mut observer = Observer::default();
    for port in 1..2000 {
        let mut failure = failure();
        failure.fault.address.set_port(port);
        observer.see(&Item::Failure(failure));
    }
    let snapshot = snapshot(BootNs(1_000_000_000), Vec::new());
    assert_eq!(observer.troubles.within(&snapshot).count(), Troubles::MAX);
}
