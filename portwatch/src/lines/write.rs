//! JSON, appended to bytes without anything in between.
//!
//! In: names and values. Out: objects and arrays. Must not know: what the values mean.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::event::{PortRange, Text};
use crate::lines::escape::{hex, lossy};

/// An object that is being written.
pub(super) struct Object<'a>(&'a mut Vec<u8>);

/// Appends an object with what `fields` puts into it.
#[inline(always)]
pub(super) fn object(out: &mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fields(&mut Object(out));
    out.push(b'}');
}

/// Appends a line of this type.
#[inline(always)]
pub(super) fn line(out: &mut Vec<u8>, kind: &'static str, fields: impl FnOnce(&mut Object<'_>)) {
    object(out, |line| {
        line.word("type", kind);
        fields(line);
    });
    out.push(b'\n');
}

/// Appends an array of `items`.
pub(super) fn array<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut each: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        each(out, item);
    }
    out.push(b']');
}

impl<'a> Object<'a> {
    /// An object that has begun, and has a field.
    pub(super) fn going_on(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// For fields that are appended by [`Self::going_on`].
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        self.0
    }

    /// Appends a name; the value is appended to what comes back.
    #[inline(always)]
    pub(super) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        // No value ends so: behind a brace the object has just begun.
        if self.0.last() == Some(&b'{') {
            self.0.push(b'"');
        } else {
            self.0.extend_from_slice(b",\"");
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0
    }

    #[inline(always)]
    pub(super) fn number(&mut self, name: &str, number: impl itoa::Integer) {
        self::number(self.name(name), number);
    }

    pub(super) fn number_if_known(&mut self, name: &str, number: Option<impl itoa::Integer>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    /// Absent where there are none.
    pub(super) fn count(&mut self, name: &str, count: u64) {
        self.number_if_known(name, (count > 0).then_some(count));
    }

    #[inline(always)]
    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        let out = self.name(name);
        if value {
            out.extend_from_slice(b"true");
        } else {
            out.extend_from_slice(b"false");
        }
    }

    pub(super) fn boolean_if_known(&mut self, name: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.boolean(name, value);
        }
    }

    /// Absent where it does not hold.
    #[inline]
    pub(super) fn flag(&mut self, name: &str, holds: bool) {
        if holds {
            self.boolean(name, true);
        }
    }

    /// A string of which each character stands for itself.
    #[inline(always)]
    pub(super) fn word(&mut self, name: &str, word: &str) {
        let out = self.name(name);
        out.push(b'"');
        out.extend_from_slice(word.as_bytes());
        out.push(b'"');
    }

    pub(super) fn string(&mut self, name: &str, text: &str) {
        lossy(self.name(name), text.as_bytes());
    }

    /// A text, and where it is not UTF-8 its bytes in `<name>_hex`.
    #[inline(always)]
    pub(super) fn text(&mut self, name: &str, text: &Text) {
        if !lossy(self.name(name), &text.0) {
            hex(self.name(&format!("{name}_hex")), &text.0);
        }
    }

    /// Absent where there is none.
    #[inline]
    pub(super) fn text_if_known(&mut self, name: &str, text: Option<&Text>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A string whose name is one, too.
    pub(super) fn named_by_strangers(&mut self, name: &str, value: &str) {
        let before: &[u8] = if self.0.last() == Some(&b'{') { b"" } else { b"," };
        self.0.extend_from_slice(before);
        lossy(self.0, name.as_bytes());
        self.0.push(b':');
        lossy(self.0, value.as_bytes());
    }

    /// Texts, and where one is not UTF-8 all their bytes in `<name>_hex`.
    pub(super) fn texts(&mut self, name: &str, texts: &[Text]) {
        let mut are_utf_8 = true;
        array(self.name(name), texts, |out, text| are_utf_8 &= lossy(out, &text.0));
        if !are_utf_8 {
            array(self.name(&format!("{name}_hex")), texts, |out, text| hex(out, &text.0));
        }
    }

    pub(super) fn strings(&mut self, name: &str, strings: &[String]) {
        array(self.name(name), strings, |out, string| {
            lossy(out, string.as_bytes());
        });
    }

    #[inline(always)]
    pub(super) fn address(&mut self, name: &str, address: IpAddr) {
        self::address(self.name(name), address);
    }

    #[inline(always)]
    pub(super) fn endpoint(&mut self, name: &str, endpoint: SocketAddr) {
        object(self.name(name), |fields| {
            fields.address("address", endpoint.ip());
            fields.number("port", endpoint.port());
        });
    }

    #[inline]
    pub(super) fn range(&mut self, name: &str, range: PortRange) {
        self::range(self.name(name), range);
    }
}

/// Appends a number.
#[inline]
pub(super) fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends lowest and highest port.
#[inline]
pub(super) fn range(out: &mut Vec<u8>, PortRange { low, high }: PortRange) {
    object(out, |fields| {
        fields.number("low", low);
        fields.number("high", high);
    });
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address {
        IpAddr::V4(address) => dotted(out, address.octets()),
        // Writing to a Vec cannot fail.
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
    out.push(b'"');
}

/// At once, which is less work than one number after the other.
fn dotted(out: &mut Vec<u8>, octets: [u8; 4]) {
    let mut text = [0; "255.255.255.255.".len()];
    let mut end = 0;
    let mut put = |byte| {
        text[end] = byte;
        end += 1;
    };
    for octet in octets {
        if octet >= 100 {
            put(b'0' + octet / 100);
        }
        if octet >= 10 {
            put(b'0' + octet / 10 % 10);
        }
        put(b'0' + octet % 10);
        put(b'.');
    }
    out.extend_from_slice(&text[..end - 1]);
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn addresses_are_written_as_they_are_shown() {
        for octet in 0..=255 {
            for octets in [[octet, 0, 255, 10], [9, octet, octet, 99], [100, 1, 0, octet]] {
                let mut out = Vec::new();
                dotted(&mut out, octets);
                assert_eq!(String::from_utf8(out).unwrap(), std::net::Ipv4Addr::from(octets).to_string());
            }
        }
    }
}
