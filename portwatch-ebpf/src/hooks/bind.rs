//! The return of bind.
//!
//! `__inet_bind(sk, uaddr, addr_len, flags)` and `__inet6_bind`, the same, lie below every way to bind a socket of
//! TCP, UDP or MPTCP (net/ipv4/af_inet.c, net/ipv6/af_inet6.c).

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use portwatch_ebpf::abi::{CALL_BIND, PLACE_BIND};

use crate::asked::{self, Asked};
use crate::layout::{Typed, setting};
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, bind_is_wanted, report};
use crate::returned::numbers::EADDRINUSE;
use crate::returned::{errno, failed};
use crate::sock;

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

#[inline(never)]
fn failed_v4(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        // SAFETY: the traced function's arguments, which the verifier knows.
        report_failure(&ctx, result, &unsafe { asked::v4(ctx.arg(1), ctx.arg(2)) });
    })
}

#[inline(never)]
fn failed_v6(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        // SAFETY: as above.
        let asked = unsafe { asked::v6(ctx.arg(1), ctx.arg(2), ctx.arg(0), setting!(layout.sock_source_v6)) };
        report_failure(&ctx, result, &asked);
    })
}

#[inline(always)]
fn report_failure(ctx: &FExitContext, result: u64, asked: &Asked) {
    let sock: *const u8 = ctx.arg(0);
    let errno = errno(result);
    // Whether a port was asked for is part of the question.
    if !bind_is_wanted(errno, asked.port_be) || (errno == EADDRINUSE && !asked.known) {
        return;
    }
    // SAFETY: as above.
    let Some(kind) = (unsafe { sock::kind::<Typed>(sock) }) else { return };
    // SAFETY: as above.
    unsafe {
        report::<Typed>(&Finding {
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
