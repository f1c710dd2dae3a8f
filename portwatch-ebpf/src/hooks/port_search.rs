//! The return of the search for a local port.
//!
//! Here port, source and destination are still set (`../../../docs/kernels.md`); one level up they are gone.
//! `__inet_hash_connect` has four arguments up to Linux 6.14 and five from 6.15 (net/ipv4/inet_hashtables.c), and
//! the return value lies behind the last. A context offset chosen by a value is refused by older verifiers, so
//! there is a program for each count and user space attaches the one that BTF asks for. The wrappers
//! `inet_hash_connect` and `inet6_hash_connect`, two arguments each, serve where neither fits or the kernel refuses.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use aya_log_ebpf::debug;
use portwatch_ebpf::abi::{FLAG_HAD_PORT, FLAG_V4_MAPPED, HOOK_PORT_SEARCH};

use crate::emit::{AF_INET6, Finding, announce, wanted};
use crate::layout::{is_v4_mapped, member, setting, v4_mapped, words};
use crate::returned::{errno, failed};

/// `IPPROTO_TCP`, include/uapi/linux/in.h.
const IPPROTO_TCP: u16 = 6;

/// `__inet_hash_connect(death_row, sk, port_offset, check_established)`.
#[fexit(function = "__inet_hash_connect")]
pub(crate) fn port_search_4(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(4)) {
        report_failure(ctx.as_ptr(), ctx.arg(4));
    }
    0
}

/// `__inet_hash_connect(death_row, sk, port_offset, hash_port0, check_established)`.
#[fexit(function = "__inet_hash_connect")]
pub(crate) fn port_search_5(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(5)) {
        report_failure(ctx.as_ptr(), ctx.arg(5));
    }
    0
}

/// `inet_hash_connect(death_row, sk)`.
#[fexit(function = "inet_hash_connect")]
pub(crate) fn port_search_v4(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(2)) {
        report_failure(ctx.as_ptr(), ctx.arg(2));
    }
    0
}

/// `inet6_hash_connect(death_row, sk)`.
#[fexit(function = "inet6_hash_connect")]
pub(crate) fn port_search_v6(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(2)) {
        report_failure(ctx.as_ptr(), ctx.arg(2));
    }
    0
}

/// Out of line, so that the registers it needs are not saved on the success path.
#[inline(never)]
fn report_failure(context: *mut c_void, result: u64) {
    let ctx = FExitContext::new(context);
    let errno = errno(result);
    if !wanted(errno) {
        return;
    }
    let sock: *const u8 = ctx.arg(1);
    // DCCP searches its ports here too, up to 6.15.
    // SAFETY: `sock` is the traced function's argument, which the verifier knows as a `struct sock`.
    if unsafe { member::<u16>(sock, setting!(layout.sock_protocol)) } != IPPROTO_TCP {
        return;
    }
    debug!(&ctx, "port search: errno {} sock {:x}", errno, sock as u64);
    // SAFETY: as above.
    let (destination, mut flags) = unsafe {
        if member::<u16>(sock, setting!(layout.sock_family)) == AF_INET6 {
            let destination = words(sock, setting!(layout.sock_destination_v6));
            (destination, if is_v4_mapped(&destination) { FLAG_V4_MAPPED } else { 0 })
        } else {
            (v4_mapped(member(sock, setting!(layout.sock_destination_v4))), 0)
        }
    };
    // SAFETY: as above.
    let source_port: u16 = unsafe { member(sock, setting!(layout.sock_source_port)) };
    if source_port != 0 {
        flags |= FLAG_HAD_PORT;
    }
    announce(&Finding {
        sock,
        hook: HOOK_PORT_SEARCH,
        flags,
        errno,
        destination,
        // SAFETY: as above.
        destination_port_be: unsafe { member(sock, setting!(layout.sock_destination_port)) },
        source_port,
    });
}
