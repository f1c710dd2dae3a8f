//! The return value of a traced function: an `int` in a 64-bit slot whose upper half is arbitrary.

/// Whether it is not 0. One shift and one comparison: this is the whole success path.
#[inline(always)]
pub(crate) fn failed(slot: u64) -> bool {
    slot << 32 != 0
}

/// The positive error number in it.
#[inline(always)]
pub(crate) fn errno(slot: u64) -> u16 {
    (slot as u32 as i32).unsigned_abs() as u16
}
