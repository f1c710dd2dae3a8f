//! Errors that the transport never sees: of a security module, a control group's program, the socket layer itself, and
//! those of UDP. Used with `--errno all`, or with error numbers that are no shortage.
//!
//! TCP's own errors pass here too; those were reported further in, or are the network's answers.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use portwatch_ebpf::abi::{
    CALL_CONNECT, CALL_SENDTO, COUNTER_CONNECT_MADE_UP, PLACE_SOCKET, PROTOCOL_MPTCP, PROTOCOL_UDP,
};

use crate::answers::{is_answer, told_late};
use crate::asked;
use crate::counter::count;
use crate::layout::{Memory, Probed, Typed, setting};
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, connect_is_wanted, report};
use crate::returned::{errno, failed, is_failure};
use crate::sock::{self, AF_INET, AF_INET6, Kind};
use crate::{calls, notes};

/// `__inet_stream_connect(sock, uaddr, addr_len, flags, is_sendmsg)`, net/ipv4/af_inet.c.
#[fexit(function = "__inet_stream_connect")]
pub(crate) fn stream_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(5)) {
        let call = if ctx.arg::<i32>(4) == 0 { CALL_CONNECT } else { CALL_SENDTO };
        report_failure(ctx.as_ptr(), ctx.arg(5), call, false);
    }
    0
}

/// `inet_dgram_connect(sock, uaddr, addr_len, flags)`, net/ipv4/af_inet.c.
#[fexit(function = "inet_dgram_connect")]
pub(crate) fn datagram_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(4)) {
        report_failure(ctx.as_ptr(), ctx.arg(4), CALL_CONNECT, false);
    }
    0
}

/// `security_socket_connect(sock, address, addrlen)`, security/security.c: of every family.
#[fexit(function = "security_socket_connect")]
pub(crate) fn security_connect(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(3)) {
        report_failure(ctx.as_ptr(), ctx.arg(3), CALL_CONNECT, true);
    }
    0
}

#[inline(never)]
fn report_failure(context: *mut c_void, result: u64, call: u8, before_transport: bool) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        let errno = errno(result);
        // SAFETY: the traced function's argument, which the verifier knows as a `struct socket`.
        let sock: *const u8 = unsafe { Typed::read(ctx.arg(0), setting!(layout.socket_sock)) };
        if sock.is_null() {
            return;
        }
        // SAFETY: `sock` was read through a pointer that the verifier knows, and is not null.
        let family = unsafe { sock::family::<Typed>(sock) };
        if family != AF_INET && family != AF_INET6 {
            return;
        }
        // SAFETY: as above.
        let Some(Kind { protocol, flags, .. }) = (unsafe { sock::kind::<Typed>(sock) }) else { return };
        // SAFETY: as above.
        let is_mptcp = protocol == PROTOCOL_MPTCP && unsafe { sock::is_mptcp::<Typed>(sock) };
        // Of a socket of MPTCP it is a path that searches for a port, and gets answers.
        // SAFETY: as above.
        let connecting = if is_mptcp { unsafe { sock::first_path(sock) } } else { sock };
        let transported = notes::was_transported(connecting);
        // For a path first, and then for the connection: one failure.
        let passes_again =
            protocol == PROTOCOL_MPTCP && !is_mptcp && setting!(layout.mptcp_passes_twice) == 1;
        if !passes_again {
            notes::forget_transported();
        }
        // A note that is still there was left by the port search for a connect hook that did not run, or is not there.
        let searched = !before_transport && notes::search_reported(connecting);
        if searched {
            count(COUNTER_CONNECT_MADE_UP);
        }
        let is_told = transported
            || searched
            || if is_mptcp {
                is_answer::<Probed>(connecting, errno)
            } else {
                is_answer::<Typed>(sock, errno)
            };
        if is_told || !is_failure(errno) || !connect_is_wanted(errno) {
            return;
        }
        if passes_again {
            notes::transport_reported(sock);
        }
        if protocol == PROTOCOL_UDP {
            calls::failure_seen(sock);
        } else {
            told_late(errno);
        }
        // SAFETY: as above, and for the address.
        let asked = unsafe {
            asked::either::<Typed>(ctx.arg(1), ctx.arg(2), sock, setting!(layout.sock_destination_v6))
        };
        // SAFETY: as above.
        unsafe {
            report::<Typed>(&Finding {
                sock,
                address: asked.address,
                source: None,
                search_ns: 0,
                port_be: asked.port_be,
                source_port: sock::port::<Typed>(sock),
                errno,
                place: PLACE_SOCKET,
                call,
                protocol,
                flags: flags | asked.flags,
            });
        }
    })
}
