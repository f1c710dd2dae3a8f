//! The return of TCP's connect.
//!
//! Failures that never reached the search for a port end here (no route, no source address), and so do those
//! whose port-search hook the kernel skipped. Port, source and bound state are gone; the destination is taken from
//! the caller's address, except an IPv6 one: before about 7.0 the verifier knows only 16 bytes of it, so the
//! socket's own copy is read, which `tcp_v6_connect` sets before anything can fail for lack of an address.
//!
//! A connect to a v4-mapped address passes `tcp_v4_connect` inside `tcp_v6_connect`, with an `AF_INET6` socket: the
//! outer one reports it.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use aya_log_ebpf::debug;
use portwatch_ebpf::abi::{Address, FLAG_V4_MAPPED, HOOK_TCP_V4_CONNECT, HOOK_TCP_V6_CONNECT};

use crate::emit::{AF_INET6, Finding, announced, report, wanted};
use crate::layout::{is_v4_mapped, member, setting, v4_mapped, words};
use crate::returned::{errno, failed};

/// `sockaddr_in.sin_port` and `sockaddr_in6.sin6_port`, include/uapi/linux/in.h and in6.h.
const SOCKADDR_PORT: u32 = 2;
/// `sockaddr_in.sin_addr`, include/uapi/linux/in.h.
const SOCKADDR_IN_ADDRESS: u32 = 4;

/// `tcp_v4_connect(sk, uaddr, addr_len)`.
#[fexit(function = "tcp_v4_connect")]
pub(crate) fn tcp_v4_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(3)) {
        report_failure_v4(ctx.as_ptr(), ctx.arg(3));
    }
    0
}

/// `tcp_v6_connect(sk, uaddr, addr_len)`.
#[fexit(function = "tcp_v6_connect")]
pub(crate) fn tcp_v6_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(3)) {
        report_failure_v6(ctx.as_ptr(), ctx.arg(3));
    }
    0
}

/// Out of line, so that the registers it needs are not saved on the success path.
#[inline(never)]
fn report_failure_v4(context: *mut c_void, result: u64) {
    let ctx = FExitContext::new(context);
    let sock: *const u8 = ctx.arg(0);
    // SAFETY: `sock` is the traced function's argument, which the verifier knows as a `struct sock`.
    if unsafe { member::<u16>(sock, setting!(layout.sock_family)) } == AF_INET6 {
        return;
    }
    let address: *const u8 = ctx.arg(1);
    // SAFETY: as above, for the `struct sockaddr`, of which the kernel's own copy has at least 16 bytes.
    let destination = v4_mapped(unsafe { member(address, SOCKADDR_IN_ADDRESS) });
    report_failure(&ctx, HOOK_TCP_V4_CONNECT, result, destination, 0);
}

/// Out of line, as above.
#[inline(never)]
fn report_failure_v6(context: *mut c_void, result: u64) {
    let ctx = FExitContext::new(context);
    let sock: *const u8 = ctx.arg(0);
    // SAFETY: `sock` is the traced function's argument, which the verifier knows as a `struct sock`.
    let destination = unsafe { words(sock, setting!(layout.sock_destination_v6)) };
    let flags = if is_v4_mapped(&destination) { FLAG_V4_MAPPED } else { 0 };
    report_failure(&ctx, HOOK_TCP_V6_CONNECT, result, destination, flags);
}

#[inline(always)]
fn report_failure(ctx: &FExitContext, hook: u8, result: u64, destination: Address, flags: u8) {
    let sock: *const u8 = ctx.arg(0);
    let errno = errno(result);
    if !wanted(errno) || announced(sock) {
        return;
    }
    debug!(ctx, "connect: hook {} errno {} sock {:x}", hook, errno, sock as u64);
    let address: *const u8 = ctx.arg(1);
    report(&Finding {
        sock,
        hook,
        flags,
        errno,
        destination,
        // SAFETY: `address` is the traced function's argument, which the verifier knows as a `struct sockaddr`.
        destination_port_be: unsafe { member(address, SOCKADDR_PORT) },
        source_port: 0,
    });
}
