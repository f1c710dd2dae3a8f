//! How much memory lines take that were made to take much.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use portwatch::event::Item;
use portwatch::lines::{Decoder, NoItem};

/// The system's allocator, and how much is allocated.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it hands on what it is given, and what it is answered.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;

/// The longest line that is read.
const MANY: usize = 16 * MIB;

/// Enough where the first few thousand of something are refused.
const FEW: usize = 2 * MIB;

/// The most that one line may take, beside itself.
const BOUND: usize = 26 * MIB;

/// A line of so many bytes.
fn filled(length: usize, head: &str, with: &str, tail: &str) -> Vec<u8> {
    let times = (length - head.len() - tail.len()) / with.len();
    [head, &with.repeat(times), tail].concat().into_bytes()
}

/// What became of a line, and the most memory that it took.
fn read(decoder: &mut Decoder, line: &[u8], items: &mut VecDeque<Item>) -> (Result<(), NoItem>, usize) {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = decoder.line(line, items);
    (read, MOST.load(Relaxed) - before)
}

fn row(number: u32, cmdline: &str) -> String {
    format!(
        r#"{{"process":{{"pid":{number},"comm":"loadgen","start_ns":45107275000,"uid":0,"gid":0,"cgroup":1,"exe":"/usr/bin/loadgen","cmdline":[{cmdline}]}},"netns":4026532114,"call":"connect","protocol":"tcp","errno":"EADDRNOTAVAIL","errno_code":99,"cause":"range_exhausted","stage":"port_search","had_port":false,"destination":{{"address":"127.0.0.1","port":8080}},"count":11996,"first":"2026-11-22T11:26:34.354553950Z","last":"2026-11-22T11:26:35.361738420Z"}}"#
    )
}

// One test, as all of a program are counted together.
#[test]
fn no_line_takes_much_memory_and_the_largest_summary_is_read() {
    let mut decoder = Decoder::default();
    let mut items = VecDeque::new();
    let rows: Vec<String> =
        (0..24_576).map(|row| self::row(row, r#""loadgen","--dest","127.0.0.1:8080""#)).collect();
    let line = format!(r#"{{"type":"summary","rows":[{}],"other":0}}"#, rows.join(","));
    assert!(line.len() <= MANY, "{}", line.len());
    let (result, most) = read(&mut decoder, line.as_bytes(), &mut items);
    assert_eq!(result, Ok(()));
    let Some(Item::Summary(summary)) = items.pop_front() else { panic!("no summary") };
    assert_eq!(summary.rows.len(), 24_576);
    assert!(most <= BOUND, "the largest summary takes {most} bytes");
    drop(summary);

    let words = format!("{},", row(1, &["\"\""; 4000].join(",")));
    let failure = r#"{"type":"failure","monotonic_ns":1,"process":{"pid":1,"comm":""#;
    let namespace = format!(
        r#"{{"netns":1,"port_range":{{"low":1,"high":2}},"reserved":0,"bound":0,"listeners":[{}],"own":true}},"#,
        ["1"; 60_000].join(",")
    );
    let head = r#"{"type":"snapshot","monotonic_ns":1,"boot_offset_ns":0,"rows":9,"sockets":1,"#;
    let ports = r#"{"type":"ports","monotonic_ns":1,"netns":1,"protocol":"tcp","used":1,"usable":1,"#;
    let cases = [
        ("words in rows", filled(MANY, r#"{"type":"summary","other":0,"rows":["#, &words, "]}")),
        ("empty words", filled(FEW, r#"{"type":"sysctl","process":{"cmdline":["#, "\"\",", "\"\"]}}")),
        ("empty sentences", filled(FEW, r#"{"type":"start","limits":["#, "\"\",", "\"\"]}")),
        ("a word", filled(FEW, r#"{"type":"start","kernel":""#, "x", "\"}")),
        ("an escaped word", filled(MANY, failure, "\\u0001", "\"}}")),
        (
            "a word where a number should be",
            filled(FEW, r#"{"type":"failure","monotonic_ns":""#, "\u{202e}", "\"}"),
        ),
        ("a word without end", filled(FEW, r#"{"type":"failure","monotonic_ns":""#, "\\\"", "")),
        ("a type", filled(FEW, r#"{"x":1,"type":""#, "x", "\"}")),
        ("brackets", filled(MANY, r#"{"type":"new","x":"#, "[", "")),
        ("digits", filled(FEW, r#"{"type":"failure","monotonic_ns":"#, "1", "}")),
        ("hooks", filled(FEW, r#"{"type":"start","hooks":{"#, "\"\":\"\",", "\"\":\"\"}}")),
        ("namespaces", filled(MANY, &format!("{head}\"namespaces\":["), &namespace, "]}")),
        (
            "holders",
            filled(
                FEW,
                &format!("{ports}\"by_state\":{{}},\"holders\":["),
                r#"{"unknown":"closed","count":1},"#,
                "]}",
            ),
        ),
        ("errors", filled(FEW, r#"{"type":"start","filters":{"errno":["#, "\"EPERM\",", "\"EPERM\"]}}")),
    ];
    for (what, line) in cases {
        let (read, most) = read(&mut decoder, &line, &mut items);
        assert!(matches!(read, Err(NoItem::Malformed(_))), "{what}: {read:?}");
        assert!(items.is_empty(), "{what}");
        assert!(most <= BOUND, "{what} takes {most} bytes");
    }

    // Rows of one snapshot, each as large as it may be.
    let words = format!(r#""cmdline":[{}]"#, ["\"\""; 4096].join(","));
    let who = format!(
        r#"{{"process":{{"pid":1,"comm":"","start_ns":1,"uid":0,"gid":0,"cgroup":0,{words}}},"count":1}}"#
    );
    let holders = vec![who; 50].join(",");
    let line = format!("{ports}\"by_state\":{{}},\"holders\":[{holders}]}}");
    assert_eq!(decoder.line(format!("{head}\"namespaces\":[]}}").as_bytes(), &mut items), Ok(()));
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    for _ in 0..8 {
        assert_eq!(decoder.line(line.as_bytes(), &mut items), Ok(()));
    }
    let most = MOST.load(Relaxed) - before;
    assert!(most <= BOUND, "rows of a snapshot take {most} bytes");
}
