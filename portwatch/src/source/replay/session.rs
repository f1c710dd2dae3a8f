//! Which items belong to one recording.
//!
//! In: items of one file after the other. Out: the same as if each recording had been one file, with what is missing
//! between its parts and at its end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::event::{Item, Missing, MissingWhy, Start, Text};
use crate::term::clean;

/// The recordings that are read.
#[derive(Default)]
pub(super) struct Sessions {
    session: Option<Session>,
    /// Whether there was any start, or anything else.
    pub(super) found: Found,
    /// Whether what follows in this file was read already.
    is_repeated: bool,
    /// Whether nothing has told yet whose lines are in this file.
    is_open: bool,
    /// Whether they are not the session's, as far as can be known.
    is_foreign: bool,
    /// Whether such lines came since the last of the session.
    is_interrupted: bool,
    /// The folder of this file, and whether the file before was in it, too.
    folder: PathBuf,
    is_same_folder: bool,
}

/// What was found so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Found {
    #[default]
    Nothing,
    /// Items without a start.
    Items,
    Start,
}

struct Session {
    /// Without hooks and limits.
    start: Start,
    /// The last part that was seen.
    part: Option<u32>,
    has_ended: bool,
    /// Whether it was said that a later version wrote it: every part begins with that.
    is_newer: bool,
}

impl Sessions {
    /// The next file begins: gives the start after which its lines are, should it have none.
    pub(super) fn file(&mut self, path: &Path) -> Option<&Start> {
        let folder = path.parent().unwrap_or(Path::new(""));
        self.is_same_folder = self.folder == folder;
        self.folder = folder.to_owned();
        self.is_open = true;
        (self.is_repeated, self.is_foreign) = (false, false);
        self.session.as_ref().map(|session| &session.start)
    }

    /// Hands an item on, and before it what is missing there.
    pub(super) fn pass(&mut self, item: Item, file: &Text, items: &mut VecDeque<Item>) {
        match item {
            Item::Start(start) => self.begin(start, file, items),
            _ if self.is_repeated => {}
            Item::Missing(Missing { why: MissingWhy::NewerSchema(_), .. }) => {
                let is_said = |session: &mut Session| std::mem::replace(&mut session.is_newer, true);
                if !self.session.as_mut().is_some_and(is_said) {
                    items.push_back(item);
                }
            }
            Item::Missing(_) => items.push_back(item),
            item => {
                if std::mem::take(&mut self.is_open) {
                    self.go_on(file, items);
                }
                if let (Item::End(_), Some(session)) = (&item, &mut self.session) {
                    session.has_ended |= !self.is_foreign;
                }
                items.push_back(item);
            }
        }
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, items: &mut VecDeque<Item>) {
        if self.session.take().is_some_and(|session| !session.has_ended) {
            items.push_back(missing(MissingWhy::NoEnd));
        }
    }

    /// There are lines in a file that has told no start.
    fn go_on(&mut self, file: &Text, items: &mut VecDeque<Item>) {
        let is_part = |session: &&mut Session| session.part.is_some() && !session.has_ended;
        if let Some(session) = self.session.as_mut().filter(is_part).filter(|_| self.is_same_folder) {
            // Its first frame is damaged, which is said.
            session.part = session.part.map(|part| part.saturating_add(1));
            return;
        }
        if self.found == Found::Nothing {
            self.found = Found::Items;
        }
        (self.is_foreign, self.is_interrupted) = (true, true);
        let (why, file) = (MissingWhy::NoStart, Some(file.clone()));
        items.push_back(Item::Missing(Missing::of(file, why)));
    }

    fn begin(&mut self, start: Start, file: &Text, items: &mut VecDeque<Item>) {
        (self.is_open, self.is_foreign) = (false, false);
        let is_interrupted = std::mem::take(&mut self.is_interrupted);
        let (part, first_part) = (start.part, start.first_part.unwrap_or(1));
        let start = Start { part: None, first_part: None, ..start };
        let known = known_by(&start);
        if let Some(session) = self.session.as_mut().filter(|session| session.start == known) {
            self.is_repeated = part <= session.part;
            if self.is_repeated {
                // A sealed copy beside what it is a copy of.
                log::warn!("{} was read already, as a copy of it: left out", clean(&file.0));
                self.is_interrupted = is_interrupted;
                return;
            }
            if is_interrupted {
                // Whoever reads is with another session.
                items.push_back(Item::Start(start));
            }
            if part != session.part.map(|part| part.saturating_add(1)) {
                items.push_back(missing(MissingWhy::Part));
            }
            session.part = part;
            return;
        }
        self.is_repeated = false;
        self.found = Found::Start;
        self.end(items);
        items.push_back(Item::Start(start));
        if part.is_some_and(|part| part > first_part) {
            items.push_back(missing(MissingWhy::EarlierParts));
        }
        self.session = Some(Session { start: known, part, has_ended: false, is_newer: false });
    }
}

/// What starts of one recording have in common, without what may be long.
fn known_by(start: &Start) -> Start {
    Start {
        version: start.version.clone(),
        host: start.host.clone(),
        kernel: start.kernel.clone(),
        hooks: Vec::new(),
        limits: Vec::new(),
        filter: start.filter.clone(),
        ..*start
    }
}

fn missing(why: MissingWhy) -> Item {
    Item::Missing(Missing::of(None, why))
}
