//! What holds for every item, wherever it came from.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use portwatch::event::Item;
use portwatch::lines::{Decoder, Encoder};
use portwatch::sink::Sink as _;
use portwatch::sink::text::Text;
use portwatch::term::Paint;

/// An item is written as lines that say the same when they are read, and as a text without control characters.
///
/// # Panics
/// When it is not.
pub fn item(item: &Item) {
    let lines = encoded(item);
    let again = decoded(&lines);
    let [again] = again.as_slice() else {
        panic!("one item became {}: {item:?}\n{}", again.len(), String::from_utf8_lossy(&lines));
    };
    let (lines, lines_again) = (String::from_utf8_lossy(&lines), encoded(again));
    assert_eq!(lines, String::from_utf8_lossy(&lines_again), "{item:?}");
    assert_eq!(decoded(&lines_again).as_slice(), std::slice::from_ref(again));
    shown(item);
}

/// What the terminal gets has no control characters but the ends of lines.
///
/// # Panics
/// When it has.
pub fn shown(item: &Item) {
    let mut text = Vec::new();
    let mut sink = Text::new(&mut text, Paint::Plain, TimeZone::UTC);
    let written = sink.item(item, &[]).and_then(|()| sink.flush());
    assert!(written.is_ok(), "a list of bytes refuses nothing");
    drop(sink);
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

fn encoded(item: &Item) -> Vec<u8> {
    let mut lines = Vec::new();
    Encoder::default().item(item, &mut lines);
    lines
}

fn decoded(lines: &[u8]) -> Vec<Item> {
    let (mut decoder, mut items) = (Decoder::default(), VecDeque::new());
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Err(refused) = decoder.line(line, &mut items) {
            panic!("{refused:?}: {}", String::from_utf8_lossy(line));
        }
    }
    decoder.finish(&mut items);
    items.into()
}
