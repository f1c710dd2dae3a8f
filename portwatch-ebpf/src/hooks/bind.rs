//! The return of bind.
//!
//! `__inet_bind(sk, uaddr, addr_len, flags)` and `__inet6_bind`, the same, lie below every way to bind a socket of
//! TCP, UDP or MPTCP (net/ipv4/af_inet.c, net/ipv6/af_inet6.c).

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{fexit, kprobe, kretprobe};
use aya_ebpf::programs::{FExitContext, ProbeContext, RetProbeContext};
use portwatch_ebpf::abi::{CALL_BIND, PLACE_BIND};

use crate::asked::{self, Asked};
use crate::calls::{self, Call};
use crate::layout::{Memory, Probed, Typed, setting};
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, bind_is_wanted, is_running, report};
use crate::returned::numbers::EADDRINUSE;
use crate::returned::{errno, failed};
use crate::sock::{self, AF_INET6};

/// `__inet_bind(sk, uaddr, addr_len, flags)`.
#[fexit(function = "__inet_bind")]
pub(crate) fn bind_v4(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(4)) {
        failed_v4(ctx.as_ptr(), ctx.arg(4));
    }
    0
}

/// `__inet6_bind(sk, uaddr, addr_len, flags)`.
#[fexit(function = "__inet6_bind")]
pub(crate) fn bind_v6(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(4)) {
        failed_v6(ctx.as_ptr(), ctx.arg(4));
    }
    0
}

/// The beginning of either, and of `inet_autobind(sk)`, for programs at the return that are not given arguments.
#[kprobe]
pub(crate) fn call_begins(ctx: ProbeContext) -> u32 {
    if is_running() {
        calls::begin([0, 1, 2].map(|n| ctx.arg(n).unwrap_or(0)));
    }
    0
}

/// The return of either, as a program that the kernel does not skip.
#[kretprobe]
pub(crate) fn bind_returns(ctx: RetProbeContext) -> u32 {
    let (call, result) = (calls::end(), ctx.ret());
    if failed(result) {
        failed_whole(&call, result);
    }
    0
}

#[inline(never)]
fn failed_v4(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        // SAFETY: the traced function's arguments, which the verifier knows.
        let asked = unsafe { asked::v4::<Typed>(ctx.arg(1), ctx.arg(2)) };
        report_failure::<Typed>(ctx.arg(0), result, &asked);
    })
}

#[inline(never)]
fn failed_v6(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        let sock: *const u8 = ctx.arg(0);
        // SAFETY: as above.
        let asked =
            unsafe { asked::v6::<Typed>(ctx.arg(1), ctx.arg(2), sock, setting!(layout.sock_source_v6)) };
        report_failure::<Typed>(sock, result, &asked);
    })
}

#[inline(never)]
fn failed_whole(call: &Call, result: u64) -> Done {
    out_of_line(|| {
        let (sock, given, bytes) = (call.sock(), call.given(), call.bytes());
        // SAFETY: the arguments of the function that returns; zeroes read as no address.
        let asked = unsafe {
            if sock::family::<Probed>(sock) == AF_INET6 {
                asked::v6::<Probed>(given, bytes, sock, setting!(layout.sock_source_v6))
            } else {
                asked::v4::<Probed>(given, bytes)
            }
        };
        report_failure::<Probed>(sock, result, &asked);
    })
}

/// `sock` must be a socket that `M` reads.
#[inline(always)]
fn report_failure<M: Memory>(sock: *const u8, result: u64, asked: &Asked) {
    let errno = errno(result);
    calls::failure_seen(sock);
    // Whether a port was asked for is part of the question.
    if !bind_is_wanted(errno, asked.port_be) || (errno == EADDRINUSE && !asked.known) {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(kind) = (unsafe { sock::kind::<M>(sock) }) else { return };
    // SAFETY: as above.
    unsafe {
        report::<M>(&Finding {
            sock,
            address: asked.address,
            source: Some(asked.address),
            search_ns: 0,
            port_be: asked.port_be,
            source_port: u16::from_be(asked.port_be),
            errno,
            place: PLACE_BIND,
            call: CALL_BIND,
            protocol: kind.protocol,
            flags: kind.flags | asked.flags,
        });
    }
}
