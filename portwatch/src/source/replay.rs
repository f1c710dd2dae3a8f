//! Items from captures.
//!
//! Order: that in the files, which are put in the order in which their recordings began. Parts of one recording are one
//! stream. What should be there and is not becomes an item where it is noticed.

mod order;
mod session;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::Source;
use crate::capture::{Chunk, Damage, DamageKind, OpenError, Reader};
use crate::event::{Item, Missing, MissingWhy, Start, Text};
use crate::lines::{Decoder, NoItem};
use crate::term::named;
use order::{Captured, ordered};
use session::{Found, Sessions};

/// Reads captures.
pub struct Replay {
    /// What was asked for, for messages.
    names: String,
    files: VecDeque<Captured>,
    open: Option<Open>,
    sessions: Sessions,
    /// Of the last line; empty between lines.
    of_line: VecDeque<Item>,
    items: VecDeque<Item>,
}

/// The file that is being read.
struct Open {
    name: Text,
    reader: Reader,
    /// How far the lines at hand were read.
    at: usize,
    decoder: Decoder,
    unknown: u64,
    malformed: u64,
}

impl Replay {
    /// Of these files, folders of parts, or stdin (`-`).
    ///
    /// # Errors
    /// When one is not there, or cannot be read.
    pub fn of(paths: &[PathBuf]) -> Result<Self> {
        let names: Vec<String> = paths.iter().map(named).collect();
        let names = names.join(", ");
        let files = ordered(paths)?;
        let (of_line, items) = (VecDeque::new(), VecDeque::new());
        Ok(Self { names, files, open: None, sessions: Sessions::default(), of_line, items })
    }

    /// Reads on until there is an item, or nothing more.
    fn read(&mut self) -> Result<()> {
        while self.items.is_empty() {
            let Some(open) = &mut self.open else {
                let Some(file) = self.files.pop_front() else {
                    if self.sessions.found == Found::Nothing {
                        bail!(
                            "{}: there is no recording in it\nhint: `portwatch record -o FILE` makes one",
                            self.names
                        );
                    }
                    self.sessions.end(&mut self.items);
                    return Ok(());
                };
                self.open(&file)?;
                continue;
            };
            let goes_on = open.read(&mut self.of_line);
            for item in self.of_line.drain(..) {
                self.sessions.pass(item, &open.name, &mut self.items);
            }
            if !goes_on {
                self.open = None;
            }
        }
        Ok(())
    }

    /// Begins with the next file. What the user named has to be there.
    fn open(&mut self, file: &Captured) -> Result<()> {
        let start = self.sessions.file(&file.path);
        match Open::new(&file.path, start) {
            Ok(open) => self.open = Some(open),
            Err(error) if file.is_named => return Err(error.into()),
            Err(error) => {
                let error = match error {
                    OpenError::Failed { error, .. } => error.to_string(),
                    other @ OpenError::NoFile { .. } => other.to_string(),
                };
                let (why, file) = (MissingWhy::Unreadable(error), Some(Text::of(&file.path)));
                self.items.push_back(Item::Missing(Missing::of(file, why)));
            }
        }
        Ok(())
    }
}

impl Source for Replay {
    async fn next(&mut self) -> Result<Option<Item>> {
        if self.items.is_empty() {
            self.read()?;
        }
        Ok(self.items.pop_front())
    }

    /// Nobody waits for single lines.
    fn has_more(&self) -> bool {
        true
    }
}

impl Open {
    /// Of a file that may go on after that start.
    fn new(path: &Path, start: Option<&Start>) -> Result<Self, OpenError> {
        let reader = Reader::open(path)?;
        let decoder = Decoder::after(start);
        Ok(Self { name: Text::of(path), reader, at: 0, decoder, unknown: 0, malformed: 0 })
    }

    /// The items of the next line, if it has any; false at the end of the file.
    fn read(&mut self, items: &mut VecDeque<Item>) -> bool {
        let lines = &self.reader.lines()[self.at..];
        if let Some(length) = memchr::memchr(b'\n', lines) {
            self.at += length + 1;
            match self.decoder.line(&lines[..length], items) {
                Ok(()) => {}
                Err(NoItem::UnknownType) => self.unknown += 1,
                Err(NoItem::Malformed(why)) => {
                    log::debug!("a line is not what its type demands: {why}");
                    self.malformed += 1;
                }
            }
            return true;
        }
        self.at = 0;
        match self.reader.next() {
            Some(Chunk::Lines(_)) => true,
            Some(Chunk::Damage(damage)) => {
                // What follows is not what belongs to a snapshot that was begun.
                self.decoder.gap(items);
                items.push_back(self.damage(damage));
                true
            }
            None => {
                self.end(items);
                false
            }
        }
    }

    fn end(&mut self, items: &mut VecDeque<Item>) {
        self.decoder.finish(items);
        let unread = [(MissingWhy::UnknownType, self.unknown), (MissingWhy::Malformed, self.malformed)];
        for (why, lines) in unread.into_iter().filter(|(_, lines)| *lines > 0) {
            items.push_back(Item::Missing(Missing { why, file: Some(self.name.clone()), lines, bytes: 0 }));
        }
    }

    fn damage(&self, damage: Damage) -> Item {
        let why = match damage.kind {
            DamageKind::CutOff => MissingWhy::CutOff,
            DamageKind::Damaged => MissingWhy::Damaged,
            DamageKind::TooLarge => MissingWhy::TooLarge,
            DamageKind::Unreadable(error) => MissingWhy::Unreadable(error),
        };
        Item::Missing(Missing { why, file: Some(self.name.clone()), lines: 0, bytes: damage.bytes })
    }
}

#[cfg(test)]
mod tests;
