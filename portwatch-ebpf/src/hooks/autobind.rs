//! A socket that is used without a port, and gets none: `inet_autobind(sk)`, net/ipv4/af_inet.c.
//!
//! connect() and the calls that send go through it for UDP. It returns EAGAIN, which from the call alone nobody can
//! tell from "would block". Where the caller wanted to go is in the memory of its process only.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{fexit, kretprobe};
use aya_ebpf::programs::{FExitContext, RetProbeContext};
use portwatch_ebpf::abi::{CALL_CONNECT, PLACE_AUTOBIND, PROTOCOL_UDP};

use crate::layout::{Memory, Probed, Typed, setting};
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, autobind_is_wanted, report};
use crate::returned::{errno, failed};
use crate::sock::{self, Kind};
use crate::{calls, notes, task, user};

/// `inet_autobind(sk)`.
#[fexit(function = "inet_autobind")]
pub(crate) fn autobind(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(1)) {
        failed_typed(ctx.as_ptr(), ctx.arg(1));
    }
    0
}

/// The same as a program that the kernel does not skip.
#[kretprobe]
pub(crate) fn autobind_returns(ctx: RetProbeContext) -> u32 {
    let (call, result) = (calls::end(), ctx.ret());
    if failed(result) {
        failed_whole(call.sock(), result);
    }
    0
}

#[inline(never)]
fn failed_typed(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| report_failure::<Typed>(FExitContext::new(context).arg(0), result))
}

#[inline(never)]
fn failed_whole(sock: *const u8, result: u64) -> Done {
    out_of_line(|| report_failure::<Probed>(sock, result))
}

/// `sock` must be a socket that `M` reads.
#[inline(always)]
fn report_failure<M: Memory>(sock: *const u8, result: u64) {
    if !autobind_is_wanted() {
        return;
    }
    // SAFETY: the caller's promise.
    let Some(Kind { protocol: PROTOCOL_UDP, flags, .. }) = (unsafe { sock::kind::<M>(sock) }) else {
        return;
    };
    calls::failure_seen(sock);
    let call = task::call();
    // SAFETY: as above.
    let asked = unsafe { user::asked().or_nowhere::<M>(sock) };
    // SAFETY: as above.
    unsafe {
        report::<M>(&Finding {
            sock,
            address: asked.address,
            source: None,
            search_ns: 0,
            port_be: asked.port_be,
            source_port: 0,
            errno: errno(result),
            place: PLACE_AUTOBIND,
            call,
            protocol: PROTOCOL_UDP,
            flags: flags | asked.flags,
        });
    }
    // No hook follows on a call that sends.
    if setting!(duties.all_errors) == 1 && call == CALL_CONNECT {
        notes::transport_reported(sock);
    }
}
