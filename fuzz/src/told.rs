//! What a user is told of a capture.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use jiff::tz::TimeZone;
use portwatch::diagnose::{Observer, Warn};
use portwatch::event::Item;
use portwatch::sink::Sink as _;
use portwatch::sink::report::{Format, Report};
use portwatch::source::Source as _;
use portwatch::source::replay::Replay;
use portwatch::term::Paint;

/// Reads a file as `portwatch report` does, and reports it in one of the forms, or not at all.
///
/// # Panics
/// When it cannot be read, whatever it holds.
pub fn report(path: &Path, form: u8) {
    let Ok(mut replay) = Replay::of(&[path.to_owned()]) else { panic!("a file cannot be read") };
    let mut items = Vec::new();
    while let Ok(Some(item)) = at_once(replay.next()) {
        items.push(item);
    }
    self::items(&items, form);
}

/// Explains items, and reports them in one of the forms, or not at all.
///
/// # Panics
/// When a list of bytes refuses to be written to.
pub fn items(items: &[Item], form: u8) {
    let (mut observer, mut report) = (Observer::new(Warn::AsRecorded), Report::new(None));
    for item in items {
        let opinions = observer.see(item);
        assert!(report.item(item, &opinions).is_ok(), "a report refuses an item");
    }
    // Writing takes longer than all before, and mostly says the same.
    let format = match form % 8 {
        0 => Format::Text,
        1 => Format::Json,
        2 => Format::Html,
        _ => return,
    };
    let mut text = Vec::new();
    assert!(report.write(format, &mut text, Paint::Plain, &TimeZone::UTC).is_ok(), "a list of bytes refuses");
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
}

/// What a future comes to that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(ready) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return ready;
        }
    }
}
