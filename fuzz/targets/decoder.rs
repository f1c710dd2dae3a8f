//! What the kernel side writes, as any bytes: the ring's records, keys and values of the tables.
//!
//! Whatever comes: no panic, little memory; and an item that is made of it can be written as lines that say the same when
//! they are read, and as a text without control characters.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portwatch::decode;
use portwatch::event::{Call, Item, Searches, Summary};
use portwatch_ebpf::abi;
use portwatch_fuzz::{Bounded, check};

#[global_allocator]
static MEMORY: Bounded = Bounded::new();
/// A record of ports has 65,536 of them twice, each at most six digits in text that lines hold and that is read again.
const LIMIT_BYTES: usize = 8 << 20;

fuzz_target!(init: Bounded::assert_bounds(), |data: &[u8]| MEMORY.within(LIMIT_BYTES, || {
    // Its size tells what a record is, so the first byte chooses one of the sizes, and what is missing is zero.
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 7 {
        0 => record(bytes),
        1 => record(&sized(bytes, size_of::<abi::FailureRecord>())),
        2 => record(&sized(bytes, size_of::<abi::SysctlRecord>())),
        3 => record(&sized(bytes, size_of::<abi::PortsSysctlRecord>())),
        4 => row(bytes),
        5 => searches(bytes),
        _ => owner(bytes),
    }
}));

fn record(bytes: &[u8]) {
    // Of the timer: 100, 250, 300 or 1000, and what is none.
    let ticks_per_second = bytes.first().map_or(250, |first| u32::from(*first) * 4);
    let Ok(item) = decode::record(bytes, ticks_per_second) else { return };
    match &item {
        // The kernel side writes what a bind wanted twice, and lines say it once.
        Item::Failure(failure)
            if failure.fault.call == Call::Bind && failure.source != failure.fault.address => {}
        item => check::item(item),
    }
}

fn row(bytes: &[u8]) {
    let (key, count) = halves(bytes);
    if let Ok(row) = decode::row(&key, &count) {
        check::item(&Item::Summary(Summary { rows: vec![row], other: 0 }));
    }
}

fn searches(bytes: &[u8]) {
    let (key, times): (abi::SearchKey, abi::SearchTimes) = halves(bytes);
    let (row, other) = (decode::search_row(&key, &times), decode::search_times(&times));
    check::item(&Item::Searches(Searches { rows: vec![row], other, unmeasured: 0 }));
}

fn owner(bytes: &[u8]) {
    let (owner, ()) = halves(bytes);
    assert_eq!(decode::owner(&owner).tgid.0, owner.tgid);
    assert_eq!(decode::connected_at(&owner).0, owner.connected_boot_ns);
}

/// So many bytes: these, cut or filled up with zeros.
fn sized(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut sized = bytes.to_vec();
    sized.resize(size, 0);
    sized
}

/// Two values from the kernel side, one behind the other.
fn halves<A: Plain, B: Plain>(bytes: &[u8]) -> (A, B) {
    let all = sized(bytes, size_of::<A>() + size_of::<B>());
    let (first, second) = all.split_at(size_of::<A>());
    // SAFETY: as many bytes as are read, and any are valid.
    unsafe { (first.as_ptr().cast::<A>().read_unaligned(), second.as_ptr().cast::<B>().read_unaligned()) }
}

/// Has integers only.
trait Plain: Copy {}
impl Plain for abi::FailureKey {}
impl Plain for abi::FailureCount {}
impl Plain for abi::SearchKey {}
impl Plain for abi::SearchTimes {}
impl Plain for abi::Owner {}
impl Plain for () {}
