//! The return of TCP's connect.
//!
//! Failures outside of the search for a port end here (no route, no source address, a packet that could not be
//! sent), and so do those whose port-search hook the kernel skipped. Port, source and bound state are gone.
//!
//! A connect to a v4-mapped address passes `tcp_v4_connect` inside `tcp_v6_connect`, with an `AF_INET6` socket: the
//! outer one reports it.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use aya_log_ebpf::debug;
use portwatch_ebpf::abi::{COUNTER_SEARCH_MADE_UP, FLAG_HAD_PORT, PLACE_CONNECT, PLACE_PORT_SEARCH};

use crate::asked::{self, Asked};
use crate::counter::count;
use crate::layout::{Typed, setting};
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, connect_is_wanted, report};
use crate::returned::numbers::EADDRNOTAVAIL;
use crate::returned::{errno, failed};
use crate::sock::{self, AF_INET6};
use crate::{answers, notes, owners};

/// `tcp_v4_connect(sk, uaddr, addr_len)`.
#[fexit(function = "tcp_v4_connect")]
pub(crate) fn tcp_v4_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(3)) {
        failed_v4(ctx.as_ptr(), ctx.arg(3));
    } else if setting!(duties.successes) == 1 {
        under_way(ctx.as_ptr());
    }
    0
}

/// `tcp_v6_connect(sk, uaddr, addr_len)`.
#[fexit(function = "tcp_v6_connect")]
pub(crate) fn tcp_v6_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(3)) {
        failed_v6(ctx.as_ptr(), ctx.arg(3));
    } else if setting!(duties.successes) == 1 {
        under_way(ctx.as_ptr());
    }
    0
}

/// Out of line, so that the registers it needs are not saved on the success path.
#[inline(never)]
fn failed_v4(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        let sock: *const u8 = ctx.arg(0);
        let errno = errno(result);
        // SAFETY: `sock` is the traced function's argument, which the verifier knows as a `struct sock`.
        if unsafe { sock::family::<Typed>(sock) } == AF_INET6 {
            return;
        }
        let is_told = notes::search_reported(sock);
        if !connect_is_wanted(errno) {
            return;
        }
        debug!(&ctx, "tcp_v4_connect: errno {} sock {:x}", errno, sock as u64);
        if !is_told {
            // SAFETY: as above, for the `struct sockaddr`.
            report_failure(sock, errno, &unsafe { asked::v4::<Typed>(ctx.arg(1), ctx.arg(2)) }, true);
        }
        tell_the_socket_layer(sock);
    })
}

/// Out of line, as above.
#[inline(never)]
fn failed_v6(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        let sock: *const u8 = ctx.arg(0);
        let errno = errno(result);
        let is_told = notes::search_reported(sock);
        if !connect_is_wanted(errno) {
            return;
        }
        debug!(&ctx, "tcp_v6_connect: errno {} sock {:x}", errno, sock as u64);
        if !is_told {
            // SAFETY: the traced function's arguments, which the verifier knows.
            let asked = unsafe {
                asked::v6::<Typed>(ctx.arg(1), ctx.arg(2), sock, setting!(layout.sock_destination_v6))
            };
            report_failure(sock, errno, &asked, asked.flags != 0);
        }
        tell_the_socket_layer(sock);
    })
}

#[inline(always)]
fn tell_the_socket_layer(sock: *const u8) {
    if setting!(duties.all_errors) == 1 {
        notes::transport_reported(sock);
    }
}

/// Over IPv4 only the search for a port returns EADDRNOTAVAIL: that its hook did not run changes nothing about it. A
/// port that the user had chosen is still there then. Whether the kernel had chosen one at a bind is not known any
/// more.
#[inline(always)]
fn report_failure(sock: *const u8, errno: u16, asked: &Asked, is_v4: bool) {
    // SAFETY: the caller's argument, which the verifier knows.
    let Some(kind) = (unsafe { sock::kind::<Typed>(sock) }) else { return };
    let (mut place, mut source_port, mut flags) = (PLACE_CONNECT, 0, kind.flags);
    if is_v4 && errno == EADDRNOTAVAIL {
        count(COUNTER_SEARCH_MADE_UP);
        // SAFETY: as above.
        let (port, locked) = unsafe { (sock::port::<Typed>(sock), sock::address_is_locked::<Typed>(sock)) };
        if port != 0 {
            (place, source_port) = (PLACE_PORT_SEARCH, port);
            flags |= FLAG_HAD_PORT;
        } else if !locked {
            place = PLACE_PORT_SEARCH;
        }
    }
    // SAFETY: as above.
    unsafe {
        report::<Typed>(&Finding {
            sock,
            address: asked.address,
            source: None,
            search_ns: 0,
            port_be: asked.port_be,
            source_port,
            errno,
            place,
            call: kind.call(),
            protocol: kind.protocol,
            flags: flags | asked.flags,
        });
    }
}

/// The packet is out: remembers who sent it, for the answer, and for as long as the socket holds its port.
#[inline(never)]
fn under_way(context: *mut c_void) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        let sock: *const u8 = ctx.arg(0);
        // SAFETY: the traced function's argument, which the verifier knows.
        unsafe {
            if setting!(duties.all_errors) == 1 {
                answers::expected(sock);
            }
            if setting!(duties.owners) != 0 {
                owners::remember(sock);
            }
        }
    })
}
