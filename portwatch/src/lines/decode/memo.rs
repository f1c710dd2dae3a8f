//! Failures that were read lately, by their lines without the time: in a storm the same few hundred come again and again.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::bounded::heap;
use super::who;
use crate::event::{BootNs, Failure};

/// The most that is kept, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// How many are kept.
const MOST: usize = 4096;

/// A line beyond is read each time.
const LONGEST: usize = 16 << 10;

/// Ends of lines, with the failures that they are.
#[derive(Debug, Default)]
pub(super) struct Memo {
    failures: HashMap<Box<[u8]>, Failure, RandomState>,
    bytes: usize,
}

impl Memo {
    /// The one with this end, if it is known.
    #[inline]
    pub(super) fn failure(&self, at: BootNs, tail: &[u8]) -> Option<Failure> {
        self.failures.get(tail).map(|failure| Failure { at, ..failure.clone() })
    }

    /// Keeps it. Where there is no room, all others are forgotten: those that come again are soon back.
    pub(super) fn keep(&mut self, tail: &[u8], failure: &Failure) {
        let bytes = heap(tail.len()) + size_of::<(Box<[u8]>, Failure)>() + who::heap_of(&failure.process);
        if bytes > LONGEST {
            return;
        }
        if self.failures.len() == MOST || self.bytes + bytes > MOST_BYTES {
            self.failures.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.failures.insert(tail.into(), failure.clone());
    }
}

/// When it was, and all behind that, which says everything else: of a failure to the letter as it is written, as only
/// there the same bytes mean the same.
#[inline]
pub(super) fn split(line: &[u8]) -> Option<(BootNs, &[u8])> {
    const TIME: usize = "2026-11-22T11:23:16.519565885Z".len();
    let (time, rest) = line.strip_prefix(b"{\"type\":\"failure\",\"time\":\"")?.split_at_checked(TIME)?;
    let is_time = time.iter().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'-' | b'.' | b'T' | b'Z'));
    let rest = rest.strip_prefix(b"\",\"monotonic_ns\":").filter(|_| is_time)?;
    // Of 20 digits it could be too large; that takes 317 years.
    const MOST_DIGITS: usize = 19;
    let digits = rest.iter().take(MOST_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, tail) = rest.split_at(digits);
    let is_number = matches!((digits, tail), ([b'0'] | [b'1'..=b'9', ..], [b',', ..]));
    if !is_number || digits.len() > MOST_DIGITS {
        return None;
    }
    let at = digits.iter().fold(0, |at: u64, digit| at * 10 + u64::from(digit - b'0'));
    Some((BootNs(at), tail))
}
