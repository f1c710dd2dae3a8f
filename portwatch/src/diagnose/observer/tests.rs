//! Streams made up, and what is said of them.

use super::{MAX_TROUBLES, Observer, Opinion, Pressure, Verdict};
use crate::diagnose::Cause;
use crate::diagnose::facts::example::{failure, row, snapshot};
use crate::event::{BootNs, Call, Errno, Failure, Item, Occupancy, SocketState, Stage};

const OPEN: SocketState = SocketState::Established;

fn verdicts(opinions: Vec<Opinion>) -> Vec<Verdict> {
    let verdict = |opinion| if let Opinion::Verdict(verdict) = opinion { Some(verdict) } else { None };
    opinions.into_iter().filter_map(verdict).collect()
}

fn look(observer: &mut Observer, second: u64, rows: Vec<Occupancy>) -> Vec<Opinion> {
    observer.see(&Item::Ports(snapshot(BootNs(second * 1_000_000_000), rows)))
}

/// Warnings and recoveries, by the second, of a row with so many open connections.
fn warned(permille: u32, used: &[u32]) -> Vec<(usize, bool)> {
    let mut observer = Observer::new(Some(permille));
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
fn a_bind_is_explained_by_the_row_of_its_address() {
    let mut fault = failure().fault;
    (fault.call, fault.stage, fault.errno) = (Call::Bind, Stage::Bind, Errno::EADDRINUSE);
    fault.address = ([10, 0, 0, 1], 0).into();
    let mut observer = Observer::default();
    observer.see(&Item::Failure(Failure { fault, ..failure() }));
    let bind = Occupancy { destination: None, ..row(&[(OPEN, 28_232)]) };
    let all = verdicts(look(&mut observer, 1, vec![bind]));
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
    let slowly = [22_400, 22_500, 22_600, 22_500, 22_600, 20_000, 22_700, 19_000, 18_900];
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

#[test]
fn without_a_threshold_nobody_is_warned() {
    let mut observer = Observer::new(None);
    let opinions = look(&mut observer, 1, vec![row(&[(OPEN, 28_232)])]);
    assert!(!opinions.iter().any(|opinion| matches!(opinion, Opinion::Pressure(_))));
    assert!(!observer.has_warned());
}

#[test]
fn a_row_that_is_gone_has_recovered() {
    let mut observer = Observer::new(Some(800));
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
    assert_eq!(observer.troubles.len(), MAX_TROUBLES);
}
