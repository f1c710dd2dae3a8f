//! Lines → items.
//!
//! In: lines that anybody may have written, in their order. Out: items, or why there is none. Memory is bounded whatever
//! the line: what may be repeated is counted and weighed while it is read ([`bounded`]). Must not know: where lines come
//! from.

mod bounded;
mod failure;
mod memo;
mod pending;
mod session;
mod shape;
mod snapshot;
mod strings;
mod tables;
mod who;

use std::collections::VecDeque;

use serde::Deserialize;

use crate::clock::Clock;
use crate::event::{BootNs, Item, Missing, MissingWhy, Start};

use memo::Memo;
use pending::Pending;
use snapshot::{Head, Ports};

/// A line that became no item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoItem {
    /// Of a type that this version does not know.
    UnknownType,
    /// Not what its type demands; why.
    Malformed(String),
}

/// Turns lines back into items.
#[derive(Debug, Default)]
pub struct Decoder {
    /// That of the start; of a stream without one that of the first snapshot.
    clock: Option<Clock>,
    /// A snapshot whose rows follow.
    pending: Option<Pending>,
    memo: Memo,
}

impl Decoder {
    /// One for lines that go on after those of `start`, in another file.
    #[must_use]
    pub fn after(start: Option<&Start>) -> Self {
        let clock = start.map(|start| Clock { boot_offset_ns: start.boot_offset_ns });
        Self { clock, ..Self::default() }
    }

    /// Takes the next line, without its line feed, and appends what is complete with it: nothing after the first line of a
    /// snapshot, whose rows follow; two items more where a snapshot's rows stop too early; one more behind a start whose
    /// schema is a later one.
    ///
    /// # Errors
    /// When the line is none that can be read. The next one can.
    pub fn line(&mut self, line: &[u8], items: &mut VecDeque<Item>) -> Result<(), NoItem> {
        let known = memo::split(line);
        if let Some(failure) = known.and_then(|(at, tail)| self.memo.failure(at, tail)) {
            self.push(Item::Failure(failure), items);
            return Ok(());
        }
        shape::check(line).map_err(|why| NoItem::Malformed(why.to_owned()))?;
        let kind = shape::kind(line)?;
        match &*kind {
            "snapshot" => {
                let head: Head = read(line)?;
                self.gap(items);
                self.clock.get_or_insert(Clock { boot_offset_ns: head.boot_offset_ns });
                self.pending = Some(head.into());
                self.hand_on_if_complete(items);
            }
            "ports" => {
                let ports: Ports = read(line)?;
                let at = BootNs(ports.monotonic_ns);
                let row = ports.row().map_err(NoItem::Malformed)?;
                let Some(pending) = self.pending.as_mut().filter(|pending| pending.at() == at) else {
                    // Its first line is missing.
                    self.gap(items);
                    return Err(NoItem::UnknownType);
                };
                pending.add(row);
                self.hand_on_if_complete(items);
            }
            // Computed again from the facts.
            "verdict" | "warning" | "recovered" | "forecast" => {
                read::<serde::de::IgnoredAny>(line)?;
            }
            "start" => {
                let fields: session::StartFields = read(line)?;
                let newer = fields.newer_schema().map(MissingWhy::NewerSchema);
                let start = fields.start();
                self.clock = Some(Clock { boot_offset_ns: start.boot_offset_ns });
                self.push(Item::Start(start), items);
                let missing = |why| Item::Missing(Missing::of(None, why));
                items.extend(newer.map(missing));
            }
            other => {
                let item = self.item(other, line)?;
                if let (Item::Failure(failure), Some((_, tail))) = (&item, known) {
                    self.memo.keep(tail, failure);
                }
                self.push(item, items);
            }
        }
        Ok(())
    }

    /// Nothing follows: appends a snapshot that waits for rows, and forgets all.
    pub fn finish(&mut self, items: &mut VecDeque<Item>) {
        self.gap(items);
        *self = Self::default();
    }

    fn item(&mut self, kind: &str, line: &[u8]) -> Result<Item, NoItem> {
        let item = match kind {
            "failure" => Item::Failure(read::<failure::Fields>(line)?.into()),
            "lost" => Item::Lost(read::<session::LostFields>(line)?.into()),
            "suppressed" => Item::Suppressed(read::<session::SuppressedFields>(line)?.into()),
            "sysctl" => Item::Sysctl(read::<session::SysctlFields>(line)?.into()),
            "searches" => Item::Searches(read::<tables::SearchesFields>(line)?.into()),
            "recent_searches" => Item::RecentSearches(read::<tables::RecentFields>(line)?.into()),
            "counts" => Item::Counts(read::<tables::CountsFields>(line)?.counts(self.clock())?),
            "summary" => Item::Summary(read::<tables::SummaryFields>(line)?.summary(self.clock())?),
            "missing" => Item::Missing(read::<session::MissingFields>(line)?.missing()),
            "end" => Item::End(read::<session::EndFields>(line)?.into()),
            _ => {
                // What is no JSON is damaged rather than unknown.
                read::<serde::de::IgnoredAny>(line)?;
                return Err(NoItem::UnknownType);
            }
        };
        Ok(item)
    }

    fn clock(&self) -> Clock {
        self.clock.unwrap_or_default()
    }

    fn push(&mut self, item: Item, items: &mut VecDeque<Item>) {
        self.gap(items);
        items.push_back(item);
    }

    fn hand_on_if_complete(&mut self, items: &mut VecDeque<Item>) {
        if self.pending.as_ref().is_some_and(Pending::is_complete) {
            self.gap(items);
        }
    }

    /// Lines are missing here: appends a snapshot that waits for rows, with those that are there, and says which are not.
    #[inline]
    pub fn gap(&mut self, items: &mut VecDeque<Item>) {
        if let Some(pending) = self.pending.take() {
            let (snapshot, missing) = pending.end();
            items.push_back(Item::Ports(snapshot));
            items.extend(missing.map(Item::Missing));
        }
    }
}

fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, NoItem> {
    serde_json::from_slice(line).map_err(|error| malformed(&error.to_string()))
}

/// Strangers' words may be in it: what is long is cut.
fn malformed(why: &str) -> NoItem {
    const MOST_CHARACTERS: usize = 300;
    NoItem::Malformed(why.chars().take(MOST_CHARACTERS).collect())
}
