//! The address that a caller asked for: `struct sockaddr_in` and `struct sockaddr_in6`, include/uapi/linux/in.h and
//! in6.h.
//!
//! In: the kernel's copy of it. Out: address and port in the forms of the records; both zero where the caller gave
//! too few bytes or another family.
//!
//! Of an IPv6 address the verifier knows only the first half before about 7.0, so `bpf_probe_read_kernel` reads it;
//! where that is forbidden, the second half is taken from a copy in the socket, if the first half there is the same.

use portwatch_ebpf::abi::{Address, FLAG_V4_MAPPED};

use crate::layout::{Memory, Probed, is_v4_mapped, setting, v4_mapped, words};
use crate::sock::{self, AF_INET, AF_INET6, AF_UNSPEC};

const FAMILY: u32 = 0;
const PORT: u32 = 2;
const V4_ADDRESS: u32 = 4;
const V6_ADDRESS: u32 = 8;
/// `sizeof(struct sockaddr_in)`: what IPv4 demands.
const V4_BYTES: i32 = 16;
/// `SIN6_LEN_RFC2133`, include/net/ipv6.h: what IPv6 demands.
const V6_BYTES: i32 = 24;

/// What a caller asked for.
#[derive(Default)]
pub(crate) struct Asked {
    /// The address.
    pub(crate) address: Address,
    /// Its port, network byte order.
    pub(crate) port_be: u16,
    /// [`FLAG_V4_MAPPED`] where that holds.
    pub(crate) flags: u8,
    /// Whether the caller gave an address that could be read.
    pub(crate) known: bool,
}

impl Asked {
    /// The same, or nowhere in the family of `sock` where nothing could be read.
    ///
    /// # Safety
    /// `sock` must be a socket that `M` reads.
    #[inline(always)]
    pub(crate) unsafe fn or_nowhere<M: Memory>(mut self, sock: *const u8) -> Self {
        // SAFETY: the caller's promise.
        if !self.known && unsafe { sock::family::<M>(sock) } == AF_INET {
            self.address = v4_mapped(0);
        }
        self
    }
}

/// An `AF_INET` address.
///
/// # Safety
/// `given` must be a `struct sockaddr` that `M` reads.
#[inline(always)]
pub(crate) unsafe fn v4<M: Memory>(given: *const u8, bytes: i32) -> Asked {
    // SAFETY: the caller's promise; 16 bytes of it are known.
    unsafe {
        // bind() takes an unspecified family for IPv4's.
        if bytes >= V4_BYTES && matches!(M::read::<u16>(given, FAMILY), AF_INET | AF_UNSPEC) {
            let address = v4_mapped(M::read(given, V4_ADDRESS));
            return Asked { address, port_be: M::read(given, PORT), flags: 0, known: true };
        }
    }
    Asked { address: v4_mapped(0), port_be: 0, flags: 0, known: false }
}

/// An `AF_INET6` address; `copy` is where the socket may hold one.
///
/// # Safety
/// As above, and `sock` must be a socket that `M` reads.
#[inline(always)]
pub(crate) unsafe fn v6<M: Memory>(given: *const u8, bytes: i32, sock: *const u8, copy: u32) -> Asked {
    let mut asked = Asked::default();
    // SAFETY: the caller's promise.
    unsafe {
        if bytes < V6_BYTES || M::read::<u16>(given, FAMILY) != AF_INET6 {
            return asked;
        }
        asked.port_be = M::read(given, PORT);
        asked.known = true;
        if setting!(duties.probe_reads) == 1 {
            asked.address = words::<Probed>(given, V6_ADDRESS);
        } else {
            let copy = words::<M>(sock, copy);
            if copy[0] == M::read(given, V6_ADDRESS) && copy[1] == M::read(given, V6_ADDRESS + 4) {
                asked.address = copy;
            }
        }
    }
    if is_v4_mapped(&asked.address) {
        asked.flags = FLAG_V4_MAPPED;
    }
    asked
}

/// An address of either family, as it is.
///
/// # Safety
/// As for [`v6`].
#[inline(always)]
pub(crate) unsafe fn either<M: Memory>(given: *const u8, bytes: i32, sock: *const u8, copy: u32) -> Asked {
    // SAFETY: the caller's promise.
    unsafe {
        if M::read::<u16>(given, FAMILY) == AF_INET6 {
            v6::<M>(given, bytes, sock, copy)
        } else {
            v4::<M>(given, bytes)
        }
    }
}
