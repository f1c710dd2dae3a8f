//! The return value of a traced function: an `int` in a 64-bit slot whose upper half is arbitrary.

/// Error numbers, include/uapi/asm-generic/errno-base.h and errno.h.
pub(crate) mod numbers {
    pub(crate) const EBADF: u16 = 9;
    pub(crate) const EAGAIN: u16 = 11;
    pub(crate) const EFAULT: u16 = 14;
    pub(crate) const ENOTSOCK: u16 = 88;
    pub(crate) const EADDRINUSE: u16 = 98;
    pub(crate) const EADDRNOTAVAIL: u16 = 99;
    pub(crate) const ENETUNREACH: u16 = 101;
    pub(crate) const ECONNRESET: u16 = 104;
    pub(crate) const ETIMEDOUT: u16 = 110;
    pub(crate) const ECONNREFUSED: u16 = 111;
    pub(crate) const EHOSTUNREACH: u16 = 113;
}

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

/// Whether a connect that returns this has failed: not while it is under way, done already, or interrupted.
#[inline(always)]
pub(crate) fn is_failure(errno: u16) -> bool {
    // EINTR, EISCONN, EALREADY, EINPROGRESS (include/uapi/asm-generic/errno.h), ERESTARTSYS and its kin
    // (include/linux/errno.h), which the caller sees as EINTR or not at all.
    !matches!(errno, 0 | 4 | 106 | 114 | 115 | 512..=516)
}
