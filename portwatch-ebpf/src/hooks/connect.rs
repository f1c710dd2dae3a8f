//! The return of TCP's connect.
//!
//! Failures outside of the search for a port end here (no route, no source address, a packet that could not be
//! sent), and so do those whose port-search hook the kernel skipped. Port, source and bound state are gone.
//!
//! The destination is what the caller asked for, unless it gave too few bytes or another family: then it is
//! unspecified. Of an IPv6 address the verifier knows only the first half before about 7.0; the second half is in the
//! socket, if the first half there is the same, and else unknown: `tcp_v6_connect` returns some errors before it
//! copies the address there.
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

// Places in `struct sockaddr_in` and `struct sockaddr_in6`, include/uapi/linux/in.h and in6.h.
const SOCKADDR_FAMILY: u32 = 0;
const SOCKADDR_PORT: u32 = 2;
const SOCKADDR_IN_ADDRESS: u32 = 4;
const SOCKADDR_IN6_ADDRESS: u32 = 8;
/// `sizeof(struct sockaddr_in)`: what `tcp_v4_connect` demands.
const SOCKADDR_IN_BYTES: i32 = 16;
/// `SIN6_LEN_RFC2133`, include/net/ipv6.h: what `tcp_v6_connect` demands.
const SOCKADDR_IN6_BYTES: i32 = 24;
/// `AF_INET`, include/linux/socket.h.
const AF_INET: u16 = 2;

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
    let asked: *const u8 = ctx.arg(1);
    let (mut address, mut port_be) = (v4_mapped(0), 0);
    // SAFETY: as above, for the `struct sockaddr`, whose 16 bytes the verifier knows.
    unsafe {
        if ctx.arg::<i32>(2) >= SOCKADDR_IN_BYTES && member::<u16>(asked, SOCKADDR_FAMILY) == AF_INET {
            address = v4_mapped(member(asked, SOCKADDR_IN_ADDRESS));
            port_be = member(asked, SOCKADDR_PORT);
        }
    }
    report_failure(&ctx, HOOK_TCP_V4_CONNECT, result, address, port_be);
}

/// Out of line, as above.
#[inline(never)]
fn report_failure_v6(context: *mut c_void, result: u64) {
    let ctx = FExitContext::new(context);
    let sock: *const u8 = ctx.arg(0);
    let asked: *const u8 = ctx.arg(1);
    let (mut address, mut port_be) = ([0; 4], 0);
    // SAFETY: the traced function's arguments, which the verifier knows as `struct sock` and `struct sockaddr`.
    unsafe {
        if ctx.arg::<i32>(2) >= SOCKADDR_IN6_BYTES && member::<u16>(asked, SOCKADDR_FAMILY) == AF_INET6 {
            let copy = words(sock, setting!(layout.sock_destination_v6));
            let same_first_half = copy[0] == member(asked, SOCKADDR_IN6_ADDRESS)
                && copy[1] == member(asked, SOCKADDR_IN6_ADDRESS + 4);
            if same_first_half {
                address = copy;
            }
            port_be = member(asked, SOCKADDR_PORT);
        }
    }
    report_failure(&ctx, HOOK_TCP_V6_CONNECT, result, address, port_be);
}

#[inline(always)]
fn report_failure(ctx: &FExitContext, hook: u8, result: u64, destination: Address, destination_port_be: u16) {
    let sock: *const u8 = ctx.arg(0);
    let errno = errno(result);
    if !wanted(errno) || announced(sock) {
        return;
    }
    debug!(ctx, "connect: hook {} errno {} sock {:x}", hook, errno, sock as u64);
    let mapped = hook == HOOK_TCP_V6_CONNECT && is_v4_mapped(&destination);
    let flags = if mapped { FLAG_V4_MAPPED } else { 0 };
    report(&Finding { sock, hook, flags, errno, destination, destination_port_be, source_port: 0 });
}
