//! When connect() takes long to find a port, which is so long before it finds none.
//!
//! The kernel tries the ports of one parity first. Once these are used up towards one destination, each connect() there
//! goes through all of them in vain: from microseconds it jumps to a millisecond (`__inet_hash_connect`,
//! net/ipv4/inet_hashtables.c, 4.17 to 7.3). This sees what no socket table shows, too.
//!
//! In: searches of one interval after the other. Out: [`Slowness`], once where it begins and once where it ends. Must not
//! know: how searches are measured.

use std::collections::BTreeMap;
use std::time::Duration;

use super::path::Path;
use crate::event::{BootNs, RecentSearch, RecentSearches};

/// From so many slow searches in one interval on, if they are half of all there: one may have been interrupted.
const LEAST_SLOW: u64 = 5;
/// It is over when for so long no interval had so many.
const OVER_AFTER: Duration = Duration::from_secs(10);
/// Places that are followed.
const MAX_PATHS: usize = 4096;

/// That searches for a port take long, or no longer do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slowness {
    /// The end of the interval.
    pub at: BootNs,
    /// Of what.
    pub path: Path,
    /// Whether it is over.
    pub is_over: bool,
    /// Searches of the interval, or of the last one that had slow ones.
    pub search: RecentSearch,
}

/// Remembers of what it has warned.
#[derive(Debug, Default)]
pub(super) struct Watcher(BTreeMap<Path, (BootNs, RecentSearch)>);

impl Watcher {
    /// What begins and what ends with this interval.
    pub(super) fn read(&mut self, recent: &RecentSearches) -> Vec<Slowness> {
        let at = recent.to;
        let mut news = Vec::new();
        for search in recent.rows.iter().filter(|search| is_slow(search)) {
            let path = path(search);
            if !self.0.contains_key(&path) {
                if self.0.len() >= MAX_PATHS {
                    continue;
                }
                news.push(Slowness { at, path, is_over: false, search: search.clone() });
            }
            self.0.insert(path, (at, search.clone()));
        }
        self.0.retain(|path, (last, search)| {
            let is_over = Duration::from_nanos(at.0.saturating_sub(last.0)) >= OVER_AFTER;
            if is_over {
                news.push(Slowness { at, path: *path, is_over, search: search.clone() });
            }
            !is_over
        });
        news
    }
}

fn is_slow(search: &RecentSearch) -> bool {
    search.slow >= LEAST_SLOW && search.slow * 2 >= search.count
}

fn path(search: &RecentSearch) -> Path {
    Path {
        netns: search.netns,
        is_udp: false,
        source: Some(search.source),
        destination: Some(search.destination),
        device: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Watcher;
    use crate::event::{BootNs, NetnsId, RecentSearch, RecentSearches};

    fn interval(second: u64, count: u64, slow: u64) -> RecentSearches {
        let search = RecentSearch {
            netns: NetnsId(1),
            source: [10, 0, 0, 1].into(),
            destination: ([10, 0, 0, 2], 443).into(),
            count,
            slow,
            average: Duration::from_micros(900),
        };
        let at = |second: u64| BootNs(second * 1_000_000_000);
        RecentSearches { from: at(second - 1), to: at(second), rows: vec![search] }
    }

    #[test]
    fn it_is_said_once_when_searches_get_slow_and_once_when_they_are_fast_again() {
        const NONE: [bool; 0] = [];
        let mut watcher = Watcher::default();
        let said = |watcher: &mut Watcher, second, count, slow| {
            let news = watcher.read(&interval(second, count, slow));
            news.iter().map(|news| news.is_over).collect::<Vec<_>>()
        };
        assert_eq!(said(&mut watcher, 1, 4, 4), NONE, "too few to tell");
        assert_eq!(said(&mut watcher, 2, 100, 49), NONE, "less than half of them");
        assert_eq!(said(&mut watcher, 3, 100, 50), [false]);
        assert_eq!(said(&mut watcher, 4, 100, 100), NONE);
        assert_eq!(said(&mut watcher, 13, 100, 1), NONE);
        assert_eq!(said(&mut watcher, 14, 100, 1), [true]);
        assert_eq!(said(&mut watcher, 15, 100, 1), NONE);
        assert_eq!(said(&mut watcher, 16, 6, 6), [false], "it may begin again");
    }
}
