//! Reads members of kernel structures at the offsets of the running kernel.
//!
//! In: pointers the verifier knows by their BTF type. Out: values. The offsets are injected before load
//! (`kernel::layout` on the user side), so to the verifier they are constants.

use core::ptr::read_volatile;

use portwatch_ebpf::abi::{Address, Filter, Layout, Settings, Words};

/// Offsets and filter, replaced before load.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    layout: Layout {
        sock_family: 0,
        sock_protocol: 0,
        sock_destination_v4: 0,
        sock_source_v4: 0,
        sock_destination_v6: 0,
        sock_source_v6: 0,
        sock_destination_port: 0,
        sock_source_port: 0,
        sock_net: 0,
        net_inum: 0,
        net_port_range: 0,
        net_port_range_packed: 0,
        task_group_leader: 0,
        task_start_boot_ns: 0,
        task_comm: 0,
        reserved: 0,
    },
    filter: Filter {
        errnos: [0; 3],
        destination: [0; 4],
        destination_mask: [0; 4],
        comm: [0; 4],
        tgid: 0,
        destination_port_be: 0,
        reserved: [0; 2],
    },
};

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

/// The member of type `T` at `offset` in the structure at `base`.
///
/// # Safety
/// `base` must be a pointer that the verifier knows by its BTF type; a wrong offset is refused at load and a
/// fault yields zero.
#[inline(always)]
pub(crate) unsafe fn member<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the caller's promise; volatile keeps one load of this width, as the verifier wants it.
    unsafe { read_volatile(base.add(offset as usize).cast()) }
}

/// Sixteen bytes at `offset` in the structure at `base`: an IPv6 address, a task's name.
///
/// # Safety
/// As for [`member`].
#[inline(always)]
pub(crate) unsafe fn words(base: *const u8, offset: u32) -> Words {
    // SAFETY: the caller's promise, for each of the four.
    unsafe {
        [member(base, offset), member(base, offset + 4), member(base, offset + 8), member(base, offset + 12)]
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
