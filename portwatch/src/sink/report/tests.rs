//! Recordings made up, and what is told of them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::example::{
    OFFSET, counts, ending, failure, occupancy, process, row, second, snapshot, start, verdict,
};
use super::{Format, Report, SESSIONS, Window};
use crate::clock::Clock;
use crate::diagnose::{Cause, Opinion, Path, Verdict};
use crate::event::{
    BootNs, Details, End, Holder, Holding, Item, LossReason, Lost, Missing, MissingWhy, NoRoom, Process,
    SettingChange, Start, State, Summary, Suppressed, Text,
};
use crate::lines::Encoder;
use crate::sink::words::opinion;
use crate::sink::{GroupBy, Sink as _};
use crate::term::Paint;

fn told(items: &[Item]) -> Report {
    of_window(None, items)
}

fn of_window(window: Option<Window>, items: &[Item]) -> Report {
    let mut report = Report::new(window);
    items.iter().for_each(|item| report.item(item, &[]).unwrap());
    report
}

fn written(report: &mut Report, format: Format) -> String {
    let mut output = Vec::new();
    report.write(format, &mut output, Paint::Plain, &TimeZone::UTC).unwrap();
    String::from_utf8(output).unwrap()
}

fn json(report: &mut Report) -> Value {
    serde_json::from_str(&written(report, Format::Json)).unwrap()
}

fn begin() -> Item {
    Item::Start(start(b"web-1"))
}

/// A minute of failures, two a second seen and ten counted, without an end.
fn minute() -> Vec<Item> {
    let mut items = vec![begin()];
    for at in 1..=60 {
        items.extend((0..2).map(|_| failure(second(at), process(812, b"java"), 443)));
        let row = row(process(812, b"java"), 443, 10, second(1), second(at));
        items.push(counts(second(at - 1), second(at), vec![row]));
    }
    items
}

#[test]
fn rows_of_a_summary_are_those_of_the_summary_line_to_the_byte() {
    let hostile = process(9, b"\x1b[2J\xff\"\\");
    let rows = vec![
        row(process(3, b"curl"), 80, 5, second(2), second(3)),
        row(process(812, b"java"), 443, 600, second(1), second(60)),
        row(hostile, 443, 1, second(4), second(4)),
    ];
    let items = [vec![begin()], ending(rows, 6).to_vec()].concat();
    let (mut lines, mut encoder) = (Vec::new(), Encoder::default());
    items.iter().for_each(|item| encoder.item(item, &mut lines));
    let lines = String::from_utf8(lines).unwrap();
    let summary = lines.lines().find(|line| line.starts_with(r#"{"type":"summary","#)).unwrap();
    let rows = summary.strip_prefix(r#"{"type":"summary","#).unwrap().strip_suffix('}').unwrap();
    let report = written(&mut told(&items), Format::Json);
    assert!(report.contains(&format!(r#""summary":{{{rows}}}"#)), "{report}\n{rows}");
    // The same with more rows than are written at once.
    let many = (0..1000).map(|pid| row(process(pid, b"curl"), 80, 1, second(2), second(3))).collect();
    let report = json(&mut told(&[vec![begin()], ending(many, 6).to_vec()].concat()));
    let rows = report["sessions"][0]["summary"]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[999]["process"]["pid"]), (1000, &Value::from(999)));
}

#[test]
fn a_session_that_ended_is_told_by_its_end() {
    let java = row(process(812, b"java"), 443, 600, second(1), second(60));
    let mut report = told(&[minute(), ending(vec![java], 120).to_vec()].concat());
    let json = json(&mut report);
    assert_eq!(json["totals"]["failures"], 600);
    assert_eq!(json["totals"]["exact"], true);
    assert_eq!((&json["totals"]["delivered"], &json["totals"]["suppressed"]), (&120.into(), &480.into()));
    assert_eq!(json["missing"]["failures_without_time"], 0);
    let timeline = json["timeline"]["failures"].as_array().unwrap();
    assert_eq!(timeline.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 600);
    assert_eq!(json["timeline"]["destinations"][0]["count"], 600);
    let text = written(&mut report, Format::Text);
    assert!(
        text.starts_with(
            "600 calls failed on web-1 within 1 min 0 s. All failed because no local port was free for that destination; \
             all were by java (pid 812); all were to 10.0.0.2:443.\n"
        ),
        "{text}"
    );
    assert!(!text.contains("MISSING"), "{text}");
    assert!(text.contains("/usr/bin/java"), "what single failures tell of a process is told: {text}");
}

#[test]
fn a_session_that_was_killed_is_told_by_its_counts_and_what_was_seen_since() {
    let mut items = minute();
    items.extend((0..3).map(|_| failure(second(61), process(812, b"java"), 443)));
    // Late: the counts have it already.
    items.push(failure(second(60), process(812, b"java"), 443));
    items.push(Item::Suppressed(Suppressed { count: 4, from: second(60), to: second(61) }));
    items.push(Item::Missing(Missing { why: MissingWhy::CutOff, file: None, lines: 0, bytes: 0 }));
    let mut report = told(&items);
    let json = json(&mut report);
    assert_eq!(json["totals"]["failures"], 607);
    assert_eq!(json["totals"]["exact"], false);
    assert_eq!(json["destinations"]["rows"][0]["count"], 603);
    assert_eq!(json["destinations"]["others"]["count"], 4);
    assert_eq!(json["sessions"][0]["ended"], false);
    let text = written(&mut report, Format::Text);
    assert!(text.starts_with("At least 607 calls failed"), "{text}");
    assert!(text.contains("! the file ends in the middle"), "{text}");
    assert!(text.contains("has no end: its recorder was killed, or goes on"), "{text}");
}

#[test]
fn without_counts_failures_and_what_is_without_detail_are_counted() {
    let mut items = vec![begin()];
    items.extend((1..=20).map(|at| failure(second(at), process(5, b"curl"), 80)));
    let lost = |reason, count| Item::Lost(Lost { reason, count, from: second(3), to: second(4) });
    items.extend([lost(LossReason::RingFull, 7), lost(LossReason::SkippedRun, 100)]);
    let json = json(&mut told(&items));
    assert_eq!(json["totals"]["failures"], 27);
    assert_eq!(json["totals"]["lost"]["ring_full"], 7);
    assert_eq!(json["totals"]["skipped_runs"], 100);
}

#[test]
fn a_window_has_what_happened_in_it_and_says_how_exactly() {
    let at = |second: i64| Timestamp::from_second(OFFSET / 1_000_000_000 + second).unwrap();
    let java = row(process(812, b"java"), 443, 600, second(1), second(60));
    let mut items = [minute(), ending(vec![java], 120).to_vec()].concat();
    let change = SettingChange {
        at: second(5),
        key: Text(b"net.ipv4.tcp_tw_reuse".to_vec()),
        netns: super::example::NETNS,
        old: Some("2".to_owned()),
        new: "1".to_owned(),
        by: None,
    };
    items.insert(3, Item::Sysctl(change));
    let mut report = of_window(Some(Window { from: Some(at(10)), to: Some(at(20)) }), &items);
    let json = json(&mut report);
    // Of the interval that ends with the first instant the two that were seen at it.
    assert_eq!(json["totals"]["failures"], 102);
    assert_eq!(json["programs"]["rows"][0]["count"], 102);
    assert_eq!(json["settings"]["changes"], Value::Array(Vec::new()));
    assert_eq!(json["window"]["precision_ns"], 1_000_000_000);
    assert_eq!(json["first"], "2023-11-14T22:13:30.000000000Z");
    let text = written(&mut report, Format::Text);
    assert!(text.contains("from 2023-11-14 22:13:30 UTC to 2023-11-14 22:13:40 UTC"), "{text}");
    assert!(text.contains("exact to 1.0 s"), "{text}");
}

#[test]
fn what_was_counted_is_spread_over_its_interval_and_what_follows_is_not_lost() {
    let java = || process(812, b"java");
    let mut items = vec![begin()];
    items.extend((1..=3).map(|ten| {
        let row = row(java(), 443, 1000, second(5), BootNs(second(10 * ten).0 - 1));
        counts(second(10 * (ten - 1)), second(10 * ten), vec![row])
    }));
    // A fifth of it is behind the last interval.
    let (from, to) = (BootNs(29_000_000_000), BootNs(30_250_000_000));
    items.push(Item::Suppressed(Suppressed { count: 100, from, to }));
    let json = json(&mut told(&items));
    assert_eq!(json["totals"]["failures"], 3020);
    let values = json["timeline"]["failures"].as_array().unwrap();
    let expected = [vec![200; 5], vec![100; 20], vec![20]].concat();
    assert_eq!(values.iter().map(|value| value.as_u64().unwrap()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_window_has_its_part_of_an_interval_and_what_was_seen_in_it() {
    let at = |second: i64| Timestamp::from_second(OFFSET / 1_000_000_000 + second).unwrap();
    let counted = |count, last| row(process(812, b"java"), 443, count, second(10), last);
    for (what, count, last, from, to, expected) in [
        ("a half", 100, second(20), 15, 20, 50),
        ("what was seen, and last outside", 2, second(20), 10, 13, 1),
        ("one, which was last", 1, second(12), 10, 13, 1),
        ("one, outside", 1, second(18), 13, 15, 0),
        ("nothing", 50, second(20), 30, 40, 0),
    ] {
        let items = [
            begin(),
            failure(second(12), process(812, b"java"), 443),
            counts(second(10), second(20), vec![counted(count, last)]),
        ];
        let window = Window { from: Some(at(from)), to: Some(at(to)) };
        let json = json(&mut of_window(Some(window), &items));
        assert_eq!(json["totals"]["failures"], expected, "{what}");
        let rows = &json["programs"]["rows"];
        assert_eq!(rows[0]["count"].as_u64().unwrap_or(0), expected, "{what}: {rows}");
    }
}

#[test]
fn a_session_without_a_start_is_none_of_the_one_before_nor_of_the_one_that_goes_on() {
    let counted = |from, to, count| {
        counts(second(from), second(to), vec![row(process(812, b"java"), 443, count, second(to), second(to))])
    };
    let missing = |why| Item::Missing(Missing { why, file: None, lines: 0, bytes: 0 });
    let other = ending(vec![row(process(5, b"curl"), 80, 5, second(1), second(2))], 5).to_vec();
    let killed = [vec![begin(), counted(0, 10, 100), missing(MissingWhy::NoStart)], other].concat();
    let last = ending(vec![row(process(812, b"java"), 443, 130, second(10), second(20))], 0).to_vec();
    let goes_on = [killed.clone(), vec![begin(), counted(10, 20, 30)], last].concat();
    for (what, items, failures, is_exact, java) in
        [("killed", killed, 105, false, 100), ("goes on", goes_on, 135, true, 130)]
    {
        let json = json(&mut told(&items));
        assert_eq!(json["totals"]["failures"], failures, "{what}");
        assert_eq!(json["totals"]["exact"], is_exact, "{what}");
        assert_eq!(json["sessions"].as_array().unwrap().len(), 2, "{what}");
        let rows: Vec<_> = json["programs"]["rows"].as_array().unwrap().iter().collect();
        assert_eq!((&rows[0]["comm"], &rows[0]["count"]), (&"java".into(), &java.into()), "{what}");
        assert_eq!((&rows[1]["comm"], &rows[1]["count"]), (&"curl".into(), &5.into()), "{what}");
    }
}

#[test]
fn what_a_later_version_says_is_missing_is_in_the_banner() {
    let missing = |why| Item::Missing(Missing { why, file: None, lines: 3, bytes: 0 });
    let items = [
        vec![Item::Start(start(b"web-1")), missing(MissingWhy::NewerSchema(2))],
        vec![missing(MissingWhy::Other("ti\x1bred".to_owned())), missing(MissingWhy::NoStart)],
        ending(vec![], 0).to_vec(),
    ];
    let mut report = told(&items.concat());
    let text = written(&mut report, Format::Text);
    for part in [
        "newer portwatch (schema 2): what it means may have changed",
        "(ti\\u{1b}red)",
        "a session has no start",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let gaps = &json(&mut report)["missing"]["gaps"];
    assert_eq!((&gaps[0]["why"], &gaps[0]["schema"]), (&"newer_schema".into(), &2.into()));
    assert_eq!(gaps[1]["why"], "ti\x1bred");
}

#[test]
fn sessions_of_several_hosts_add_up_and_stay_apart() {
    let session = |host: &[u8], count| {
        let row = row(process(812, b"java"), 443, count, second(1), second(2));
        [vec![Item::Start(start(host))], ending(vec![row], count).to_vec()].concat()
    };
    let mut report = told(&[session(b"web-1", 5), session(b"web-2", 7), session(b"web-1", 1)].concat());
    let json = json(&mut report);
    assert_eq!(json["totals"]["failures"], 13);
    let rows: Vec<_> = json["namespaces"]["rows"].as_array().unwrap().iter().collect();
    assert_eq!((&rows[0]["host"], &rows[0]["count"]), (&"web-2".into(), &7.into()));
    assert_eq!((&rows[1]["host"], &rows[1]["count"]), (&"web-1".into(), &6.into()));
    assert_eq!(json["sessions"].as_array().unwrap().len(), 3);
    let text = written(&mut report, Format::Text);
    assert!(text.starts_with("13 calls failed on 2 hosts"), "{text}");
}

#[test]
fn more_sessions_than_are_told_apart_still_add_up() {
    let mut items = Vec::new();
    for number in 0..u32::try_from(SESSIONS).unwrap() * 2 {
        items
            .push(Item::Start(Start { at: second(number.into()), ..start(format!("h{number}").as_bytes()) }));
        items.extend(ending(vec![row(process(number, b"curl"), 80, 3, second(1), second(2))], 3));
    }
    let json = json(&mut told(&items));
    assert_eq!(json["totals"]["failures"], SESSIONS * 2 * 3);
    assert_eq!(json["sessions_left_out"], SESSIONS);
    let told: u64 =
        json["processes"]["rows"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(told + json["processes"]["others"]["count"].as_u64().unwrap(), SESSIONS as u64 * 6);
}

#[test]
fn verdicts_come_with_what_failed_there_and_in_the_fields_of_their_lines() {
    let mut report = Report::new(None);
    minute().iter().for_each(|item| report.item(item, &[]).unwrap());
    let said = verdict(443, Some(Cause::RangeExhausted));
    let opinions = [Opinion::Verdict(verdict(80, None)), Opinion::Verdict(said.clone())];
    for at in [5, 6] {
        report.item(&Item::Ports(snapshot(at, vec![occupancy(443, 28_232)])), &opinions).unwrap();
    }
    let json = json(&mut report);
    let first = &json["verdicts"][0];
    assert_eq!(
        (&first["cause"], &first["failures"], &first["said"]),
        (&"range_exhausted".into(), &600.into(), &2.into())
    );
    // It was no news when it was said last, and is told nevertheless.
    let news = Verdict { is_news: true, ..said };
    let line = opinion::line(&Opinion::Verdict(news), Clock { boot_offset_ns: OFFSET }).unwrap();
    for (name, value) in line.as_object().unwrap().iter().filter(|(name, _)| *name != "type") {
        assert_eq!(&first[name], value, "{name}");
    }
    assert_eq!(json["verdicts"][1]["failures"], 0);
    assert_eq!(json["ports"]["places"][0]["used"], 28_232);
    assert_eq!(json["ports"]["places"][0]["holders"][0]["process"]["pid"], 812);
    let text = written(&mut report, Format::Text);
    for wanted in
        ["what helps here", "widen the range", "600 failed so; seen in 2 snapshots", "held by java (pid 812)"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn nothing_is_told_of_nothing_in_every_form() {
    for format in [Format::Text, Format::Json, Format::Html] {
        let empty = written(&mut told(&[]), format);
        assert!(!empty.is_empty(), "{format:?}");
        let healthy = written(&mut told(&[vec![begin()], ending(Vec::new(), 0).to_vec()].concat()), format)
            .replace('\u{a0}', " ");
        assert!(
            format == Format::Json || healthy.contains("No call failed on web-1 within 1 min 0 s"),
            "{healthy}"
        );
    }
}

#[test]
fn items_without_a_start_are_told_and_it_is_said() {
    let mut report = told(&[failure(second(1), process(5, b"curl"), 80)]);
    let text = written(&mut report, Format::Text);
    assert!(text.contains("has no start"), "{text}");
    assert_eq!(json(&mut report)["totals"]["failures"], 1);
}

#[test]
fn that_nothing_failed_is_said_only_where_it_is_known() {
    let missing = Item::Missing(Missing { why: MissingWhy::Damaged, file: None, lines: 0, bytes: 7 });
    let ended = [vec![begin()], ending(vec![], 0).to_vec()].concat();
    let cases = [
        ("ended", ended.clone(), "No call failed on web-1"),
        ("killed", vec![begin()], "No failure is recorded on web-1"),
        ("damaged", [ended, vec![missing]].concat(), "No failure is recorded on web-1"),
    ];
    for (what, items, expected) in cases {
        let text = written(&mut told(&items), Format::Text);
        assert!(text.starts_with(expected), "{what}: {text}");
    }
}

#[test]
fn a_window_keeps_what_is_missing_and_how_long_was_watched_in_it() {
    let at = |second: i64| Timestamp::from_second(OFFSET / 1_000_000_000 + second).ok();
    let window = |from, to| Some(Window { from: at(from), to: at(to) });
    let text = |window, items: &[Item]| written(&mut of_window(window, items), Format::Text);
    let killed = text(window(50, 70), &minute());
    let said = "was killed, or goes on; what is known of it in this time ends at 2023-11-14 22:14:20 UTC";
    assert!(killed.contains(said), "{killed}");
    let before = text(window(90, 99), &minute());
    assert!(before.contains("nothing of it is in this time"), "{before}");
    let [summary, end] = ending(vec![], 0);
    let Item::End(end) = end else { panic!("{end:?}") };
    let no_room = NoRoom { details: 3, ..NoRoom::default() };
    let end = End { possibly_missed: Some(9), sysctls_lost: 2, no_room, ..end };
    let ended = [begin(), summary, Item::End(end)];
    for window in [None, window(50, 70)] {
        let text = text(window, &ended);
        for wanted in ["at most 9 failures", "at most 2 changes", "were full: 3 failures told with less"] {
            assert!(text.contains(wanted), "{window:?}: {wanted}: {text}");
        }
        assert_eq!(text.contains("missing in all numbers of the whole time"), window.is_some(), "{text}");
    }
    let watched = |from, to| of_window(window(from, to), &ended);
    let watched = [(50, 70), (20, 30), (100, 200)].map(|(from, to)| {
        let json = json(&mut watched(from, to));
        (json["totals"]["watched_ns"].as_u64().unwrap().div_ceil(1_000_000_000), json.get("first").is_some())
    });
    assert_eq!(watched, [(10, true), (10, true), (0, false)]);
}

#[test]
fn failures_that_verdicts_on_several_sources_share_are_said_to_be_of_all() {
    for (sources, is_shared) in [(1..=1, false), (1..=2, true)] {
        let mut report = told(&minute());
        let said = sources.map(|last| {
            let said = verdict(443, Some(Cause::RangeExhausted));
            let path = Path { source: Some([10, 0, 0, last].into()), ..said.path };
            Opinion::Verdict(Verdict { path, ..said })
        });
        let opinions: Vec<_> = said.collect();
        report.item(&Item::Ports(snapshot(5, vec![occupancy(443, 28_232)])), &opinions).unwrap();
        for format in [Format::Text, Format::Html] {
            let shared = written(&mut report, format).contains("600 failed so, from all sources");
            assert_eq!(shared, is_shared, "{format:?}");
        }
        let verdicts = &json(&mut report)["verdicts"];
        assert_eq!(verdicts[0]["failures_of_all_sources"], is_shared, "{verdicts}");
    }
}

#[test]
fn numbers_of_the_greatest_are_survived() {
    let most = u64::MAX;
    let rows = [1, 2].map(|pid| row(process(pid, b"java"), 443, most, second(1), second(2)));
    let lost = |reason| Item::Lost(Lost { reason, count: most, from: second(1), to: second(9) });
    let suppressed = Item::Suppressed(Suppressed { count: most, from: second(1), to: second(9) });
    let no_room = NoRoom { callers: most, details: most, repeats: most, owners: most };
    let end = End {
        failures: most,
        delivered: most,
        suppressed: most,
        lost: vec![(LossReason::RingFull, most)],
        skipped_runs: Some(most),
        possibly_missed: Some(most),
        no_room,
        sysctls_lost: most,
        watched: Duration::MAX,
        ..End::default()
    };
    let mut full = occupancy(443, u32::MAX);
    let ended = |pid| Process { details: State::Exited.into(), ..process(pid, b"java") };
    let holding = |pid| Holding { holder: Holder::Process(ended(pid)), count: u32::MAX, time_wait: u32::MAX };
    (full.usable, full.holders) = (1, (0..40).map(holding).collect());
    let session = [
        begin(),
        counts(second(0), second(2), rows.to_vec()),
        counts(second(2), second(3), rows.to_vec()),
        lost(LossReason::RingFull),
        lost(LossReason::RingFull),
        suppressed.clone(),
        suppressed,
        Item::Ports(snapshot(3, vec![full])),
        Item::Summary(Summary { rows: rows.to_vec(), other: most }),
        Item::End(end),
    ];
    let at = |second: i64| Timestamp::from_second(OFFSET / 1_000_000_000 + second).ok();
    for (what, len) in [("killed", 8), ("ended", 10)] {
        for window in [None, Some(Window { from: at(1), to: at(60) })] {
            let mut report = Report::new(window);
            let opinions = [Opinion::Verdict(verdict(443, Some(Cause::RangeExhausted)))];
            for item in session[..len].iter().chain(&session[..len]) {
                report.item(item, &opinions).unwrap();
            }
            for format in [Format::Text, Format::Json, Format::Html] {
                assert!(!written(&mut report, format).is_empty(), "{what} {window:?}");
            }
            assert_eq!(json(&mut report)["totals"]["failures"], most, "{what} {window:?}");
        }
    }
}

#[test]
fn times_of_the_greatest_are_survived() {
    let mut odd = start(b"h");
    (odd.at, odd.boot_offset_ns) = (BootNs(u64::MAX), i64::MAX);
    let mut items = vec![Item::Start(odd), failure(BootNs(u64::MAX), process(5, b"curl"), 80)];
    items.push(failure(second(0), process(5, b"curl"), 80));
    let row = row(process(5, b"curl"), 80, u64::MAX, second(0), BootNs(u64::MAX));
    items.push(counts(BootNs(u64::MAX), second(0), vec![row.clone(), row]));
    for format in [Format::Text, Format::Json, Format::Html] {
        assert!(!written(&mut told(&items), format).is_empty());
    }
}

#[test]
fn units_containers_or_pods_have_a_table_where_that_is_asked_for_and_no_failure_is_lost() {
    let in_unit = |tgid, unit: &[u8], port, count| {
        let mut row = row(process(tgid, b"java"), port, count, second(1), second(2));
        let unit = Some(Text(unit.to_vec()));
        row.process.details = Details { unit, ..Details::from(State::Exited) }.into();
        row
    };
    let rows = [
        in_unit(1, b"shop.service", 443, 5),
        in_unit(2, b"shop.service", 444, 6),
        in_unit(3, b"a<b>\x1b.service", 443, 2),
        row(process(4, b"cron"), 443, 1, second(1), second(2)),
    ];
    let summary = Item::Summary(Summary { rows: rows.to_vec(), other: 3 });
    let items = [begin(), summary, Item::End(End { failures: 17, delivered: 17, ..End::default() })];
    let mut by_process = told(&items);
    assert!(json(&mut by_process)["groups"].is_null());
    let mut report = told(&items).grouped(GroupBy::Unit);
    let groups = json(&mut report)["groups"].clone();
    let said = |row: &Value| (row["unit"].as_str().map(str::to_owned), row["count"].as_u64());
    let rows: Vec<_> = groups["rows"].as_array().unwrap().iter().map(said).collect();
    let unit = |name: &str, count| (Some(name.to_owned()), Some(count));
    assert_eq!(rows, [unit("shop.service", 11), unit("a<b>\u{1b}.service", 2), (None, Some(1))]);
    assert_eq!((&groups["by"], &groups["others"]["count"]), (&"unit".into(), &3.into()));
    let text = written(&mut report, Format::Text);
    assert!(text.contains("shop.service (2 processes)") && text.contains("(no unit) (1 process)"), "{text}");
    assert!(text.contains("a<b>\\u{1b}.service (1 process)"), "{text}");
    let html = written(&mut report, Format::Html);
    assert!(html.contains("Which units failed") && html.contains("a&lt;b&gt;\\u{1b}.service"), "{html}");
    let mut report = told(&items).grouped(GroupBy::Destination);
    let text = written(&mut report, Format::Text);
    assert!(text.find("DESTINATION").unwrap() < text.find("PROGRAM").unwrap(), "{text}");
}
