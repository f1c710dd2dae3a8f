//! Strings that stand for something else: bytes, words, numbers.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::bounded::{Weigh, heap};
use crate::event::{Errno, Errnos, Text};
use crate::lines::errnos;
use crate::lines::words::Word;

/// A type that is read from a string.
pub(super) trait FromText: Sized {
    /// What it is, for a complaint.
    const NAME: &'static str;

    /// None where the string does not stand for one.
    fn from_text(text: &str) -> Option<Self>;
}

/// What a string stands for.
pub(super) struct Of<T>(pub(super) T);

impl<'de, T: FromText> Deserialize<'de> for Of<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reading(PhantomData))
    }
}

struct Reading<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for Reading<T> {
    type Value = Of<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string that is a {}", T::NAME)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::from_text(text).map(Of).ok_or_else(|| E::custom(format_args!("{text:?} is no {}", T::NAME)))
    }
}

impl<T: Word> FromText for T {
    const NAME: &'static str = T::NAME;

    fn from_text(text: &str) -> Option<Self> {
        Self::of(text)
    }
}

/// What is written as itself.
pub(super) struct Parsed<T>(pub(super) T);

impl<T: FromStr> FromText for Parsed<T> {
    const NAME: &'static str = "value of its kind";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl FromText for Timestamp {
    const NAME: &'static str = "time of day";

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Text, lossily.
impl FromText for Text {
    const NAME: &'static str = "text";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.as_bytes().to_vec()))
    }
}

/// Text as the bytes that it is.
pub(super) struct Hex(Text);

impl FromText for Hex {
    const NAME: &'static str = "sequence of hexadecimal bytes";

    fn from_text(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        rest.is_empty().then(|| bytes.collect::<Option<_>>()).flatten().map(Text).map(Self)
    }
}

impl From<Of<Text>> for Text {
    fn from(Of(text): Of<Self>) -> Self {
        text
    }
}

impl From<Of<Hex>> for Text {
    fn from(Of(Hex(text)): Of<Hex>) -> Self {
        text
    }
}

impl Weigh for Of<Text> {
    fn heap(&self) -> usize {
        heap(self.0.0.capacity())
    }
}

impl Weigh for Of<Hex> {
    fn heap(&self) -> usize {
        heap(self.0.0.0.capacity())
    }
}

/// A text of two fields: its bytes win.
pub(super) fn exact(lossy: Of<Text>, hex: Option<Of<Hex>>) -> Text {
    hex.map_or_else(|| lossy.into(), Text::from)
}

/// Errors by one word, or each by its name.
pub(super) struct Named(pub(super) Errnos);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ErrnoNames)
    }
}

struct ErrnoNames;

impl<'de> Visitor<'de> for ErrnoNames {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"shortage\", \"all\" or names of errors")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Named, E> {
        match word {
            "shortage" => Ok(Named(Errnos::Shortage)),
            "all" => Ok(Named(Errnos::All)),
            other => Err(E::custom(format_args!("{other:?} is no choice of errors"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Named, A::Error> {
        // As many as have names; each is looked for among all.
        const MOST: usize = 256;
        let mut these = Vec::new();
        while let Some(Of(errno)) = seq.next_element::<Of<Errno>>()? {
            if these.len() == MOST {
                return Err(A::Error::custom(format_args!("more than {MOST} errors")));
            }
            these.push(errno);
        }
        Ok(Named(Errnos::These(these)))
    }
}

impl FromText for Errno {
    const NAME: &'static str = "name of an error";

    fn from_text(text: &str) -> Option<Self> {
        errnos::named(text)
    }
}
