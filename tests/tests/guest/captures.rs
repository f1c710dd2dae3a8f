//! What was recorded is told again, as it was told live.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use portwatch_tests::netns::{Full, Netns};
use portwatch_tests::portwatch::{Watching, command, printed};
use portwatch_tests::tally::{self, Holder, Tally};
use serde_json::Value;

const SERVICE: &str = "127.0.0.1:8080";
/// Far more than any of this may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The capture of the story goes through a serial line.
const STORY_BYTES: usize = 128 << 10;

fn line(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The same lines, with the first that differs in the message.
fn assert_same(live: &str, replayed: &str) {
    for (number, (live, replayed)) in live.lines().zip(replayed.lines()).enumerate() {
        assert_eq!(live, replayed, "line {}", number + 1);
    }
    assert_eq!((live.len(), live.lines().count()), (replayed.len(), replayed.lines().count()));
}

/// What was shown of one storm.
struct Shown {
    by_record: String,
    by_trace: String,
    three: Vec<Holder>,
}

/// Records into `file`, shown as `shown` says, while three processes fail because this one holds all ports; `trace` watches
/// the same. All live on until both have ended: each looks for itself what a process is.
fn recorded(file: &Path, shown: &str) -> Shown {
    let _netns = Netns::with_ports(40000, 40099).unwrap();
    let _full = Full::new(SERVICE, 100).unwrap();
    let watching = Watching::start(&["record", "-o", file.to_str().unwrap(), shown]).unwrap();
    let tracing = Watching::start(&["trace", "--json"]).unwrap();
    let args = ["--dest", SERVICE, "--attempts", "1000", "--threads", "one,two", "--hold"];
    let children: Vec<Child> = (0..3).map(|_| tally::start(&args).unwrap()).collect();
    let three: Vec<Holder> = children.into_iter().map(|child| tally::held(child).unwrap()).collect();
    watching
        .wait_for(if shown == "--json" { "\"type\":\"verdict\"" } else { "of the 100 ports from" }, LIMIT)
        .unwrap();
    // A text is about what follows the verdict, too.
    let last = tally::start(&["--dest", SERVICE, "--attempts", "5", "--hold"]).unwrap();
    let last = tally::held(last).unwrap();
    let [by_record, by_trace] = [watching, tracing].map(|watching| {
        let session = watching.end().unwrap();
        assert_eq!(session.status.code(), Some(0), "{}", session.stderr);
        session.stdout
    });
    drop(last);
    Shown { by_record, by_trace, three }
}

/// The lines of this type.
fn of_type<'a>(lines: &'a str, kind: &str) -> impl DoubleEndedIterator<Item = &'a str> {
    let start = format!("{{\"type\":\"{kind}\"");
    lines.lines().filter(move |line| line.starts_with(&start))
}

/// The rows of a summary, but for when each session's own programs saw them first and last, in an order that says nothing.
fn rows_without_times(lines: &str) -> Vec<String> {
    let mut summary = line(of_type(lines, "summary").next().unwrap());
    let rows = summary["rows"].as_array_mut().unwrap();
    let mut rows: Vec<String> = rows
        .iter_mut()
        .map(|row| {
            let row = row.as_object_mut().unwrap();
            assert!(["first", "last"].iter().all(|name| row.shift_remove(*name).is_some()), "{row:?}");
            serde_json::to_string(row).unwrap()
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// Prints what `cargo xtask test` takes out of the guest and reports on the host.
fn print_story(capture: &[u8], live: &str, report: &str) {
    assert!(capture.len() <= STORY_BYTES, "{} bytes", capture.len());
    let hex: String = capture.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("story capture {hex}");
    for kind in ["summary", "verdict", "ports"] {
        println!("story {kind} {}", of_type(live, kind).next_back().unwrap());
    }
    println!("story report {}", serde_json::to_string(report).unwrap());
}

/// The value of `name` in a line that begins with `start`, byte by byte.
fn exact<'a>(lines: &'a str, start: &str, name: &str) -> &'a str {
    let line = lines.lines().find(|line| line.starts_with(start)).unwrap();
    let (_, value) = line.split_once(&format!("\"{name}\":")).unwrap();
    let mut depth = 0;
    // No string here has a bracket.
    let end = value.find(|c: char| {
        depth += i32::from("[{".contains(c)) - i32::from("]}".contains(c));
        depth == 0
    });
    &value[..=end.unwrap()]
}

/// All objects in a document, however deep.
fn objects(value: &Value) -> Vec<&Value> {
    let inner: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(values) => values.iter().collect(),
        _ => Vec::new(),
    };
    let own = value.is_object().then_some(value);
    own.into_iter().chain(inner.into_iter().flat_map(objects)).collect()
}

/// What explains a shortage, and what helps. The sentence says how long ago a process was started; a report has the last
/// one, which live is not said again where nothing but that has changed.
fn without_time(verdict: &Value) -> Vec<[&Value; 4]> {
    let diagnoses = verdict["diagnoses"].as_array().into_iter().flatten();
    diagnoses
        .map(|each| ["rule", "explains_permille", "fragment", "advice"].map(|name| &each[name]))
        .collect()
}

#[test]
fn a_storm_that_was_recorded_is_replayed_byte_by_byte_and_reported_as_it_was_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("storm.jsonl.zst");
    let Shown { by_record: live, by_trace, three } = recorded(&file, "--json");
    assert_same(&live, &printed(&["replay", "--json", file.to_str().unwrap()]).unwrap());
    assert_eq!(rows_without_times(&live), rows_without_times(&by_trace));

    // Named as on the host.
    let mut report = command(&["report", "--format", "json", "storm.jsonl.zst"]);
    let text = String::from_utf8(report.current_dir(&folder).output().unwrap().stdout).unwrap();
    print_story(&std::fs::read(&file).unwrap(), &live, &text);
    let rows = exact(&live, "{\"type\":\"summary\"", "rows");
    assert!(text.contains(rows), "the report has other rows than {rows}\n{text}");
    let rows = line(rows);
    for Holder { tally, .. } in &three {
        let of_process = |row: &&Value| row["process"]["pid"] == tally.pid;
        let counts = rows.as_array().unwrap().iter().filter(of_process).map(|row| row["count"].as_u64());
        assert_eq!(counts.sum::<Option<u64>>(), Some(tally.failed("EADDRNOTAVAIL")), "pid {}", tally.pid);
    }

    let (report, live): (Value, Vec<Value>) = (line(&text), live.lines().map(line).collect());
    let of = |kind: &'static str| live.iter().filter(move |line| line["type"] == kind);
    let verdict = of("verdict").next_back().unwrap();
    let told = objects(&report);
    let of_verdict = |object: &&Value| without_time(object) == without_time(verdict);
    assert!(told.iter().any(of_verdict), "{verdict}\n{text}");
    // This process holds all of them.
    let shown = of("ports").next_back().unwrap();
    let holder = |object: &&Value| object["process"]["pid"] == std::process::id() && object["count"] == 100;
    assert!(shown["holders"].as_array().unwrap().iter().any(|held| holder(&held)), "{shown}");
    assert!(told.iter().any(holder), "{shown}\n{text}");
}

#[test]
fn a_storm_that_was_recorded_is_replayed_as_the_text_that_was_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("storm.jsonl.zst");
    let Shown { by_record: live, .. } = recorded(&file, "--print");
    assert_same(&live, &printed(&["replay", file.to_str().unwrap()]).unwrap());
}

#[test]
fn recording_ends_with_the_command_that_it_is_about() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("command.jsonl.zst");
    let _netns = Netns::with_ports(40000, 40003).unwrap();
    let _full = Full::new(SERVICE, 4).unwrap();
    let loadgen = std::env::var("LOADGEN_BIN").unwrap();
    let (name, fails) = (file.to_str().unwrap(), ["--dest", SERVICE, "--attempts", "50"]);
    let args = [&["record", "-o", name, "--", &loadgen][..], &fails].concat();
    let output = command(&args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    // The command's output is its own; ours is beside it.
    let tally: Tally = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(tally.failed("EADDRNOTAVAIL"), 50);
    assert!(said.contains("portwatch: ready"), "{said}");
    let replayed = printed(&["replay", "--json", name]).unwrap();
    let lines: Vec<Value> = replayed.lines().map(line).collect();
    let end = lines.last().unwrap();
    assert_eq!((&end["type"], &end["failures"]), (&"end".into(), &50.into()), "{said}");
    let failed = lines.iter().filter(|line| line["type"] == "failure");
    assert!(failed.clone().all(|line| line["process"]["pid"] == tally.pid), "{replayed}");
    assert_eq!(failed.count(), 50);
}

#[test]
fn a_file_that_is_there_is_not_overwritten_and_nothing_is_attached() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("there.jsonl.zst");
    std::fs::write(&file, "something else").unwrap();
    let output = command(&["record", "-o", file.to_str().unwrap(), "--duration", "100ms"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !said.contains("portwatch: ready"), "{said}");
    assert!(said.contains("there.jsonl.zst") && said.contains("--force"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"something else");
    // Nobody but its owner reads what is recorded.
    std::fs::remove_file(&file).unwrap();
    printed(&["record", "-o", file.to_str().unwrap(), "--duration", "100ms"]).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}
