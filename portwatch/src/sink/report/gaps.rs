//! What a capture should have, and has not.
//!
//! In: what the reader of captures says. Out: the same, summed. Bounded: what differs from all others beyond a number is
//! counted together.

use crate::event::{Missing, MissingWhy, Text};

/// Kinds that are kept apart.
const MOST: usize = 64;
/// Bytes of a file's name, and of what a system said.
const TEXT_BYTES: usize = 1024;

/// What is missing, and how often.
#[derive(Debug)]
pub(super) struct Gap {
    /// What; lines and bytes of all of them.
    pub(super) missing: Missing,
    /// How often it was told.
    pub(super) times: u64,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// In the order in which they came up.
    pub(super) all: Vec<Gap>,
    /// Those of other kinds than these.
    pub(super) further: u64,
}

impl Gaps {
    /// Takes the next.
    pub(super) fn note(&mut self, missing: &Missing) {
        let same = |gap: &&mut Gap| gap.missing.why == missing.why && gap.missing.file == missing.file;
        if let Some(gap) = self.all.iter_mut().find(same) {
            gap.times += 1;
            gap.missing.lines = gap.missing.lines.saturating_add(missing.lines);
            gap.missing.bytes = gap.missing.bytes.saturating_add(missing.bytes);
        } else if self.all.len() < MOST {
            self.all.push(Gap { missing: trimmed(missing), times: 1 });
        } else {
            self.further += 1;
        }
    }
}

fn trimmed(missing: &Missing) -> Missing {
    let cut = |text: &String| text.chars().take(TEXT_BYTES).collect();
    let why = match &missing.why {
        MissingWhy::NotWritten(said) => MissingWhy::NotWritten(cut(said)),
        MissingWhy::Unreadable(said) => MissingWhy::Unreadable(cut(said)),
        MissingWhy::Other(word) => MissingWhy::Other(cut(word)),
        why => why.clone(),
    };
    let file = missing.file.as_ref().map(|file| Text(file.0.iter().take(TEXT_BYTES).copied().collect()));
    Missing { why, file, ..*missing }
}

#[cfg(test)]
mod tests {
    use super::{Gaps, MOST};
    use crate::event::{Missing, MissingWhy, Text};

    #[test]
    fn gaps_of_a_kind_are_summed_and_further_kinds_counted() {
        let mut gaps = Gaps::default();
        for file in 0..100_u8 {
            for _ in 0..2 {
                let file = Some(Text(vec![file]));
                gaps.note(&Missing { why: MissingWhy::Damaged, file, lines: 3, bytes: 10 });
            }
        }
        assert_eq!(gaps.all.len(), MOST);
        assert!(gaps.all.iter().all(|gap| (gap.times, gap.missing.lines, gap.missing.bytes) == (2, 6, 20)));
        assert_eq!(gaps.further, 72);
    }
}
