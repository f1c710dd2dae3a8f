//! The return of the search for a local port.
//!
//! Here port, source and destination are still set (`../../../docs/kernels.md`); one level up they are gone.
//! `__inet_hash_connect` has four arguments up to Linux 6.14 and five from 6.15 (net/ipv4/inet_hashtables.c), and
//! the return value lies behind the last. A context offset chosen by a value is refused by older verifiers, so
//! there is a program for each count and user space attaches the one that BTF asks for. The wrappers
//! `inet_hash_connect` and `inet6_hash_connect`, two arguments each, serve where neither fits or the kernel refuses.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use aya_log_ebpf::debug;

use crate::layout::{Typed, setting};
use crate::notes;
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, connect_is_wanted, is_running, report_here};
use crate::returned::{errno, failed};
use crate::{search_time, sock};

/// `__inet_hash_connect(death_row, sk, port_offset, check_established)`.
#[fexit(function = "__inet_hash_connect")]
pub(crate) fn port_search_4(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(4)) || setting!(duties.search_times) == 1 {
        returned(ctx.as_ptr(), ctx.arg(4));
    }
    0
}

/// `__inet_hash_connect(death_row, sk, port_offset, hash_port0, check_established)`.
#[fexit(function = "__inet_hash_connect")]
pub(crate) fn port_search_5(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(5)) || setting!(duties.search_times) == 1 {
        returned(ctx.as_ptr(), ctx.arg(5));
    }
    0
}

/// `inet_hash_connect(death_row, sk)`.
#[fexit(function = "inet_hash_connect")]
pub(crate) fn port_search_v4(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(2)) || setting!(duties.search_times) == 1 {
        returned(ctx.as_ptr(), ctx.arg(2));
    }
    0
}

/// `inet6_hash_connect(death_row, sk)`.
#[fexit(function = "inet6_hash_connect")]
pub(crate) fn port_search_v6(ctx: FExitContext) -> i32 {
    if failed(ctx.arg(2)) || setting!(duties.search_times) == 1 {
        returned(ctx.as_ptr(), ctx.arg(2));
    }
    0
}

/// The beginning of any of them, with `--search-time`.
#[fentry]
pub(crate) fn search_begins(_: FEntryContext) -> i32 {
    search_time::begin();
    0
}

/// The same, for the other wrapper: one program goes to one function.
#[fentry]
pub(crate) fn search_begins_v6(_: FEntryContext) -> i32 {
    search_time::begin();
    0
}

/// Out of line, so that the registers it needs are not saved on the success path.
#[inline(never)]
fn returned(context: *mut c_void, result: u64) -> Done {
    out_of_line(|| {
        let ctx = FExitContext::new(context);
        let sock: *const u8 = ctx.arg(1);
        let search_ns = if setting!(duties.search_times) == 1 {
            // SAFETY: the traced function's argument, which the verifier knows as a `struct sock`.
            unsafe { search_time::end(sock) }
        } else {
            0
        };
        let errno = errno(result);
        if errno == 0 || !is_running() {
            return;
        }
        // DCCP searches its ports here too, up to 6.15.
        // SAFETY: as above.
        let Some(kind) = (unsafe { sock::kind::<Typed>(sock) }) else { return };
        debug!(&ctx, "port search: errno {} sock {:x}", errno, sock as u64);
        // The others shall know of it, whether or not it is wanted.
        if !notes::search_reports(sock) || !connect_is_wanted(errno) {
            return;
        }
        // SAFETY: as above.
        unsafe { report_here::<Typed>(&Finding::of_search::<Typed>(sock, &kind, errno, search_ns)) };
    })
}
