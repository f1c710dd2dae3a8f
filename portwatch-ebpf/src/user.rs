//! What a caller asked for, from the memory of its process: where no argument of a hook holds it.
//!
//! In: the registers of the current system call. Out: an address; not known where there is none, reading is forbidden, or
//! the memory is not there at this moment. The process may change that memory meanwhile; then this tells what it says now.

use core::ptr::null;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use portwatch_ebpf::abi::FLAG_V4_MAPPED;

use crate::asked::Asked;
use crate::layout::{is_v4_mapped, setting, v4_mapped};
use crate::sock::{AF_INET, AF_INET6, AF_UNSPEC};
use crate::task::{self, CONNECT, SENDMMSG, SENDMSG, SENDTO};

/// `struct sockaddr_in6`, which is the longer one, include/uapi/linux/in6.h; of `struct sockaddr_in` the address lies
/// where this has its flow.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SocketAddress {
    family: u16,
    port_be: u16,
    flow: u32,
    address: [u32; 4],
}

/// The address that a call which sends or connects was given.
#[inline(always)]
pub(crate) fn asked() -> Asked {
    if setting!(duties.probe_reads) != 1 {
        return Asked::default();
    }
    let given = match task::syscall() {
        CONNECT => task::argument(setting!(layout.registers_argument_2)) as *const u8,
        SENDTO => task::argument(setting!(layout.registers_argument_5)) as *const u8,
        // `struct msghdr` begins with the pointer to the address, and `struct mmsghdr` with the former.
        SENDMSG | SENDMMSG => read(task::argument(setting!(layout.registers_argument_2)) as *const u8),
        _ => null(),
    };
    at(given)
}

/// The address at a place in the memory of the process.
#[inline(always)]
pub(crate) fn at(given: *const u8) -> Asked {
    // Two reads: the shorter kind of address may lie at the end of a page.
    let head: [u32; 2] = read(given);
    let (family, port_be) = (head[0] as u16, (head[0] >> 16) as u16);
    if family == AF_INET || family == AF_UNSPEC {
        return Asked { address: v4_mapped(head[1]), port_be, flags: 0, known: true };
    }
    if family != AF_INET6 {
        return Asked::default();
    }
    let address = read::<SocketAddress>(given).address;
    let flags = if is_v4_mapped(&address) { FLAG_V4_MAPPED } else { 0 };
    Asked { address, port_be, flags, known: true }
}

#[inline(always)]
fn read<T: Copy>(from: *const u8) -> T {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the helper writes that many bytes there, or zeroes; every `T` here takes any.
    unsafe {
        bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, from.cast());
        value.assume_init()
    }
}
