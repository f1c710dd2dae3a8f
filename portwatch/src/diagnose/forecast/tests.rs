//! Hosts that fill up, and hosts that look as if they did.

use std::time::Duration;

use super::{Forecast, History, MAX_SAMPLES};
use crate::diagnose::facts::example::{row, snapshot};
use crate::event::{BootNs, SocketState, TimeWait};

const OPEN: SocketState = SocketState::Established;
const WAITING: SocketState = SocketState::TimeWait;

/// One look a second at a row of 28,232 ports with so many (open, in TIME_WAIT, of these in the last ten seconds).
fn looked(looks: &[(u32, u32, u32)]) -> Forecast {
    let mut history = History::default();
    let mut last = None;
    for (second, (open, waiting, last_10_s)) in (1..).zip(looks) {
        let mut row = row(&[(WAITING, *waiting), (OPEN, *open)]);
        row.time_wait = (*waiting > 0).then_some(TimeWait { last_10_s: *last_10_s, over_in_s: 60 });
        last = Some(history.forecasts(&snapshot(BootNs(second * 1_000_000_000), vec![row]))[0].1);
    }
    last.unwrap()
}

#[test]
fn the_first_look_tells_no_growth() {
    let forecast = looked(&[(100, 0, 0)]);
    assert_eq!((forecast.growth_per_s, forecast.full_in, forecast.time_wait_over_in), (None, None, None));
    assert_eq!((forecast.used, forecast.usable), (100, 28_232));
}

#[test]
fn what_grows_without_end_is_full_at_a_time_that_can_be_told() {
    // A leak: 200 connections a second that stay.
    let looks: Vec<_> = (0..20).map(|second| (10_000 + second * 200, 0, 0)).collect();
    let forecast = looked(&looks);
    assert_eq!(forecast.growth_per_s, Some(200.0));
    assert_eq!(forecast.full_in, Some(Duration::from_secs_f64(f64::from(28_232 - 13_800) / 200.0)));
    assert_eq!(forecast.levels_off_at, None);
}

#[test]
fn short_connections_level_off_where_as_many_leave_time_wait_as_enter_it() {
    // 300 a second end, for 20 s: 18,000 ports in the end.
    let looks: Vec<_> = (0..20).map(|second| (50, second * 300, 3000)).collect();
    let forecast = looked(&looks);
    assert_eq!((forecast.full_in, forecast.levels_off_at), (None, Some(18_050)));
    assert_eq!(forecast.time_wait_over_in, Some(Duration::from_secs(60)));
    // 600 a second would need 36,000.
    let looks: Vec<_> = (0..20).map(|second| (50, second * 600, 6000)).collect();
    let forecast = looked(&looks);
    assert_eq!(forecast.levels_off_at, None);
    assert_eq!(forecast.full_in, Some(Duration::from_secs_f64(f64::from(28_232 - 11_450) / 600.0)));
}

#[test]
fn only_the_last_seconds_count() {
    let looks: Vec<_> =
        (0..40).map(|second| (if second < 20 { second * 500 } else { 10_000 }, 0, 0)).collect();
    let forecast = looked(&looks);
    assert_eq!((forecast.growth_per_s, forecast.full_in), (Some(0.0), None));
    let shrinking = looked(&[(500, 0, 0), (400, 0, 0)]);
    assert_eq!((shrinking.growth_per_s, shrinking.full_in), (Some(-100.0), None));
}

#[test]
fn what_is_full_is_full_now() {
    assert_eq!(looked(&[(28_232, 0, 0)]).full_in, Some(Duration::ZERO));
}

#[test]
fn memory_is_bounded_however_often_one_looks_and_rows_that_are_gone_are_forgotten() {
    let mut history = History::default();
    for look in 0..1000 {
        let row = row(&[(OPEN, 5)]);
        history.forecasts(&snapshot(BootNs(look), vec![row]));
    }
    assert_eq!(history.0.values().map(std::collections::VecDeque::len).collect::<Vec<_>>(), [MAX_SAMPLES]);
    history.forecasts(&snapshot(BootNs(2000), Vec::new()));
    assert!(history.0.is_empty());
}
