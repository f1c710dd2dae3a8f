//! A snapshot whose rows follow: together they are one item.

use super::snapshot::{Head, bytes_of};
use crate::event::{BootNs, Missing, MissingWhy, Occupancy, Snapshot};

/// The most rows that are kept: of those that are written there are a hundred times less.
const MOST_ROWS: usize = 10_000;

/// The most that rows may take together.
const MOST_BYTES: usize = 12 << 20;

/// What is there so far.
#[derive(Debug)]
pub(super) struct Pending {
    snapshot: Snapshot,
    /// Lines that were announced and have not come.
    to_come: u64,
    /// Rows that there was no room for.
    left_out: u64,
    bytes: usize,
}

impl From<Head> for Pending {
    fn from(head: Head) -> Self {
        let to_come = head.rows;
        Self { snapshot: head.into(), to_come, left_out: 0, bytes: 0 }
    }
}

impl Pending {
    pub(super) fn at(&self) -> BootNs {
        self.snapshot.at
    }

    pub(super) fn add(&mut self, row: Occupancy) {
        self.to_come = self.to_come.saturating_sub(1);
        self.bytes = self.bytes.saturating_add(bytes_of(&row));
        if self.snapshot.rows.len() < MOST_ROWS && self.bytes <= MOST_BYTES {
            self.snapshot.rows.push(row);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.to_come == 0
    }

    /// What is there, and how much is not.
    pub(super) fn end(self) -> (Snapshot, Option<Missing>) {
        let lines = self.to_come.saturating_add(self.left_out);
        let missing = Missing { why: MissingWhy::RowsOfSnapshot, file: None, lines, bytes: 0 };
        (self.snapshot, (lines > 0).then_some(missing))
    }
}
