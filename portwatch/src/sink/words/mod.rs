//! Words that several sinks have for the same.
//!
//! In: facts and opinions. Out: cells, sentences, lines for people; what processes chose is escaped. Must not know:
//! which sink asks, and where on a page it stands.

pub(in crate::sink) mod columns;
mod group;
mod holders;
pub(super) mod opinion;
pub(in crate::sink) mod verdict;

use std::time::Duration;

use crate::event::{Call, Fault, LossReason, NoRoom, Occupancy, Process, Protocol, SocketState, Tgid};

pub use group::GroupBy;
pub(super) use group::{Group, runs_in};
pub(super) use holders::{entries, held_by};

/// Where detail was lost, in words.
pub(in crate::sink) fn reason_words(reason: LossReason) -> &'static str {
    match reason {
        LossReason::RingFull => "the kernel's ring was full",
        LossReason::QueueFull => "the output is too slow",
        LossReason::MalformedRecord => "malformed records",
        LossReason::Unaccounted => "counted, but never seen",
        LossReason::SkippedRun => "skipped runs",
    }
}

/// What tables of the kernel side had no room for, a line each.
pub(in crate::sink) fn full_tables(NoRoom { callers, details, repeats, owners }: NoRoom) -> Vec<String> {
    let all = [
        (callers, "connect", "of which nobody would know who called, had the network refused them"),
        (details, "failure", "told with less detail: the cause may be unknown"),
        (repeats, "failure", "that may be counted twice"),
        (
            owners,
            "connect",
            "forgotten within a minute: in TIME_WAIT they are nobody's; --holders=N remembers more",
        ),
    ];
    let full = all.into_iter().filter(|(count, ..)| *count > 0);
    full.map(|(count, what, cost)| {
        format!("tables of the kernel side were full: {} {cost}", plural(count, what))
    })
    .collect()
}

/// So many processes.
pub(in crate::sink) fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

/// Processes that are told without what /proc knows of them, as it took too long.
pub(in crate::sink) fn unanswered(count: u64) -> Option<String> {
    let times = plural(count, "time");
    (count > 0).then(|| {
        format!("{times} /proc did not tell in time who a process is: executable, arguments or names may be missing")
    })
}

pub(in crate::sink) fn pid(process: &Process) -> String {
    if process.tgid == Tgid(0) { "?".to_owned() } else { process.tgid.0.to_string() }
}

/// What stands before an address: the protocol, where that is not TCP.
pub(in crate::sink) fn prefix(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "udp ",
        Protocol::Mptcp => "mptcp ",
    }
}

/// The address of a fault, with its protocol where that is not TCP; `-` where the caller gave none.
pub(in crate::sink) fn address(fault: &Fault) -> String {
    let protocol = prefix(fault.protocol);
    let unknown =
        fault.call != Call::Bind && fault.address.ip().is_unspecified() && fault.address.port() == 0;
    if unknown { format!("{protocol}-") } else { format!("{protocol}{}", fault.address) }
}

/// Where a call wanted to go, or the address that a bind wanted.
pub(in crate::sink) fn wanted(fault: &Fault) -> String {
    if fault.call == Call::Bind { format!("bind {}", address(fault)) } else { address(fault) }
}

/// A time in three or four digits.
pub(in crate::sink) fn short(time: Duration) -> String {
    let ns = time.as_nanos();
    match ns {
        0..10_000 => format!("{:.1} µs", time.as_secs_f64() * 1e6),
        10_000..1_000_000 => format!("{} µs", ns / 1000),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// A count with its noun: `1 socket`, `2 sockets`.
pub(in crate::sink) fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// How many ports of a row are in which state.
pub(in crate::sink) fn states(row: &Occupancy) -> String {
    let words = row.by_state.iter().map(|(of, count)| format!("{} {count}", state(*of)));
    words.collect::<Vec<_>>().join(", ")
}

/// The name of a state, as ss(8) and the kernel have it.
pub(in crate::sink) fn state(state: SocketState) -> &'static str {
    match state {
        SocketState::Established => "ESTABLISHED",
        SocketState::SynSent => "SYN_SENT",
        SocketState::SynRecv => "SYN_RECV",
        SocketState::FinWait1 => "FIN_WAIT1",
        SocketState::FinWait2 => "FIN_WAIT2",
        SocketState::TimeWait => "TIME_WAIT",
        SocketState::CloseWait => "CLOSE_WAIT",
        SocketState::LastAck => "LAST_ACK",
        SocketState::Closing => "CLOSING",
        SocketState::Listen => "LISTEN",
        SocketState::Bound => "bound",
    }
}
