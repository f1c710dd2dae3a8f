//! What is written comes back, and what nobody wrote does no harm.

mod items;

use std::collections::VecDeque;

use super::{Decoder, Encoder, NoItem};
use crate::event::{
    BootNs, Counts, Item, LossReason, Missing, MissingWhy, Row, Snapshot, SocketState, State, Text,
};
use items::{Dice, HOSTILE};

fn encode(item: &Item) -> Vec<u8> {
    let mut lines = Vec::new();
    Encoder::default().item(item, &mut lines);
    lines
}

/// What a decoder makes of all lines, and of which it makes nothing.
fn decode(lines: &[u8]) -> (Vec<Item>, Vec<NoItem>) {
    let (mut decoder, mut items) = (Decoder::default(), VecDeque::new());
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n');
    let errors = lines.filter_map(|line| decoder.line(line, &mut items).err()).collect();
    decoder.finish(&mut items);
    (items.into(), errors)
}

fn malformed(line: &[u8]) -> String {
    match &decode(line) {
        (items, errors) if items.is_empty() => match &errors[..] {
            [NoItem::Malformed(why)] => why.clone(),
            other => panic!("{other:?}"),
        },
        (items, _) => panic!("{items:?}"),
    }
}

#[test]
fn every_item_comes_back_from_its_lines() {
    let mut dice = Dice(7);
    for round in 0..300 {
        let (mut encoder, mut lines) = (Encoder::default(), Vec::new());
        let mut sent: Vec<Item> = (0..40).map(|kind| dice.item(kind)).collect();
        if round % 2 == 0 {
            // Without a start, the first snapshot tells the time.
            sent.remove(0);
            sent.insert(0, Item::Ports(dice.snapshot()));
        }
        sent.iter().for_each(|item| encoder.item(item, &mut lines));
        let (got, errors) = decode(&lines);
        assert_eq!(errors, []);
        for (got, sent) in got.iter().zip(&sent) {
            assert_eq!(got, sent, "{}", String::from_utf8_lossy(&encode(sent)));
        }
        assert_eq!(got.len(), sent.len());

        let (mut encoder, mut again) = (Encoder::default(), Vec::new());
        got.iter().for_each(|item| encoder.item(item, &mut again));
        assert_eq!(again, lines);
    }
}

#[test]
fn no_line_holds_what_a_terminal_acts_on() {
    let mut dice = Dice(8);
    for kind in 0..2400 {
        let lines = String::from_utf8(encode(&dice.item(kind))).unwrap();
        for line in lines.lines() {
            assert!(line.chars().all(crate::term::shows), "{line:?}");
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line.starts_with(&format!("{{\"type\":{}", value["type"])), "{line}");
        }
    }
}

#[test]
fn a_failure_comes_back_from_the_memo_as_it_was() {
    let mut dice = Dice(9);
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let mut items = VecDeque::new();
    let mut failures: Vec<Item> = (0..200).map(|_| dice.item(1)).collect();
    for round in 0..5 {
        for item in &mut failures {
            let Item::Failure(failure) = item else { panic!("{item:?}") };
            failure.at.0 = failure.at.0.wrapping_add(round * 1_234_567_891);
            let mut line = Vec::new();
            encoder.item(item, &mut line);
            assert_eq!(decoder.line(line.strip_suffix(b"\n").unwrap(), &mut items), Ok(()));
            assert_eq!(items.pop_front().as_ref(), Some(&*item));
        }
    }
}

#[test]
fn the_memo_is_used_for_what_is_written_to_the_letter_only() {
    let mut dice = Dice(10);
    let line = String::from_utf8(encode(&dice.item(1))).unwrap();
    let line = line.trim_end();
    let number = line.split("\"monotonic_ns\":").nth(1).unwrap().split(',').next().unwrap();
    let with = |other: &str| line.replacen(&format!(":{number},"), &format!(":{other},"), 1);
    let mut decoder = Decoder::default();
    let mut items = VecDeque::new();
    assert_eq!(decoder.line(with("5").as_bytes(), &mut items), Ok(()));
    for (number, at) in [("6", Some(6)), ("0", Some(0)), ("18446744073709551615", Some(u64::MAX))] {
        assert_eq!(decoder.line(with(number).as_bytes(), &mut items), Ok(()));
        let Some(Item::Failure(failure)) = items.pop_back() else { panic!("{number}") };
        assert_eq!(Some(failure.at.0), at);
    }
    for number in ["05", "18446744073709551616", "99999999999999999999", "-1", "1.5", "", "\"5\"", "5x"] {
        assert!(decoder.line(with(number).as_bytes(), &mut items).is_err(), "{number}");
    }
    // A time that ends the string has fields of its own.
    let (head, tail) = line.split_at(line.find("\"time\":\"").unwrap() + 8);
    let hidden = format!("{head}\",\"monotonic_ns\":1,\"x\":\"00{}", &tail[tail.find('Z').unwrap() + 1..]);
    assert!(decoder.line(hidden.as_bytes(), &mut items).is_err(), "{hidden}");
}

#[test]
fn fields_may_stand_in_any_order_and_unknown_ones_are_skipped() {
    let mut dice = Dice(11);
    for kind in 0..240 {
        let item = dice.item(kind);
        let mut other = Vec::new();
        for line in encode(&item).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let serde_json::Value::Object(fields) = serde_json::from_slice(line).unwrap() else { panic!() };
            let mut turned: serde_json::Map<_, _> = fields.into_iter().rev().collect();
            turned.insert("later".to_owned(), serde_json::json!({ "type": [1, { "a": null }] }));
            other.extend(serde_json::to_vec(&turned).unwrap());
            other.push(b'\n');
        }
        // Without a start, times of rows are those of the epoch's clock.
        let (got, errors) = decode(&other);
        assert_eq!((got, errors), (vec![item], vec![]), "{}", String::from_utf8_lossy(&other));
    }
}

#[test]
fn bytes_win_over_the_text_that_stands_for_them() {
    let line = |comm: &str| {
        format!(
            r#"{{"type":"sysctl","monotonic_ns":1,"key":"a","netns":2,"new":"b","process":{{"pid":1,{comm},"start_ns":1,"uid":0,"gid":0,"cgroup":0}}}}"#
        )
    };
    let (items, _) =
        decode(line(r#""comm_hex":"fF00","comm":"x","cmdline":["a"],"cmdline_hex":["00"]"#).as_bytes());
    let [Item::Sysctl(change)] = &items[..] else { panic!("{items:?}") };
    let process = change.by.as_ref().unwrap();
    assert_eq!(process.comm, Text(vec![255, 0]));
    let cmdline = Some(vec![Text(vec![0])]);
    assert_eq!(process.details.state, State::Alive { exe: None, cmdline });
    for hex in ["f", "fg", "+1", "é", " f"] {
        malformed(line(&format!(r#""comm":"x","comm_hex":"{hex}""#)).as_bytes());
    }
}

#[test]
fn opinions_are_left_out_and_lines_of_unknown_types_are_told_from_damaged_ones() {
    let unknown = [r#"{"type":"tomorrow"}"#, r#"{"new":1,"type":"tomor\u0072ow"}"#, r#"{"type":""}"#];
    for line in unknown {
        assert_eq!(decode(line.as_bytes()), (vec![], vec![NoItem::UnknownType]), "{line}");
    }
    for kind in ["verdict", "warning", "recovered", "forecast"] {
        let line = format!(r#"{{"type":"{kind}","netns":1}}"#);
        assert_eq!(decode(line.as_bytes()), (vec![], vec![]), "{line}");
    }
    let damaged = [
        ("", "EOF"),
        ("{}", "missing field `type`"),
        ("[]", "invalid"),
        (r#"{"type":5}"#, "invalid type"),
        (r#"{"type":"tomorrow""#, "EOF"),
        (r#"{"type":"tomorrow"}x"#, "trailing"),
        (r#"{"type":"suppressed","count":1,"from_ns":2}"#, "missing field `to_ns`"),
        (r#"{"type":"suppressed","count":-1,"from_ns":2,"to_ns":3}"#, "integer `-1`"),
        (r#"{"type":"suppressed","count":1.5,"from_ns":2,"to_ns":3}"#, "1.5"),
        (r#"{"type":"suppressed","count":1,"count":1,"from_ns":2,"to_ns":3}"#, "duplicate field `count`"),
        (r#"{"type":"lost","count":1,"from_ns":2,"to_ns":3,"reason":5}"#, "a string that is a reason"),
        (r#"{"type":"missing","why":5}"#, "expected a string"),
        (r#"{"type":"start","monotonic_ns":1,"boot_offset_ns":9223372036854775808}"#, "9223372036854775808"),
    ];
    for (line, part) in damaged {
        let why = malformed(line.as_bytes());
        assert!(why.contains(part), "{line}: {why}");
    }
}

#[test]
fn a_start_of_a_later_schema_is_read_as_far_as_it_goes() {
    let (items, errors) = decode(br#"{"type":"start","schema":2,"monotonic_ns":1,"boot_offset_ns":-2}"#);
    let [Item::Start(start), Item::Missing(missing)] = &items[..] else { panic!("{items:?} {errors:?}") };
    assert_eq!((start.at.0, start.boot_offset_ns), (1, -2));
    assert_eq!(missing.why, MissingWhy::NewerSchema(2));
    for schema in [r#""schema":1,"#, ""] {
        let line = format!(r#"{{"type":"start",{schema}"monotonic_ns":1,"boot_offset_ns":-2}}"#);
        let (items, errors) = decode(line.as_bytes());
        assert!(matches!(&items[..], [Item::Start(_)]), "{line}: {items:?} {errors:?}");
    }
}

#[test]
fn unknown_words_cost_no_more_than_themselves() {
    let one = |line: &str| match decode(line.as_bytes()) {
        (mut items, errors) if items.len() == 1 && errors.is_empty() => items.remove(0),
        other => panic!("{line}: {other:?}"),
    };
    let lost = one(r#"{"type":"lost","count":4,"from_ns":2,"to_ns":3,"reason":"bad luck"}"#);
    let Item::Lost(lost) = lost else { panic!("{lost:?}") };
    assert_eq!((lost.reason, lost.count), (LossReason::Unaccounted, 4));
    let end = one(
        r#"{"type":"end","failures":29,"delivered":10,"suppressed":0,"lost":{"a":2,"ring_full":5,"unaccounted":4,"b":8}}"#,
    );
    let Item::End(end) = end else { panic!("{end:?}") };
    assert_eq!(end.lost, [(LossReason::Unaccounted, 14), (LossReason::RingFull, 5)]);
    let missing = one(r#"{"type":"missing","why":"ti\"red","lines":3}"#);
    let why = MissingWhy::Other("ti\"red".to_owned());
    assert_eq!(missing, Item::Missing(Missing { why, file: None, lines: 3, bytes: 0 }));
    assert_eq!(decode(&encode(&missing)).0, [missing], "its word is written as it was");

    let (_, lines) = snapshot(1);
    let (head, row) = lines.split_once('\n').unwrap();
    let (before, after) = row.split_once(r#""by_state":{"#).unwrap();
    let (_, after) = after.split_once('}').unwrap();
    let row = format!(r#"{before}"by_state":{{"listen":2,"dreaming":7,"bound":1}}{after}"#);
    let snapshot = one(&format!("{head}\n{}", row.trim_end()));
    let Item::Ports(snapshot) = snapshot else { panic!("{snapshot:?}") };
    assert_eq!(*snapshot.rows[0].by_state, [(SocketState::Listen, 2), (SocketState::Bound, 1)]);
}

#[test]
fn lines_that_go_on_after_a_start_are_read_by_its_clock() {
    let offset = 1_700_000_000_000_000_000_i64;
    let start = format!(r#"{{"type":"start","monotonic_ns":1,"boot_offset_ns":{offset}}}"#);
    let Item::Start(start) = decode(start.as_bytes()).0.remove(0) else { panic!("{start}") };
    let mut lines = Vec::new();
    let mut encoder = Encoder::default();
    encoder.item(&Item::Start(start.clone()), &mut lines);
    lines.clear();
    let mut dice = Dice(7);
    let rows = vec![Row { first: BootNs(10), last: BootNs(20), ..dice.row() }];
    let counts = Item::Counts(Counts { from: BootNs(5), to: BootNs(25), rows, other: 0 });
    encoder.item(&counts, &mut lines);
    let line = lines.strip_suffix(b"\n").unwrap();
    let mut items = VecDeque::new();
    Decoder::after(Some(&start)).line(line, &mut items).unwrap();
    assert_eq!(items.pop_front().as_ref(), Some(&counts));
    Decoder::after(None).line(line, &mut items).unwrap();
    assert_ne!(items, [counts]);
}

fn snapshot(rows: usize) -> (Snapshot, String) {
    let mut dice = Dice(12);
    let mut snapshot = dice.snapshot();
    snapshot.rows = (0..rows).map(|_| dice.occupancy()).collect();
    let lines = String::from_utf8(encode(&Item::Ports(snapshot.clone()))).unwrap();
    (snapshot, lines)
}

fn missing_rows(lines: u64) -> Item {
    Item::Missing(Missing { why: MissingWhy::RowsOfSnapshot, file: None, lines, bytes: 0 })
}

#[test]
fn a_snapshot_without_all_its_rows_says_how_many_are_missing() {
    let (whole, lines) = snapshot(5);
    let lines: Vec<&str> = lines.lines().collect();
    let with = |rows| Item::Ports(Snapshot { rows, ..whole.clone() });
    let (next, next_lines) = snapshot(0);
    let next_lines = next_lines.trim_end();
    let other = r#"{"type":"suppressed","count":1,"from_ns":2,"to_ns":3}"#;
    let (other_item, _) = decode(other.as_bytes());
    let damaged = lines[2].replace("\"used\":", "\"used\":x");
    let foreign = lines[2].replace(&format!("\"monotonic_ns\":{}", whole.at.0), "\"monotonic_ns\":77");
    assert_ne!(foreign, lines[2]);
    let first = |number: usize| whole.rows[..number].to_vec();
    let cases: &[(&str, Vec<&str>, Vec<Item>)] = &[
        ("whole", lines.clone(), vec![with(first(5))]),
        ("cut", lines[..3].to_vec(), vec![with(first(2)), missing_rows(3)]),
        (
            "another line before the last",
            [&lines[..5], &[other], &lines[5..]].concat(),
            vec![with(first(4)), missing_rows(1), other_item[0].clone()],
        ),
        (
            "another snapshot",
            [&lines[..2], &[next_lines]].concat(),
            vec![with(first(1)), missing_rows(4), Item::Ports(next)],
        ),
        (
            "a row is damaged",
            [&lines[..2], &[&damaged], &lines[3..]].concat(),
            vec![with([&whole.rows[..1], &whole.rows[2..]].concat()), missing_rows(1)],
        ),
        (
            "the rest is of another snapshot",
            [&lines[..2], &[&foreign]].concat(),
            vec![with(first(1)), missing_rows(4)],
        ),
        ("rows without their snapshot", lines[1..].to_vec(), vec![]),
        (
            "lines of unknown types between",
            [&lines[..2], &[r#"{"type":"new"}"#], &lines[2..]].concat(),
            vec![with(first(5))],
        ),
    ];
    for (what, lines, expected) in cases {
        assert_eq!(&decode(lines.join("\n").as_bytes()).0, expected, "{what}");
    }
}

#[test]
fn of_a_snapshot_without_end_so_many_rows_are_kept() {
    let (_, lines) = snapshot(1);
    let lines: Vec<&str> = lines.lines().collect();
    let mut decoder = Decoder::default();
    let mut items = VecDeque::new();
    let head = lines[0].replace("\"rows\":1,", "\"rows\":18446744073709551615,");
    assert_eq!(decoder.line(head.as_bytes(), &mut items), Ok(()));
    for _ in 0..12_000 {
        assert_eq!(decoder.line(lines[1].as_bytes(), &mut items), Ok(()));
    }
    assert_eq!(items.len(), 0);
    decoder.finish(&mut items);
    let Some(Item::Ports(snapshot)) = items.pop_front() else { panic!("no snapshot") };
    assert!((1..=10_000).contains(&snapshot.rows.len()), "{}", snapshot.rows.len());
    assert_eq!(items.pop_front(), Some(missing_rows(u64::MAX - snapshot.rows.len() as u64)));
}

#[test]
fn what_is_repeated_too_often_or_too_long_is_malformed() {
    let process = |cmdline: &str| {
        format!(
            r#""process":{{"pid":1,"comm":"","start_ns":1,"uid":0,"gid":0,"cgroup":0,"cmdline":[{cmdline}]}}"#
        )
    };
    let sysctl = |process: &str| {
        format!(r#"{{"type":"sysctl","monotonic_ns":1,"key":"","netns":2,"new":"",{process}}}"#)
    };
    let repeated = |what: &str, times: usize| vec![what; times].join(",");
    assert_eq!(decode(sysctl(&process(&repeated("\"\"", 4096))).as_bytes()).1, []);
    let cases = [
        sysctl(&process(&repeated("\"\"", 4097))),
        sysctl(&process(&format!("\"{}\"", "x".repeat(70_000)))),
        format!(
            r#"{{"type":"start","monotonic_ns":1,"boot_offset_ns":1,"limits":[{}]}}"#,
            repeated("\"\"", 257)
        ),
        format!(r#"{{"type":"searches","rows":[{}]}}"#, repeated("0", 5_000_000)),
        format!(r#"{{"type":"new","x":"{}"}}"#, "x".repeat(20 << 20)),
        format!(r#"{{"type":"new","x":{}"#, "[".repeat(1 << 20)),
        format!(r#"{{"type":"failure","process":{}"#, "{\"pid\":".repeat(1 << 10)),
    ];
    for line in cases {
        let why = malformed(line.as_bytes());
        assert!(!why.is_empty() && why.len() < 1300, "{why}");
    }
}

#[test]
fn no_part_of_a_line_is_an_item() {
    let mut dice = Dice(13);
    for kind in 0..48 {
        let lines = encode(&dice.item(kind));
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            for end in 0..line.len() {
                let (mut decoder, mut items) = (Decoder::default(), VecDeque::new());
                let _ = decoder.line(&line[..end], &mut items);
                decoder.finish(&mut items);
                assert!(items.is_empty(), "{}", String::from_utf8_lossy(&line[..end]));
            }
        }
    }
}

#[test]
fn changed_bytes_do_no_harm() {
    let mut dice = Dice(14);
    let mut decoder = Decoder::default();
    let mut items = VecDeque::new();
    for round in 0..20_000 {
        let mut lines = encode(&dice.item(round));
        for _ in 0..=dice.below(3) {
            let at = dice.below(lines.len());
            lines[at] = dice.roll().to_le_bytes()[0];
        }
        for line in lines.split(|byte| *byte == b'\n') {
            if let Err(NoItem::Malformed(why)) = decoder.line(line, &mut items) {
                assert!(why.chars().count() <= 300, "{why}");
            }
        }
        // What it was read as can be written.
        let mut encoder = Encoder::default();
        let mut again = Vec::new();
        items.drain(..).for_each(|item| encoder.item(&item, &mut again));
    }
}

#[test]
fn the_lines_of_the_documentation_are_read() {
    let text = include_str!("../../../docs/json.md");
    let mut decoder = Decoder::default();
    let (mut items, mut kinds) = (VecDeque::new(), Vec::new());
    for line in text.lines().filter(|line| line.starts_with("{\"type\"")) {
        let kind = line.split('"').nth(3).unwrap();
        let read = decoder.line(line.as_bytes(), &mut items);
        assert_eq!(read, Ok(()), "{line}");
        kinds.push(kind);
    }
    decoder.finish(&mut items);
    for kind in [
        "start",
        "failure",
        "sysctl",
        "suppressed",
        "lost",
        "searches",
        "summary",
        "end",
        "counts",
        "missing",
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    assert!(items.len() >= 10, "{items:?}");
}

#[test]
fn what_older_versions_left_out_has_its_value() {
    let line = br#"{"type":"searches","rows":[],"other":{"count":3,"slow":0,"average_ns":5,"longest_ns":0},"unmeasured":1}"#;
    let (items, errors) = decode(line);
    let [Item::Searches(searches)] = &items[..] else { panic!("{errors:?}") };
    assert_eq!(searches.other.total.as_nanos(), 15);
    let line = br#"{"type":"end","failures":1,"delivered":1,"suppressed":0,"lost":{},"watched_ns":7}"#;
    let (items, _) = decode(line);
    let [Item::End(end)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((end.beyond_count, end.watched.as_nanos()), (0, 7));
}

#[test]
fn hostile_strings_are_what_they_were_in_every_place() {
    for text in HOSTILE {
        let mut dice = Dice(15);
        let mut process = dice.process();
        process.comm = Text(text.to_vec());
        let words = vec![Text(b"ok".to_vec()), Text(text.to_vec())];
        process.details = State::Alive { exe: Some(Text(text.to_vec())), cmdline: Some(words) }.into();
        let Item::Sysctl(mut change) = dice.item(4) else { panic!("no change") };
        change.by = Some(process);
        change.key = Text(text.to_vec());
        let item = Item::Sysctl(change);
        assert_eq!(decode(&encode(&item)).0, [item]);
    }
}
