//! Where results go.

use std::io::{self, Write};

/// Standard output, whose errors say so.
pub(super) struct Output(io::Stdout);

impl Output {
    /// The process's own.
    pub(super) fn new() -> Self {
        Self(io::stdout())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(|error| named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(|error| named(&error))
    }
}

fn named(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("write to standard output: {error}"))
}
