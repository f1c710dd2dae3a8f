//! In which order files are read.
//!
//! In: what the user named. Out: files, by when their recordings began. Must not know: what follows their first lines.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::capture::{Chunk, Files, OpenError, Reader, STDIN};
use crate::event::Item;
use crate::lines::Decoder;

/// A file that is to be read.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) path: PathBuf,
    /// Whether the user named it, rather than a folder that it is in: its recorder may delete it from there meanwhile.
    pub(super) is_named: bool,
}

/// What files are ordered by: when the recording began, by the wall clock in nanoseconds; which part of it this is; and
/// the longer one of two copies first, as the other one holds nothing else.
type Began = (i128, Option<u32>, Reverse<u64>);

/// Of these files and folders.
pub(super) fn ordered(paths: &[PathBuf]) -> Result<VecDeque<Captured>> {
    // Each with those of its folder behind it that tell no start, as these may go on with it. What is alone comes first, so
    // that it comes between no two parts.
    let mut groups: Vec<(Option<Began>, Vec<Captured>)> = Vec::new();
    for path in Files::find(paths)?.paths {
        let is_named = paths.contains(&path);
        let began = match began(&path) {
            Ok(began) => began,
            Err(error) if is_named => return Err(error.into()),
            // It is said when it is read in its turn.
            Err(_) => None,
        };
        let captured = Captured { path, is_named };
        let is_beside = |(_, group): &&mut (Option<Began>, Vec<Captured>)| {
            group.last().is_some_and(|last| last.path.parent() == captured.path.parent())
        };
        match groups.iter_mut().rev().find(is_beside).filter(|_| began.is_none()) {
            Some((_, group)) => group.push(captured),
            None => groups.push((began, vec![captured])),
        }
    }
    groups.sort_by_key(|(began, _)| *began);
    Ok(groups.into_iter().flat_map(|(_, group)| group).collect())
}

/// None where a start is not its first line, or it can be read once only.
fn began(path: &Path) -> Result<Option<Began>, OpenError> {
    // Of what is not there the reader says so.
    let facts = path.metadata().ok();
    if facts.as_ref().is_some_and(|facts| !facts.is_file()) || path == Path::new(STDIN) {
        return Ok(None);
    }
    let mut reader = Reader::open(path)?;
    let Some(Chunk::Lines(lines)) = reader.next() else { return Ok(None) };
    let Some(length) = memchr::memchr(b'\n', lines) else { return Ok(None) };
    let mut items = VecDeque::new();
    // Whatever is wrong with it is said when it is read in its turn.
    let _ = Decoder::default().line(&lines[..length], &mut items);
    let length = Reverse(facts.map_or(0, |facts| facts.len()));
    Ok(items.into_iter().find_map(|item| match item {
        Item::Start(start) => {
            Some((i128::from(start.at.0) + i128::from(start.boot_offset_ns), start.part, length))
        }
        _ => None,
    }))
}
