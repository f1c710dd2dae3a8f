//! Rows that have something in common, as one.
//!
//! In: rows, and what they have in common. Out: sums, the greatest first, of which some are shown and the rest counted.

use std::collections::{BTreeMap, HashSet};

use super::tally::Entry;
use super::wall::WallNs;

/// What some rows come to.
#[derive(Debug)]
pub(super) struct Sum<'a, K> {
    /// What they have in common.
    pub(super) of: K,
    /// Failures.
    pub(super) count: u64,
    /// Processes.
    pub(super) processes: usize,
    /// The first failure.
    pub(super) first: WallNs,
    /// The last one.
    pub(super) last: WallNs,
    /// The row that has most.
    pub(super) most: &'a Entry,
}

/// A table.
#[derive(Debug)]
pub(super) struct Top<'a, K> {
    /// The greatest first.
    pub(super) rows: Vec<Sum<'a, K>>,
    /// Further rows.
    pub(super) more_rows: usize,
    /// Failures of these, and of what had no row.
    pub(super) more: u64,
}

/// The first `most` of the sums by `key`; `others` failures have no row.
pub(super) fn top<'a, K: Ord>(
    rows: &[&'a Entry],
    others: u64,
    most: usize,
    key: impl Fn(&'a Entry) -> K,
) -> Top<'a, K> {
    let mut sums: BTreeMap<K, (Vec<&'a Entry>, u64)> = BTreeMap::new();
    for entry in rows {
        let (entries, count) = sums.entry(key(entry)).or_default();
        entries.push(entry);
        *count = count.saturating_add(entry.count);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    // Stable: equals stay in the order of what they have in common.
    sums.sort_by_key(|(_, (_, count))| std::cmp::Reverse(*count));
    let rest = sums.split_off(most.min(sums.len()));
    let more = rest.iter().fold(others, |sum, (_, (_, count))| sum.saturating_add(*count));
    let rows = sums.into_iter().filter_map(|(of, (entries, count))| sum(of, &entries, count)).collect();
    Top { rows, more_rows: rest.len(), more }
}

fn sum<'a, K>(of: K, entries: &[&'a Entry], count: u64) -> Option<Sum<'a, K>> {
    let processes: HashSet<_> =
        entries.iter().map(|entry| (entry.key.host, entry.key.tgid, entry.key.start)).collect();
    Some(Sum {
        of,
        count,
        processes: processes.len(),
        first: entries.iter().map(|entry| entry.first).min()?,
        last: entries.iter().map(|entry| entry.last).max()?,
        most: entries.iter().max_by_key(|entry| entry.count)?,
    })
}
