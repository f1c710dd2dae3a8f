//! From the kernel side's bytes to facts. Pure: no I/O, no clock, no /proc.
//!
//! In: records of the ring, keys and values of tables. Out: [`Item`], [`Row`], and who connected what.

mod sysctl;

use std::net::SocketAddr;
use std::time::Duration;

use portwatch_ebpf::abi;

use crate::event::{
    BootNs, Call, CgroupId, Details, Errno, Failure, Fault, Item, NetnsId, PortRange, Process, Protocol, Row,
    SearchRow, SearchTimes, Stage, Text, Tgid, Tid, TimeWait, on_the_wire,
};

const _: () = assert!(abi::TIME_WAIT_NS == TimeWait::LENGTH_NS);

/// Reads one record of the ring, which its size makes known: an [`Item::Failure`] or an [`Item::Sysctl`].
/// `ticks_per_second`: of the kernel's timer, in which it keeps some settings.
///
/// # Errors
/// When these are not the bytes of a record.
pub fn record(bytes: &[u8], ticks_per_second: u32) -> Result<Item, NoRecord> {
    // Of these there may be thousands a second.
    if bytes.len() == size_of::<abi::FailureRecord>() {
        return failure(bytes).map(Item::Failure).map_err(|Malformed| NoRecord::Failure);
    }
    match sysctl::change(bytes, ticks_per_second) {
        Some(change) => change.map(Item::Sysctl).map_err(|Malformed| NoRecord::Sysctl),
        None => Err(NoRecord::Failure),
    }
}

/// Bytes that are no record, by what they would have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRecord {
    /// A failure, as everything that is not known is taken for.
    Failure,
    /// A setting that was changed.
    Sysctl,
}

fn failure(bytes: &[u8]) -> Result<Failure, Malformed> {
    // SAFETY: the type has integers only.
    let record = unsafe { read::<abi::FailureRecord>(bytes) }.ok_or(Malformed)?;
    let fault = fault(&record.key)?;
    Ok(Failure {
        at: BootNs(record.boot_ns),
        fault,
        process: Process {
            tgid: Tgid(record.key.tgid),
            start: BootNs(record.key.start_boot_ns),
            tid: Some(Tid(record.tid)),
            comm: text(record.comm),
            uid: record.uid,
            gid: record.gid,
            cgroup: CgroupId(record.cgroup_id),
            details: Details::not_read(),
        },
        netns: NetnsId(record.key.netns),
        source: SocketAddr::new(on_the_wire(bytes_of(record.source)), record.source_port),
        port_range: PortRange { low: record.range_low, high: record.range_high },
        own_range: (record.own_low != 0 || record.own_high != 0)
            .then_some(PortRange { low: record.own_low, high: record.own_high }),
        search: (record.search_ns != 0).then(|| Duration::from_nanos(record.search_ns)),
    })
}

/// The summary row in one entry of the table of counts.
///
/// # Errors
/// [`Malformed`] when the key is not one.
pub fn row(key: &abi::FailureKey, value: &abi::FailureCount) -> Result<Row, Malformed> {
    Ok(Row {
        process: Process {
            tgid: Tgid(key.tgid),
            start: BootNs(key.start_boot_ns),
            tid: None,
            comm: text(value.leader_comm),
            uid: value.uid,
            gid: value.gid,
            cgroup: CgroupId(value.cgroup_id),
            details: Details::not_read(),
        },
        netns: NetnsId(key.netns),
        fault: fault(key)?,
        count: value.count,
        first: BootNs(value.first_boot_ns),
        last: BootNs(value.last_boot_ns.max(value.first_boot_ns)),
    })
}

/// Who connected a socket.
#[must_use]
pub fn owner(owner: &abi::Owner) -> Process {
    Process {
        tgid: Tgid(owner.tgid),
        start: BootNs(owner.start_boot_ns),
        tid: None,
        comm: text(owner.leader_comm),
        uid: owner.uid,
        gid: owner.gid,
        cgroup: CgroupId(owner.cgroup_id),
        details: Details::not_read(),
    }
}

/// When that process connected the socket.
#[must_use]
pub fn connected_at(owner: &abi::Owner) -> BootNs {
    BootNs(owner.connected_boot_ns)
}

/// The searches that one entry is about.
#[must_use]
pub fn search_row(key: &abi::SearchKey, times: &abi::SearchTimes) -> SearchRow {
    let port = u16::from_be(key.destination_port_be);
    SearchRow {
        netns: NetnsId(key.netns),
        source: on_the_wire(bytes_of(key.source)),
        destination: SocketAddr::new(on_the_wire(bytes_of(key.destination)), port),
        times: search_times(times),
    }
}

/// How long they took.
#[must_use]
pub fn search_times(times: &abi::SearchTimes) -> SearchTimes {
    SearchTimes {
        count: times.count,
        slow: times.slow,
        total: Duration::from_nanos(times.total_ns),
        longest: Duration::from_nanos(times.longest_ns),
    }
}

/// Bytes from the kernel side that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the kernel side is malformed")]
pub struct Malformed;

/// The record that these bytes are, if they are as many as it has.
///
/// # Safety
/// Any bytes must be valid for `T`.
unsafe fn read<T: Copy>(bytes: &[u8]) -> Option<T> {
    // SAFETY: as many bytes as are read, and the caller's promise.
    (bytes.len() == size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn fault(key: &abi::FailureKey) -> Result<Fault, Malformed> {
    const FLAGS: u8 = abi::FLAG_HAD_PORT | abi::FLAG_V4_MAPPED | abi::FLAG_KERNEL_SOCKET;
    let stage = match key.place {
        abi::PLACE_PORT_SEARCH => Stage::PortSearch,
        abi::PLACE_CONNECT => Stage::OutsidePortSearch,
        abi::PLACE_BIND => Stage::Bind,
        abi::PLACE_AUTOBIND => Stage::Autobind,
        abi::PLACE_SOCKET => Stage::SocketLayer,
        abi::PLACE_NETWORK => Stage::Network,
        abi::PLACE_SYSCALL => Stage::Unknown,
        _ => return Err(Malformed),
    };
    let call = match key.call {
        abi::CALL_CONNECT => Call::Connect,
        abi::CALL_BIND => Call::Bind,
        abi::CALL_SENDTO => Call::Sendto,
        _ => return Err(Malformed),
    };
    let protocol = match key.protocol {
        abi::PROTOCOL_TCP => Protocol::Tcp,
        abi::PROTOCOL_UDP => Protocol::Udp,
        abi::PROTOCOL_MPTCP => Protocol::Mptcp,
        _ => return Err(Malformed),
    };
    if key.errno == 0 || key.flags & !FLAGS != 0 {
        return Err(Malformed);
    }
    Ok(Fault {
        call,
        protocol,
        errno: Errno(key.errno),
        stage,
        had_port: key.flags & abi::FLAG_HAD_PORT != 0,
        address: SocketAddr::new(on_the_wire(bytes_of(key.address)), u16::from_be(key.port_be)),
        v4_mapped: key.flags & abi::FLAG_V4_MAPPED != 0,
        kernel_socket: key.flags & abi::FLAG_KERNEL_SOCKET != 0,
    })
}

/// Up to its NUL.
fn text(words: abi::Words) -> Text {
    let bytes = bytes_of(words);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Text(bytes[..end].to_vec())
}

fn bytes_of(words: abi::Words) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests;
