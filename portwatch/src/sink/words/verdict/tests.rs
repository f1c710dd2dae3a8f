//! Opinions as a person reads them.

use std::time::Duration;

use super::{forecast, in_full, in_short, pressure};
use crate::diagnose::{
    Advice, Cause, Diagnosis, Evidence, Forecast, How, Path, Pressure, Sight, Standing, Verdict,
};
use crate::event::{BootNs, NetnsId, Tgid};
use crate::term::Paint;

const PATH: Path = Path { netns: NetnsId(4), is_udp: false, source: None, destination: None, device: 0 };

fn path() -> Path {
    Path { source: Some([10, 0, 0, 1].into()), destination: Some(([10, 0, 0, 2], 443).into()), ..PATH }
}

fn verdict() -> Verdict {
    let evidence = Evidence {
        weight_permille: 900,
        sentence: "5 of 5 ports; cu\x1b[31mrl\n (pid 7) has 5".to_owned(),
        fragment: String::new(),
    };
    let advice = |what, standing| Advice { what, standing };
    let helps = Standing::Helps {
        how: How::Command("sysctl".to_owned()),
        gain: "much".to_owned(),
        cost: Some("little".to_owned()),
    };
    let why = || "because".to_owned();
    let advice = vec![
        advice("not this", Standing::NotHere { why: why() }),
        advice("do this", helps),
        advice("never that", Standing::Harms { why: why() }),
    ];
    let diagnoses = vec![Diagnosis { rule: "a-rule", evidence, advice }];
    Verdict {
        at: BootNs(1),
        path: path(),
        cause: Some(Cause::RangeExhausted),
        process: Some(Tgid(7)),
        diagnoses,
        is_news: true,
    }
}

fn expected() -> Forecast {
    Forecast {
        used: 90,
        blocked: 90,
        usable: 100,
        growth_per_s: Some(2.0),
        ends_per_s: 0.0,
        full_in: Some(Duration::from_secs(5)),
        levels_off_at: None,
        time_wait_over_in: Some(Duration::from_secs(42)),
    }
}

#[test]
fn in_short_it_says_why_and_what_to_try_and_names_cannot_reach_the_terminal() {
    let text = in_short(&verdict(), None, "12:00:00.000", Paint::Plain);
    assert_eq!(
        text,
        "12:00:00.000 range_exhausted from 10.0.0.1 to 10.0.0.2:443 in netns 4 (last: pid 7)\n  \
         why:   5 of 5 ports; cu\\u{1b}[31mrl\\n (pid 7) has 5\n  try:   do this; more at the end\n"
    );
}

#[test]
fn in_full_it_groups_advice_by_what_it_is_worth() {
    let text = in_full(&[verdict()], |_| "noon".to_owned(), Paint::Plain);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "noon range_exhausted from 10.0.0.1 to 10.0.0.2:443 in netns 4 (last: pid 7)",
            "  5 of 5 ports; cu\\u{1b}[31mrl\\n (pid 7) has 5",
            "  what helps here",
            "    do this",
            "      how:  sysctl",
            "      gain: much",
            "      but:  little",
            "  what does not help here",
            "    not this: because",
            "  what harms, though it is often advised",
            "    never that: because",
            "",
        ]
    );
    let many = in_full(&vec![verdict(); 7], |_| "noon".to_owned(), Paint::Plain);
    assert_eq!(many.matches("range_exhausted ").count(), 5);
    assert!(many.ends_with("… and 2 more; --json has all\n"), "{many}");
}

#[test]
fn a_warning_has_its_numbers_and_what_comes_next() {
    let warning =
        Pressure { at: BootNs(1), path: path(), is_over: false, sight: Sight::Row, forecast: expected() };
    assert_eq!(
        pressure(&warning, "12:00:00.000", Paint::Plain),
        "warning: 12:00:00.000 90% of the ports from 10.0.0.1 to 10.0.0.2:443 in netns 4 are taken (90 of 100); grows by 2.0/s; \
         at this rate none is left in 5 s; those in TIME_WAIT now are gone in 42 s"
    );
    let reused =
        Forecast { used: 97, growth_per_s: None, full_in: None, time_wait_over_in: None, ..expected() };
    assert_eq!(
        pressure(&Pressure { forecast: reused, ..warning }, "12:00:00.000", Paint::Plain),
        "warning: 12:00:00.000 90% of the ports from 10.0.0.1 to 10.0.0.2:443 in netns 4 are taken (97 of 100; 7 of them, in \
         TIME_WAIT, may be taken over and do not count)"
    );
    let free = Forecast {
        used: 3,
        blocked: 3,
        growth_per_s: None,
        full_in: None,
        time_wait_over_in: None,
        ..expected()
    };
    let over = Pressure { is_over: true, forecast: free, ..warning };
    let text = pressure(&over, "12:00:00.000", Paint::Plain);
    assert!(text.starts_with("recovered: ") && text.ends_with("taken (3 of 100)"), "{text}");
    let with = |sight| pressure(&Pressure { sight, ..over }, "12:00:00.000", Paint::Plain);
    let text = with(Sight::LeftOut);
    assert!(text.starts_with("recovered: 12:00:00.000 at most 3% of the ports "), "{text}");
    assert_eq!(
        with(Sight::Gone),
        "recovered: 12:00:00.000 the ports from 10.0.0.1 to 10.0.0.2:443 in netns 4 are gone, as the namespace is"
    );
}

#[test]
fn only_rows_that_are_half_full_or_soon_will_be_are_worth_a_line() {
    let calm = Forecast { used: 10, full_in: Some(Duration::from_secs(3600)), ..expected() };
    let cases = [
        ("nearly full", expected(), true),
        ("far from it", calm, false),
        ("fast", Forecast { full_in: Some(Duration::from_secs(9)), ..calm }, true),
    ];
    for (what, of, shown) in cases {
        assert_eq!(forecast(&path(), &of).is_some(), shown, "{what}");
    }
}

#[test]
fn places_without_a_source_or_a_destination_have_words() {
    for (path, words) in [
        (PATH, "of the ports wherever a socket goes in netns 4 are"),
        (Path { is_udp: true, ..PATH }, "of the ports of UDP wherever a socket goes in netns 4 are"),
        (Path { destination: None, ..path() }, "of the ports for bind() to 10.0.0.1 in netns 4 are"),
        (Path { device: 3, ..path() }, "to 10.0.0.2:443 (interface 3) in netns 4 are"),
    ] {
        let text = pressure(
            &Pressure { at: BootNs(1), path, is_over: false, sight: Sight::Row, forecast: expected() },
            "",
            Paint::Plain,
        );
        assert!(text.contains(words), "{text}");
    }
}
