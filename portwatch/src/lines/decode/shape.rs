//! What is seen of a line before it is read: how long it and its strings are, and its type.

use std::borrow::Cow;

use serde::Deserialize;

use super::{NoItem, read};

/// The longest line that is read: more than the largest summary that is written, of 24,576 rows, usually takes.
const LONGEST_LINE: usize = 16 << 20;

/// The longest string, escapes included: more than is written. `serde_json` copies strings, and quotes them where it
/// complains.
const LONGEST_STRING: usize = 64 << 10;

/// Why a line is not even looked at.
pub(super) fn check(line: &[u8]) -> Result<(), &'static str> {
    if line.len() > LONGEST_LINE {
        return Err("a line of more than 16 MiB");
    }
    if line.len() > LONGEST_STRING && has_long_string(line) {
        return Err("a string of more than 64 KiB");
    }
    Ok(())
}

fn has_long_string(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(begin) = memchr::memchr(b'"', rest) {
        rest = &rest[begin + 1..];
        let length = string_length(rest);
        if length > LONGEST_STRING {
            return true;
        }
        rest = rest.get(length + 1..).unwrap_or_default();
    }
    false
}

/// Up to the quote that ends it.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at;
        }
        at += 2;
    }
    text.len()
}

/// The type of a line: usually it comes first.
pub(super) fn kind(line: &[u8]) -> Result<Cow<'_, str>, NoItem> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    let first = line.strip_prefix(b"{\"type\":\"").and_then(|rest| {
        let end = rest.iter().position(|byte| !matches!(byte, b'a'..=b'z' | b'_'))?;
        std::str::from_utf8(&rest[..end]).ok().filter(|_| rest[end] == b'"')
    });
    match first {
        Some(kind) => Ok(Cow::Borrowed(kind)),
        None => Ok(Cow::Owned(read::<Typed>(line)?.r#type)),
    }
}
