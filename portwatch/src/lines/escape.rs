//! Strings of JSON.
//!
//! In: bytes that strangers chose. Out: strings, in which characters that a terminal acts on, or that do not show, are escapes:
//! the value is the same. Must not know: what they stand for.

use std::io::{self, Write};

use serde_json::ser::Formatter;

use crate::term::shows;

/// Appends a string, with U+FFFD where `bytes` are not UTF-8. Whether all of them are.
#[inline]
pub(super) fn lossy(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    out.push(b'"');
    let is_utf_8 = if are_plain(bytes) {
        out.extend_from_slice(bytes);
        true
    } else {
        escaped(out, bytes)
    };
    out.push(b'"');
    is_utf_8
}

/// Whether each stands for itself.
fn are_plain(bytes: &[u8]) -> bool {
    // Of so many, without an early end, the compiler looks at all at once.
    let (chunks, rest) = bytes.as_chunks::<16>();
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\');
    chunks.iter().all(|chunk| chunk.iter().fold(true, |all, byte| all & is_plain(*byte)))
        && rest.iter().all(|byte| is_plain(*byte))
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let mut is_utf_8 = true;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\u{8}' => out.extend_from_slice(b"\\b"),
                '\u{c}' => out.extend_from_slice(b"\\f"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                visible if shows(visible) => {
                    out.extend_from_slice(visible.encode_utf8(&mut [0; 4]).as_bytes());
                }
                // Writing to a Vec cannot fail.
                other => drop(units(out, other)),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
            is_utf_8 = false;
        }
    }
    is_utf_8
}

/// A character as escapes of its UTF-16 units.
fn units<W: ?Sized + Write>(writer: &mut W, character: char) -> io::Result<()> {
    character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))
}

/// Appends a string of hexadecimal digits.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
    }
    out.push(b'"');
}

/// Makes `serde_json` write strings like everything else here.
#[derive(Debug, Clone, Copy)]
pub struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut shown = 0;
        for (at, character) in fragment.char_indices().filter(|(_, character)| !shows(*character)) {
            writer.write_all(&fragment.as_bytes()[shown..at])?;
            units(writer, character)?;
            shown = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[shown..])
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize as _;

    use super::{Visible, lossy};

    #[test]
    fn strings_are_written_as_serde_json_writes_them() {
        let mut characters: Vec<char> = ('\0'..'\u{300}').chain('\u{2000}'..'\u{2100}').collect();
        characters.extend(['\u{fffd}', '\u{feff}', '\u{1f600}', '\u{e0041}', '\u{10ffff}', '東']);
        for character in characters {
            let text = format!("a{character}b");
            let mut expected = Vec::new();
            text.serialize(&mut serde_json::Serializer::with_formatter(&mut expected, Visible)).unwrap();
            let mut written = Vec::new();
            assert!(lossy(&mut written, text.as_bytes()), "{text:?}");
            assert_eq!(String::from_utf8(written), String::from_utf8(expected), "{text:?}");
        }
    }
}
