//! Reads members of kernel structures at the offsets of the running kernel.
//!
//! In: pointers into kernel memory. Out: values. The offsets are injected before load (`kernel::layout` on the user
//! side), so to the verifier they are constants, and what they switch off is removed before it runs.

use core::mem::MaybeUninit;
use core::ptr::{null, read_volatile};

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skc_to_tcp_sock};
use portwatch_ebpf::abi::{Address, Settings, Words};

/// Offsets, filter and duties, replaced before load.
// SAFETY: integers, for which zero is a value.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = unsafe { MaybeUninit::zeroed().assume_init() };

/// `setting!(layout.sock_net)`: one injected value.
macro_rules! setting {
    ($($path:tt)+) => { $crate::layout::value(&$crate::layout::SETTINGS.$($path)+) };
}
pub(crate) use setting;

/// Reads such that the compiler cannot assume the zero that the injected value replaces.
#[inline(always)]
pub(crate) fn value<T: Copy>(field: &T) -> T {
    // SAFETY: a reference is valid for reads.
    unsafe { read_volatile(field) }
}

/// A way to read kernel memory.
pub(crate) trait Memory {
    /// The member of type `T`, an integer or a pointer, at `offset` in the structure at `base`.
    ///
    /// # Safety
    /// `base` must be a pointer of the kind that the implementation reads. A fault yields zero.
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T;

    /// The socket as a `struct tcp_sock`; null if it is not one.
    ///
    /// # Safety
    /// As for [`Memory::read`].
    unsafe fn tcp(sock: *const u8) -> *const u8;
}

/// By loads whose types the verifier checks: for pointers that it knows by their BTF type. A wrong offset is refused
/// at load. Allowed also where the kernel is locked down for confidentiality.
pub(crate) struct Typed;

impl Memory for Typed {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        // SAFETY: the caller's promise; volatile keeps one load of this width, as the verifier wants it.
        unsafe { read_volatile(base.add(offset as usize).cast()) }
    }

    #[inline(always)]
    unsafe fn tcp(sock: *const u8) -> *const u8 {
        // Members beyond `struct sock` are out of reach of a pointer to one.
        // SAFETY: the helper looks at the socket's protocol before it answers.
        unsafe { bpf_skc_to_tcp_sock(sock.cast_mut().cast()).cast::<u8>().cast_const() }
    }
}

/// By `bpf_probe_read_kernel`: for any address.
pub(crate) struct Probed;

impl Memory for Probed {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        // SAFETY: the helper writes that many bytes there, or zeroes; `T` takes any.
        unsafe {
            let from = base.wrapping_add(offset as usize).cast();
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
            value.assume_init()
        }
    }

    #[inline(always)]
    unsafe fn tcp(sock: *const u8) -> *const u8 {
        // SAFETY: the caller's promise.
        let protocol = unsafe { Self::read::<u16>(sock, setting!(layout.sock_protocol)) };
        if protocol == crate::sock::IPPROTO_TCP { sock } else { null() }
    }
}

/// Sixteen bytes at `offset` in the structure at `base`: an IPv6 address, a task's name.
///
/// # Safety
/// As for [`Memory::read`].
#[inline(always)]
pub(crate) unsafe fn words<M: Memory>(base: *const u8, offset: u32) -> Words {
    // SAFETY: the caller's promise, for each of the four.
    unsafe {
        [
            M::read(base, offset),
            M::read(base, offset + 4),
            M::read(base, offset + 8),
            M::read(base, offset + 12),
        ]
    }
}

const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

/// The mapped form of an IPv4 address given as it lies in memory.
#[inline(always)]
pub(crate) fn v4_mapped(on_the_wire: u32) -> Address {
    [0, 0, MAPPED, on_the_wire]
}

/// Whether this is the mapped form of an IPv4 address.
#[inline(always)]
pub(crate) fn is_v4_mapped(address: &Address) -> bool {
    address[0] == 0 && address[1] == 0 && address[2] == MAPPED
}
