//! Text for a terminal.
//!
//! In: bytes that strangers chose. Out: text without control functions; how much of it has room. Must not know: what
//! the text is about.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::fd::AsRawFd as _;

/// What a terminal shows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

/// That of the terminal on stdout; none where that is something else.
#[must_use]
pub fn size() -> Option<Size> {
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let descriptor = std::io::stdout().as_raw_fd();
    // SAFETY: the request writes a `winsize`, and that lives through the call (ioctl_tty(2)).
    let answer = unsafe { nix::libc::ioctl(descriptor, nix::libc::TIOCGWINSZ, &raw mut size) };
    // A serial line may not know its size.
    (answer == 0 && size.ws_row > 0 && size.ws_col > 0)
        .then(|| Size { columns: size.ws_col.into(), lines: size.ws_row.into() })
}

/// A path or another name of the system, shown as [`clean`] does.
#[must_use]
pub fn named(name: impl AsRef<OsStr>) -> String {
    clean(name.as_ref().as_encoded_bytes())
}

/// Shows `bytes` so that no terminal acts on them: control, bidirectional, zero-width and other invisible
/// characters and bytes that are not UTF-8 appear as escapes.
#[must_use]
pub fn clean(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                // As itself it would make an escape out of what follows.
                '\\' => shown.push_str("\\\\"),
                visible if shows(visible) => shown.push(visible),
                other => shown.extend(other.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Whether a terminal shows this character, neither acting on it nor hiding it.
#[must_use]
pub fn shows(character: char) -> bool {
    // `escape_debug` knows which characters print; quotes and the backslash it escapes for another reason.
    matches!(character, ' '..='~') || character.escape_debug().eq([character])
}

/// A colour, or none where the output shall be plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// As it is.
    Plain,
    /// With colours.
    Coloured,
}

impl Paint {
    /// `text` set apart: what somebody looks for first.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.sgr("1;31", text)
    }

    /// `text` set back: headings and what is only read on second look.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.sgr("2", text)
    }

    /// Wraps in "select graphic rendition", ECMA-48 8.3.117.
    fn sgr(self, parameters: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{parameters}m{text}\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn hostile_names_show_as_escapes() {
        let cases: &[(&str, &[u8], &str)] = &[
            ("plain", b"nginx: worker process", "nginx: worker process"),
            ("letters of any script stay", "größe 東京".as_bytes(), "größe 東京"),
            ("escape sequence", b"\x1b[2Jx", "\\u{1b}[2Jx"),
            ("one-byte control sequence introducer", "\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("what looks like an escape", b"\\x1b", "\\\\x1b"),
            ("line break", b"a\nb\r", "a\\nb\\r"),
            ("right-to-left override", "a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            ("zero-width space", "a\u{200b}b".as_bytes(), "a\\u{200b}b"),
            ("line separator", "a\u{2028}b".as_bytes(), "a\\u{2028}b"),
            ("bytes that are not UTF-8", b"a\xff\xfeb", "a\\xff\\xfeb"),
            ("truncated sequence", b"a\xe6\x9d", "a\\xe6\\x9d"),
        ];
        for (what, bytes, shown) in cases {
            assert_eq!(clean(bytes), *shown, "{what}");
        }
    }
}
