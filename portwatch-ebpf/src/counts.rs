//! The table of counts: where the failures of a key are counted.
//!
//! In: a key, and who called. Out: the count of the key, which may be new. The only user of [`COUNTS`]; when something
//! is added to a count [`crate::report`] knows.
//!
//! A hash table in an array, and not the kernel's: a look-up there costs some 200 instructions for a key of 40 bytes,
//! while the verifier turns one in an array into ten. A key's hash chooses a group of places, and an order in which
//! they are tried. A key never moves or goes, so each look-up ends at the same place.

use core::ptr::null_mut;
use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use portwatch_ebpf::abi::{
    COUNTS_GROUP, COUNTS_GROUPS, COUNTS_OVERFLOW, CountGroup, CountPlace, FailureCount, FailureKey,
};

use crate::counter::add;
use crate::maps::COUNTS;
use crate::task::Who;

/// Places that are tried for a key. Of 8,192 keys all find one, of twice as many ninety-nine in a hundred do. More would
/// cost each start of a session, as the verifier follows each try of each program.
const TRIES: usize = 8;
/// 2 to the power of 64 over the golden ratio, odd: in a product with it all higher bits depend on each bit.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Words of a key.
const WORDS: usize = size_of::<FailureKey>() / size_of::<u64>();
/// A key in words. The last is never zero: it holds call and protocol.
type KeyWords = [u64; WORDS];

/// The count of `key`, or where all the places for it are taken, one of those that have no key. Out of line, so that
/// the verifier, which follows every try, follows none of them further than to the end of this.
#[inline(never)]
pub(crate) fn count_of<W: Who>(key: &FailureKey, who: &W) -> *mut FailureCount {
    let key = (&raw const *key).cast::<KeyWords>();
    // SAFETY: as large as the key, aligned as its first member, and any value is valid. As volatile, because a copy of
    // it would be one more on the stack, which is short.
    let word = |n: usize| unsafe { (&raw const (*key)[n]).read_volatile() };
    let hash = hash(word);
    let place = place(hash);
    if place.is_null() {
        return overflow(hash);
    }
    // SAFETY: the map's memory, aligned for u64.
    unsafe {
        let (count, found) = (&raw mut (*place).count, (&raw mut (*place).key).cast::<KeyWords>());
        if (*found)[WORDS - 1] == 0 {
            // Nobody counts here yet. Another thread with this key may be about to: then both write it.
            describe(count, who);
            publish(found, word);
        } else if (0..WORDS).any(|n| (*found)[n] != word(n)) {
            // Two keys with one hash.
            return overflow(hash);
        }
        count
    }
}

/// A count for keys without a place. There are several only because the verifier then takes it for any other.
#[inline(always)]
fn overflow(hash: u64) -> *mut FailureCount {
    let Some(group) = COUNTS.get_ptr_mut(COUNTS_OVERFLOW) else { return null_mut() };
    // SAFETY: inside of the group, the map's memory.
    unsafe { &raw mut (*nth(group, hash >> 1)).count }
}

/// A place of a group.
#[inline(always)]
unsafe fn nth(group: *mut CountGroup, number: u64) -> *mut CountPlace {
    // SAFETY: the caller's promise: a group of the map.
    unsafe { group.cast::<CountPlace>().add((number % u64::from(COUNTS_GROUP)) as usize) }
}

/// A number that no two keys share in practice, and that is not 0.
#[inline(always)]
fn hash(word: impl Fn(usize) -> u64) -> u64 {
    // Swapped, because no lower bit of a product depends on a higher one of its factors.
    (0..WORDS).fold(0_u64, |hash, n| (hash.swap_bytes() ^ word(n)).wrapping_mul(SPREAD)) | 1
}

/// The place that holds this hash, or one that was free and holds it now; null where there is neither.
///
/// A hash is added to a place, and holds it if it can be read there afterwards: kernels before 5.12 have no atomic
/// operation that answers. Where two add at one moment, the sum is nobody's hash: the place is lost, and both try the
/// next. Who has read its hash before the other added counts in the lost place once, and elsewhere from then on; user
/// space adds up what is about one key.
#[inline(always)]
fn place(hash: u64) -> *mut CountPlace {
    let group = ((hash >> 32) * u64::from(COUNTS_GROUPS)) >> 32;
    let Some(group) = COUNTS.get_ptr_mut(group as u32) else { return null_mut() };
    let (mut number, step) = (hash >> 1, hash >> 8 | 1);
    for _ in 0..TRIES {
        // SAFETY: inside of the group, the map's memory, aligned for u64.
        unsafe {
            let place = nth(group, number);
            let held = &raw mut (*place).hash;
            let mut holds = held.read_volatile();
            if holds == 0 {
                add(held, hash);
                holds = held.read_volatile();
            }
            if holds == hash {
                return place;
            }
        }
        number = number.wrapping_add(step);
    }
    null_mut()
}

/// Writes what a count says besides numbers.
///
/// # Safety
/// Here and below: the map's memory.
#[inline(always)]
unsafe fn describe<W: Who>(count: *mut FailureCount, who: &W) {
    let uid_gid = who.uid_gid();
    // SAFETY: the caller's promise.
    unsafe {
        (*count).first_boot_ns = bpf_ktime_get_boot_ns();
        (*count).cgroup_id = who.cgroup_id();
        (*count).uid = uid_gid as u32;
        (*count).gid = (uid_gid >> 32) as u32;
        (*count).leader_comm = who.leader_comm();
    }
}

/// Writes the key, its last word last: whoever sees that sees everything, as stores and loads keep their order on x86.
///
/// Only then does anybody add to the count, and a place whose count is zero is not read. So nobody reads half of one.
#[inline(always)]
unsafe fn publish(place: *mut KeyWords, word: impl Fn(usize) -> u64) {
    // The compiler keeps volatile stores in order among themselves only.
    compiler_fence(Ordering::Release);
    for n in 0..WORDS {
        // SAFETY: as above.
        unsafe { (&raw mut (*place)[n]).write_volatile(word(n)) };
    }
}
