//! The rules, in one table: what each needs, when it speaks, what it says, what it advises.
//!
//! In: [`Facts`]. Out: [`Evidence`] and [`Advice`] of each rule alone. Must not know: which other rules speak.

mod bind_before_connect;
mod close_wait;
mod fixed_port;
mod foreign_address;
mod foreign_binds;
mod listeners_in_range;
mod live_connections;
mod narrow_namespace;
mod narrow_socket;
mod no_ipv6_source;
mod peer_keeps_open;
mod port_clash;
mod reserved_ports;
mod small_range;
mod time_wait;
mod udp_sockets;
mod unanswered;
mod unfinished_close;
mod unseen_holders;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::advice::Advice;
use super::facts::Facts;
use super::figures::{grouped, permille};
use crate::event::{Holder, Holding, Occupancy, Process};

/// One way to run out of ports.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What to call it; stays as it is.
    pub name: &'static str,
    /// What it finds, in a sentence.
    pub finds: &'static str,
    /// Without which facts it is silent.
    pub needs: &'static str,
    /// What it sees in the facts, if it speaks.
    pub check: fn(&Facts) -> Option<Evidence>,
    /// What it would have the operator do, where it speaks.
    pub advice: fn(&Facts) -> Vec<Advice>,
    /// A case of it.
    pub(super) example: fn() -> Facts,
}

/// What a rule sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How much of the shortage it explains.
    pub weight_permille: u16,
    /// This case, with its numbers. Names that processes chose are in it as they are: whoever shows it to people cleans
    /// it.
    pub sentence: String,
    /// The same in a few words.
    pub fragment: String,
}

/// All of them; among those that explain the same share the first comes first.
pub const RULES: [Rule; 19] = [
    no_ipv6_source::RULE,
    foreign_address::RULE,
    port_clash::RULE,
    fixed_port::RULE,
    bind_before_connect::RULE,
    udp_sockets::RULE,
    narrow_socket::RULE,
    reserved_ports::RULE,
    time_wait::RULE,
    close_wait::RULE,
    peer_keeps_open::RULE,
    unanswered::RULE,
    unfinished_close::RULE,
    live_connections::RULE,
    foreign_binds::RULE,
    listeners_in_range::RULE,
    narrow_namespace::RULE,
    small_range::RULE,
    unseen_holders::RULE,
];

/// What explains all of it.
const ALL_PERMILLE: u16 = 1000;
/// What explains less than this share is no reason to be shown as one.
const LEAST_PERMILLE: u16 = 250;
/// Holders that are named in a sentence.
const NAMED_HOLDERS: usize = 3;

/// `part` of `whole`, if that is worth a word.
fn weight(part: u32, whole: u32) -> Option<u16> {
    Some(permille(part, whole)).filter(|weight| *weight >= LEAST_PERMILLE)
}

/// Of a row's usable ports, if that is worth a word: which share that is of all ports of the range, as what reserved and bound
/// ports explain is measured by these.
fn weight_in_row(facts: &Facts, row: &Occupancy, part: u32) -> Option<u16> {
    let of_usable = weight(part, row.usable)?;
    let of_range = facts.range.map(|range| permille(part, range.width()));
    Some(of_range.map_or(of_usable, |of_range| of_range.min(of_usable)))
}

/// Those who have the most open, in words: a clause to append, empty where nobody is known.
fn held_by(holders: &[Holding]) -> String {
    let open = |holding: &Holding| holding.count - holding.time_wait.min(holding.count);
    let mut named: Vec<(u32, &Process)> = holders
        .iter()
        .filter_map(|holding| Some((open(holding), process(holding)?)))
        .filter(|(open, _)| *open > 0)
        .collect();
    named.sort_by_key(|(open, _)| Reverse(*open));
    let words = named.iter().take(NAMED_HOLDERS);
    let words: Vec<_> =
        words.map(|(open, process)| format!("{} has {}", called(process), grouped(*open))).collect();
    clause(&words)
}

/// Whose those in TIME_WAIT were, as above; processes of one name are one, as each connection may have had its own.
fn left_by(holders: &[Holding]) -> String {
    let mut left: BTreeMap<&[u8], u32> = BTreeMap::new();
    for holding in holders {
        let comm = match &holding.holder {
            Holder::Process(process) => &process.comm,
            Holder::Processes { comm: Some(comm), .. } => comm,
            _ => continue,
        };
        if holding.time_wait > 0 {
            *left.entry(&comm.0).or_default() += holding.time_wait;
        }
    }
    let mut left: Vec<_> = left.into_iter().collect();
    left.sort_by_key(|(_, count)| Reverse(*count));
    let words = left.iter().take(NAMED_HOLDERS);
    let words: Vec<_> = words
        .map(|(comm, count)| format!("{} left {}", String::from_utf8_lossy(comm), grouped(*count)))
        .collect();
    clause(&words)
}

fn clause(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("; {}", words.join(", ")) }
}

/// The process that has every open socket of the row, if one is known to.
fn only_process(row: &Occupancy) -> Option<&Process> {
    let mut open = row.holders.iter().filter(|holding| holding.count > holding.time_wait);
    let one = open.next().and_then(process);
    one.filter(|_| open.next().is_none())
}

fn process(holding: &Holding) -> Option<&Process> {
    match &holding.holder {
        Holder::Process(process) => Some(process),
        Holder::Processes { .. } | Holder::TimeWait | Holder::Closed | Holder::NotFound => None,
    }
}

fn called(process: &Process) -> String {
    format!("{} (pid {})", String::from_utf8_lossy(&process.comm.0), process.tgid.0)
}

#[cfg(test)]
mod tests;
