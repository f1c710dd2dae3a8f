//! What a capture should have, and has not, in words.

use crate::event::{Missing, MissingWhy};
use crate::term::clean;

/// A line of its own.
pub(super) fn line(missing: &Missing) -> String {
    let Missing { why, file, lines, bytes } = missing;
    let file = file.as_ref().map_or_else(String::new, |file| format!("{}: ", clean(&file.0)));
    let lines = match lines {
        0 => String::new(),
        1 => "1 line ".to_owned(),
        lines => format!("{lines} lines "),
    };
    let bytes = if *bytes == 0 { String::new() } else { format!(" ({bytes} bytes)") };
    let what = match why {
        MissingWhy::NotWritten(error) => {
            format!("{lines}could not be written: {}", clean(error.as_bytes()))
        }
        MissingWhy::CutOff => "ends within a frame: it was cut off, or is being written".to_owned(),
        MissingWhy::Damaged => "is damaged, what is left was read".to_owned(),
        MissingWhy::TooLarge => format!("{lines}larger than any that is written: not read"),
        MissingWhy::Unreadable(error) => format!("cannot be read on: {}", clean(error.as_bytes())),
        MissingWhy::Malformed => format!("{lines}not as their type demands: not read"),
        MissingWhy::UnknownType => format!("{lines}of types that this version does not know: not read"),
        MissingWhy::RowsOfSnapshot => "rows of a snapshot are not there".to_owned(),
        MissingWhy::NoStart => "has no start: times of day are not known".to_owned(),
        MissingWhy::NoEnd => "has no end: the recorder was killed, or goes on".to_owned(),
        MissingWhy::EarlierParts => "earlier parts are not there any more: they made room".to_owned(),
        MissingWhy::Part => "a part before this one is not there".to_owned(),
        MissingWhy::NewerSchema(schema) => {
            format!("was written by a newer portwatch (schema {schema}): what it means may have changed")
        }
        MissingWhy::Other(word) => {
            format!("{lines}for a reason that this version does not know: {}", clean(word.as_bytes()))
        }
    };
    format!("missing: {file}{what}{bytes}")
}
