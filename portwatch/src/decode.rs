//! From the kernel side's bytes to facts. Pure: no I/O, no clock, no /proc.
//!
//! In: records of the ring, keys and values of the table of counts. Out: [`Failure`] and [`Row`].

use std::net::SocketAddr;

use portwatch_ebpf::abi;

use crate::event::{
    BootNs, Call, CgroupId, Details, Errno, Failure, Fault, NetnsId, PortRange, Process, Protocol, Row,
    Stage, Text, Tgid, Tid, on_the_wire,
};

/// Bytes of one record.
pub const RECORD_BYTES: usize = size_of::<abi::FailureRecord>();

/// The failure in one record of the ring.
///
/// # Errors
/// [`Malformed`] when these are not the bytes of a record.
pub fn failure(bytes: &[u8]) -> Result<Failure, Malformed> {
    let record = record(bytes).ok_or(Malformed)?;
    let fault = fault(&record.key)?;
    Ok(Failure {
        at: BootNs(record.boot_ns),
        fault,
        process: Process {
            tgid: Tgid(record.key.tgid),
            start: BootNs(record.key.start_boot_ns),
            tid: Some(Tid(record.tid)),
            comm: comm(record.comm),
            uid: record.uid,
            gid: record.gid,
            cgroup: CgroupId(record.cgroup_id),
            details: Details::NotRead,
        },
        netns: NetnsId(record.key.netns),
        source: SocketAddr::new(on_the_wire(bytes_of(record.source)), record.source_port),
        port_range: PortRange { low: record.range_low, high: record.range_high },
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
            comm: comm(value.leader_comm),
            uid: value.uid,
            gid: value.gid,
            cgroup: CgroupId(value.cgroup_id),
            details: Details::NotRead,
        },
        netns: NetnsId(key.netns),
        fault: fault(key)?,
        count: value.count,
        first: BootNs(value.first_boot_ns),
        last: BootNs(value.last_boot_ns.max(value.first_boot_ns)),
    })
}

/// Bytes from the kernel side that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the kernel side is malformed")]
pub struct Malformed;

fn record(bytes: &[u8]) -> Option<abi::FailureRecord> {
    if bytes.len() != RECORD_BYTES {
        return None;
    }
    // SAFETY: as many bytes as the record has, and it consists of integers, for which any bytes are valid.
    Some(unsafe { bytes.as_ptr().cast::<abi::FailureRecord>().read_unaligned() })
}

fn fault(key: &abi::FailureKey) -> Result<Fault, Malformed> {
    let stage = match key.hook {
        abi::HOOK_PORT_SEARCH => Stage::PortSearch,
        abi::HOOK_TCP_V4_CONNECT | abi::HOOK_TCP_V6_CONNECT => Stage::OutsidePortSearch,
        _ => return Err(Malformed),
    };
    if key.errno == 0 || key.flags & !(abi::FLAG_HAD_PORT | abi::FLAG_V4_MAPPED) != 0 {
        return Err(Malformed);
    }
    let port = u16::from_be(key.destination_port_be);
    Ok(Fault {
        call: Call::Connect,
        protocol: Protocol::Tcp,
        errno: Errno(key.errno),
        stage,
        had_port: key.flags & abi::FLAG_HAD_PORT != 0,
        destination: SocketAddr::new(on_the_wire(bytes_of(key.destination)), port),
        v4_mapped: key.flags & abi::FLAG_V4_MAPPED != 0,
    })
}

fn comm(words: abi::Comm) -> Text {
    let bytes = bytes_of(words);
    Text(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
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
