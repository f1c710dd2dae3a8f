//! A socket leaves SYN_SENT, or SYN_RECV after that, where both sides connected at once: the tracepoint
//! `inet_sock_set_state`, include/trace/events/sock.h.
//!
//! With an error it is the network's answer, which comes long after the call, on whatever task runs: reported is who
//! called. Without one, and where fexit programs cannot be had, it is a connect that fails within the call, while the
//! socket still holds its addresses: in the search for a port if it never had found one, which is reported at once;
//! otherwise the return of the call will tell.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use portwatch_ebpf::abi::{CALL_CONNECT, Caller, PLACE_NETWORK};

use crate::layout::{Memory, Typed, setting};
use crate::maps::CALLERS;
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, connect_is_wanted, report, report_of};
use crate::returned::numbers::EADDRNOTAVAIL;
use crate::sock::{self, IPPROTO_TCP, Kind};
use crate::task::{self, Who as _};
use crate::{answers, notes, owners, stash};

/// `TCP_SYN_SENT`, `TCP_SYN_RECV` and `TCP_CLOSE`, include/net/tcp_states.h.
const SYN_SENT: i32 = 2;
const SYN_RECV: i32 = 3;
const CLOSE: i32 = 7;

/// `inet_sock_set_state(sk, oldstate, newstate)`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn state_changed(ctx: BtfTracePointContext) -> i32 {
    let before: i32 = ctx.arg(1);
    if before == SYN_SENT
        || (setting!(duties.all_errors) == 1 && before == SYN_RECV && is_somebodys(ctx.arg(0)))
    {
        left(ctx.as_ptr());
    } else if setting!(duties.tracepoints) == 1
        && setting!(duties.successes) == 1
        && ctx.arg::<i32>(2) == SYN_SENT
    {
        begins(ctx.arg(0));
    }
    0
}

/// Whether a process has the socket: not yet, where a listener made it.
#[inline(always)]
fn is_somebodys(sock: *const u8) -> bool {
    let member = setting!(layout.sock_socket);
    // SAFETY: the tracepoint's argument, which the verifier knows as a `struct sock`.
    member == 0 || !unsafe { Typed::read::<*const u8>(sock, member) }.is_null()
}

/// A socket leaves SYN_SENT, or SYN_RECV.
#[inline(never)]
fn left(context: *mut c_void) -> Done {
    out_of_line(|| {
        let ctx = BtfTracePointContext::new(context);
        let sock: *const u8 = ctx.arg(0);
        // SAFETY: the tracepoint's argument, which the verifier knows as a `struct sock`.
        let (protocol, error) = unsafe {
            (
                Typed::read::<u16>(sock, setting!(layout.sock_protocol)),
                Typed::read::<u32>(sock, setting!(layout.sock_error)),
            )
        };
        // An MPTCP socket has states too, without addresses; those below it are TCP's.
        if protocol != IPPROTO_TCP {
            return;
        }
        let is_first = ctx.arg::<i32>(1) == SYN_SENT;
        let closed = ctx.arg::<i32>(2) == CLOSE;
        if is_first && closed && error == 0 && setting!(duties.tracepoints) == 1 {
            failed_at_once(sock);
        }
        // What a listener made was no connect.
        if setting!(duties.all_errors) == 1 && (is_first || answers::is_expected(sock)) {
            if closed && error != 0 {
                answered(sock, error);
            }
            if ctx.arg::<i32>(2) != SYN_RECV {
                answers::no_longer_expected(sock);
            }
        }
    })
}

/// A connect begins: here the caller is the current task.
#[inline(never)]
fn begins(sock: *const u8) -> Done {
    out_of_line(|| {
        // An MPTCP socket gets no answers; those below it do.
        // SAFETY: the tracepoint's argument, which the verifier knows as a `struct sock`.
        if unsafe { Typed::read::<u16>(sock, setting!(layout.sock_protocol)) } != IPPROTO_TCP {
            return;
        }
        // SAFETY: as above.
        unsafe {
            if setting!(duties.all_errors) == 1 {
                answers::expected(sock);
            }
            // Whether it succeeds is not known yet: failures take places, too.
            if setting!(duties.owners) != 0 {
                owners::remember(sock);
            }
        }
    })
}

/// The network's answer. Out of line, as the next: the stack is too small for both.
#[inline(never)]
fn answered(sock: *const u8, error: u32) -> Done {
    out_of_line(|| tell_answer(sock, error))
}

#[inline(always)]
fn tell_answer(sock: *const u8, error: u32) {
    if !connect_is_wanted(error as u16) {
        return;
    }
    // SAFETY: as above.
    let finding = unsafe {
        let (address, mapped) = sock::destination::<Typed>(sock);
        let Some(Kind { protocol, flags, .. }) = sock::kind::<Typed>(sock) else { return };
        Finding {
            sock,
            address,
            source: None,
            search_ns: 0,
            port_be: sock::destination_port_be::<Typed>(sock),
            source_port: sock::sent_port::<Typed>(sock),
            errno: error as u16,
            place: PLACE_NETWORK,
            call: CALL_CONNECT,
            protocol,
            flags: flags | mapped,
        }
    };
    let Some(caller) = CALLERS.get_ptr(sock as u64) else {
        // It began before the programs ran, or found no room.
        const UNKNOWN: Caller = Caller {
            start_boot_ns: 0,
            cgroup_id: 0,
            cookie: 0,
            comm: [0; 4],
            leader_comm: [0; 4],
            tgid: 0,
            tid: 0,
            uid: 0,
            gid: 0,
            kernel_thread: 0,
            in_cgroup: 0,
        };
        // SAFETY: as above.
        unsafe { report_of::<Typed, &Caller>(&finding, &&UNKNOWN) };
        // So that a call that waits for the answer does not tell it again. With a filter by process nothing was told,
        // and the call knows who it is.
        let name = setting!(filter.comm);
        if setting!(filter.tgid) == 0
            && setting!(filter.cgroup) == 0
            && (name[0] | name[1] | name[2] | name[3]) == 0
        {
            // SAFETY: as above.
            unsafe { answers::told(sock, error) };
        }
        return;
    };
    // SAFETY: the map's memory; as above.
    unsafe {
        answers::told(sock, error);
        report_of::<Typed, &Caller>(&finding, &&*caller);
    }
}

/// A connect that fails within the call, or a socket that was closed before it got an answer.
#[inline(never)]
fn failed_at_once(sock: *const u8) -> Done {
    out_of_line(|| tell_failure(sock))
}

#[inline(always)]
fn tell_failure(sock: *const u8) {
    let by_call = matches!(
        task::syscall(),
        task::CONNECT | task::SENDTO | task::SENDMSG | task::WRITE | task::WRITEV | task::SENDMMSG
    ) && !task::current().is_kernel_thread();
    // SAFETY: as above.
    unsafe {
        if sock::has_found_port::<Typed>(sock) {
            // It may be another failure, which only the return of the call tells. io_uring and the kernel's own sockets
            // return from no call.
            if by_call {
                stash::keep(sock);
            }
            return;
        }
        let Some(kind) = sock::kind::<Typed>(sock) else { return };
        if connect_is_wanted(EADDRNOTAVAIL) && notes::search_reports(sock) {
            report::<Typed>(&Finding::of_search::<Typed>(sock, &kind, EADDRNOTAVAIL, 0));
        }
    }
}
