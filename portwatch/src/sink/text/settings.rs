//! A setting that was changed: one line between those of failures, which it cannot be taken for.

use crate::event::SettingChange;
use crate::term::clean;

/// Characters of a value that are shown: a list of ports may have hundreds of thousands.
const VALUE_LENGTH: usize = 60;

/// The line, without its end.
pub(super) fn line(change: &SettingChange, time: &str) -> String {
    let old = change.old.as_deref().map_or_else(|| "?".to_owned(), value);
    let (key, new, netns) = (clean(&change.key.0), value(&change.new), change.netns.0);
    let by = change.by.as_ref().map(|by| format!(", by {} (pid {})", clean(&by.comm.0), by.tgid.0));
    format!("{time}  setting {key}: {old} -> {new}{}, netns {netns}", by.unwrap_or_default())
}

/// An empty one shows as such.
fn value(text: &str) -> String {
    let shown: String = text.chars().take(VALUE_LENGTH).collect();
    let rest = text.chars().count().saturating_sub(VALUE_LENGTH);
    match (text, rest) {
        ("", _) => "(empty)".to_owned(),
        (_, 0) => clean(shown.as_bytes()),
        _ => format!("{}… ({rest} more characters)", clean(shown.as_bytes())),
    }
}
