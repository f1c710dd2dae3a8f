//! Rows from what is seen, counted and summed up.

use super::{Key, MOST, Tally, Times};
use crate::event::{Fault, NetnsId, Process, State, Text};
use crate::sink::report::wall::WallNs;

fn fault() -> Fault {
    Fault::no_port(([10, 0, 0, 2], 443))
}

fn key(tgid: u32) -> (Key, Process) {
    let process = Process::with_id(tgid);
    (Key::of(0, &process, NetnsId(1), &fault()), process)
}

fn times(count: u64, second: i64) -> Times {
    let at = WallNs(second * 1_000_000_000);
    Times { count, first: at, last: at }
}

fn total(tally: &Tally) -> u64 {
    tally.rows().map(|entry| entry.count).sum::<u64>() + tally.others
}

#[test]
fn counts_stand_for_what_was_seen_and_a_summary_for_both() {
    let (key, process) = key(7);
    let mut tally = Tally::default();
    (0..5).for_each(|_| tally.saw(key, &process, WallNs(1)));
    tally.begin_interval();
    tally.counted(key, &process, times(100, 2));
    tally.saw(key, &process, WallNs(3));
    tally.saw(key, &process, WallNs(4));
    tally.close();
    assert_eq!(total(&tally), 102, "a session that was killed");
    tally.counted(key, &process, times(50, 5));
    tally.saw(key, &process, WallNs(6));
    tally.forget();
    tally.summed(key, &process, times(60, 5));
    assert_eq!(total(&tally), 162, "a session that ended");
    let entry = tally.rows().next().unwrap();
    assert_eq!((entry.first, entry.last), (WallNs(1), WallNs(5_000_000_000)));
}

#[test]
fn rows_that_make_room_are_counted() {
    let mut tally = Tally::default();
    let (great, great_process) = key(1);
    tally.counted(great, &great_process, times(1_000_000, 1));
    let many = u32::try_from(MOST).unwrap() * 3;
    for tgid in 2..many {
        let (key, process) = key(tgid);
        tally.counted(key, &process, times(1, 1));
    }
    tally.close();
    assert!(tally.rows().count() <= MOST);
    assert_eq!(total(&tally), 1_000_000 + u64::from(many) - 2);
    assert!(tally.rows().any(|entry| entry.key == great && entry.count == 1_000_000));
}

#[test]
fn details_are_learnt_whenever_they_are_told_and_are_bounded() {
    let (key, mut process) = key(1);
    let mut tally = Tally::default();
    tally.saw(key, &process, WallNs(1));
    let exe = Text(b"/usr/bin/java".to_vec());
    process.details = State::Alive { exe: Some(exe.clone()), cmdline: None }.into();
    tally.learn(key, &process, WallNs(2));
    tally.close();
    assert_eq!(tally.rows().next().unwrap().details.state, State::Alive { exe: Some(exe), cmdline: None });
    for tgid in 2..2000 {
        let (key, mut process) = super::tests::key(tgid);
        process.details = State::Alive { exe: Some(Text(vec![b'x'; 65_536])), cmdline: None }.into();
        tally.saw(key, &process, WallNs(1));
    }
    assert!(tally.details_bytes <= super::DETAILS_BYTES);
    tally.close();
    assert_eq!(total(&tally), 1999);
}
