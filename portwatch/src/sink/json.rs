//! JSON Lines, schema 1 (`docs/json.md`).
//!
//! In: items, and opinions on them. Out: the lines of both. Must not know: how items are written, that is `lines`.

use std::io::{self, Write};

use super::Sink;
use super::words::opinion;
use crate::diagnose::Opinion;
use crate::event::Item;
use crate::lines::Encoder;

/// Writes JSON Lines.
pub struct Json<W: Write> {
    output: W,
    encoder: Encoder,
    /// Empty between items.
    lines: Vec<u8>,
}

impl<W: Write> Json<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        Self { output, encoder: Encoder::default(), lines: Vec::new() }
    }
}

impl<W: Write> Sink for Json<W> {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        // Counts of intervals are for recordings only.
        if !matches!(item, Item::Counts(_)) {
            self.encoder.item(item, &mut self.lines);
        }
        for opinion in opinions {
            opinion::write(opinion, self.encoder.clock(), &mut self.lines)?;
        }
        let written = self.output.write_all(&self.lines);
        self.lines.clear();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests;
