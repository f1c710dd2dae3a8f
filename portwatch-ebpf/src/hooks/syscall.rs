//! The return of every system call: the tracepoint `sys_exit`, include/trace/events/syscalls.h.
//!
//! Used only where fexit programs cannot be attached, because it costs every call a little. What the state tracepoint
//! has seen of a failing connect is kept until here; the rest is read from the registers, the process's memory and,
//! by way of the descriptor, the socket.

use core::ffi::c_void;
use core::ptr::null;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use portwatch_ebpf::abi::{
    Address, CALL_BIND, CALL_CONNECT, CALL_SENDTO, COUNTER_CALLS_MADE_UP, COUNTER_CALLS_UNKNOWN,
    COUNTER_SEARCH_MADE_UP, FLAG_HAD_PORT, PLACE_AUTOBIND, PLACE_BIND, PLACE_CONNECT, PLACE_PORT_SEARCH,
    PLACE_SOCKET, PLACE_SYSCALL, PROTOCOL_MPTCP, PROTOCOL_UDP,
};

use crate::answers::{is_answer, told_late};
use crate::asked::Asked;
use crate::counter::count;
use crate::layout::{Memory, Probed, Typed, setting};
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, autobind_is_wanted, bind_is_wanted, connect_is_wanted, report};
use crate::returned::is_failure;
use crate::returned::numbers::{EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EBADF, EFAULT, ENOTSOCK};
use crate::sock::{self, AF_INET, AF_INET6, Kind};
use crate::{calls, notes, stash, task, user};

/// `MAX_ERRNO`, include/linux/err.h.
const MAX_ERRNO: i64 = 4095;

/// `sys_exit(regs, ret)`.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn syscall_returned(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if (-MAX_ERRNO..0).contains(&result) {
        call_failed(ctx.as_ptr(), result);
    }
    0
}

#[inline(never)]
fn call_failed(context: *mut c_void, result: i64) -> Done {
    out_of_line(|| {
        let ctx = BtfTracePointContext::new(context);
        let registers: *const u8 = ctx.arg(0);
        // SAFETY: the tracepoint's argument, which the verifier knows as a `struct pt_regs`.
        let number: u64 = unsafe { Typed::read(registers, setting!(layout.registers_syscall)) };
        let call = match number {
            task::CONNECT => CALL_CONNECT,
            task::BIND => CALL_BIND,
            task::SENDTO | task::SENDMSG | task::SENDMMSG => CALL_SENDTO,
            // These fail often, and matter only where they connected on the way.
            task::WRITE | task::WRITEV if stash::is_kept() => CALL_SENDTO,
            _ => return,
        };
        let errno = result.unsigned_abs() as u16;
        // Not a socket, or nobody knows whether it is one.
        if matches!(errno, EBADF | EFAULT | ENOTSOCK) || !is_failure(errno) {
            return;
        }
        let sock = socket(registers);
        if sock.is_null() {
            return;
        }
        // SAFETY: the socket behind a descriptor that the call has accepted as one.
        let Some(Kind { protocol, flags, .. }) = (unsafe { sock::kind::<Probed>(sock) }) else { return };
        match call {
            CALL_BIND => {
                let _ = bind_failed(registers, sock, errno, protocol, flags);
            }
            _ => connect_failed(sock, errno, call, protocol, flags),
        }
    })
}

/// `sys_exit(regs, ret)`, beside programs at functions, on kernels that skip some of them.
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn skipped_returned(ctx: BtfTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if (-MAX_ERRNO..0).contains(&result) {
        make_up(ctx.as_ptr(), result);
    }
    0
}

/// Reports what one program alone sees, if that did not run.
#[inline(never)]
fn make_up(context: *mut c_void, result: i64) -> Done {
    out_of_line(|| {
        let ctx = BtfTracePointContext::new(context);
        let registers: *const u8 = ctx.arg(0);
        // SAFETY: the tracepoint's argument, which the verifier knows as a `struct pt_regs`.
        let number: u64 = unsafe { Typed::read(registers, setting!(layout.registers_syscall)) };
        let errno = result.unsigned_abs() as u16;
        let call = match number {
            task::BIND if !matches!(errno, EBADF | EFAULT | ENOTSOCK) => CALL_BIND,
            task::CONNECT if errno == EAGAIN => CALL_CONNECT,
            task::SENDTO | task::SENDMSG | task::SENDMMSG if errno == EAGAIN => CALL_SENDTO,
            _ => return,
        };
        let sock = socket(registers);
        if sock.is_null() {
            return;
        }
        // SAFETY: the socket behind a descriptor that the call has accepted as one.
        let Some(Kind { protocol, flags, .. }) = (unsafe { sock::kind::<Probed>(sock) }) else { return };
        if calls::was_seen(if protocol == PROTOCOL_MPTCP { null() } else { sock }) {
            return;
        }
        let made_up = if call == CALL_BIND {
            bind_failed(registers, sock, errno, protocol, flags)
        } else {
            // SAFETY: as above. "Would block" has a port.
            protocol == PROTOCOL_UDP
                && unsafe { sock::port::<Probed>(sock) } == 0
                && without_port(sock, call, flags)
        };
        if made_up {
            count(COUNTER_CALLS_MADE_UP);
        }
    })
}

/// A bind failed; whether that is wanted.
#[inline(always)]
fn bind_failed(registers: *const u8, sock: *const u8, errno: u16, protocol: u8, flags: u8) -> bool {
    // SAFETY: the tracepoint's argument, which the verifier knows.
    let given: u64 = unsafe { Typed::read(registers, setting!(layout.registers_argument_2)) };
    let asked = user::at(given as *const u8);
    // The kernel could read it, and found it wrong or not to be had.
    if !asked.known && matches!(errno, EADDRINUSE | EADDRNOTAVAIL) {
        count(COUNTER_CALLS_UNKNOWN);
    }
    let is_wanted = asked.known && bind_is_wanted(errno, asked.port_be);
    if is_wanted {
        let source = (asked.address, u16::from_be(asked.port_be));
        report_failure(sock, errno, &asked, source, (PLACE_BIND, CALL_BIND, protocol, flags | asked.flags));
    }
    is_wanted
}

/// A socket of UDP did not get a port; whether that is wanted.
#[inline(always)]
fn without_port(sock: *const u8, call: u8, flags: u8) -> bool {
    let is_wanted = autobind_is_wanted();
    if is_wanted {
        // SAFETY: the caller's socket.
        let (source, asked) =
            unsafe { (sock::source::<Probed>(sock), user::asked().or_nowhere::<Probed>(sock)) };
        let kind = (PLACE_AUTOBIND, call, PROTOCOL_UDP, flags | asked.flags);
        report_failure(sock, EAGAIN, &asked, (source, 0), kind);
    }
    is_wanted
}

/// A call failed that connects, or that sends and may have had to find a port or to connect first.
#[inline(always)]
fn connect_failed(sock: *const u8, errno: u16, call: u8, protocol: u8, flags: u8) {
    // Of MPTCP it is a path's socket that searches for a port, and gets answers.
    // SAFETY: as above.
    let connecting = if protocol == PROTOCOL_MPTCP { unsafe { sock::first_path(sock) } } else { sock };
    if notes::search_reported(connecting) && errno == EADDRNOTAVAIL {
        return;
    }
    let stash = stash::take(connecting);
    // SAFETY: as above.
    let (source, port) = unsafe { (sock::source::<Probed>(sock), sock::port::<Probed>(sock)) };
    // A socket of UDP without a port did not get one: "would block" has one.
    if protocol == PROTOCOL_UDP && errno == EAGAIN && port == 0 {
        let _ = without_port(sock, call, flags);
        return;
    }
    // Of UDP it is the call to connect that is watched.
    if !connect_is_wanted(errno)
        || (protocol == PROTOCOL_UDP && call != CALL_CONNECT && setting!(filter.shortage) == 1)
    {
        return;
    }
    if errno == EADDRNOTAVAIL && !stash.is_null() {
        // SAFETY: the map's memory.
        let stash = unsafe { &*stash };
        let had_port = if stash.source_port == 0 { 0 } else { FLAG_HAD_PORT };
        let flags = flags | stash.flags as u8 | had_port;
        let asked = Asked { address: stash.address, port_be: stash.port_be, flags: 0, known: true };
        let source = (stash.source, stash.source_port);
        report_failure(sock, errno, &asked, source, (PLACE_PORT_SEARCH, call, protocol, flags));
        return;
    }
    // Of the calls that send only those are connects that got as far as the tracepoint.
    if (call == CALL_SENDTO && stash.is_null()) || is_answer::<Probed>(connecting, errno) {
        return;
    }
    if protocol != PROTOCOL_UDP {
        told_late(errno);
    }
    // SAFETY: as above.
    let asked = unsafe { user::asked().or_nowhere::<Probed>(sock) };
    let place = match (protocol, errno) {
        (PROTOCOL_UDP, _) => PLACE_SOCKET,
        (_, EADDRNOTAVAIL) => PLACE_CONNECT,
        _ => PLACE_SYSCALL,
    };
    // SAFETY: as above.
    let is_v6 = unsafe { sock::family::<Probed>(sock) } == AF_INET6 && asked.flags == 0;
    if place == PLACE_CONNECT && !is_v6 {
        count(COUNTER_SEARCH_MADE_UP);
    }
    report_failure(sock, errno, &asked, (source, 0), (place, call, protocol, flags | asked.flags));
}

/// The last argument is place, call, protocol and flags.
#[inline(always)]
fn report_failure(
    sock: *const u8,
    errno: u16,
    asked: &Asked,
    (source, source_port): (Address, u16),
    (place, call, protocol, flags): (u8, u8, u8, u8),
) {
    let finding = Finding {
        sock,
        address: asked.address,
        source: Some(source),
        search_ns: 0,
        port_be: asked.port_be,
        source_port,
        errno,
        place,
        call,
        protocol,
        flags,
    };
    // SAFETY: as above.
    unsafe { report::<Probed>(&finding) };
}

/// The socket of IPv4 or IPv6 behind the descriptor that the call was given; null if it is another kind.
#[inline(always)]
fn socket(registers: *const u8) -> *const u8 {
    // SAFETY: the tracepoint's argument, which the verifier knows; otherwise addresses that lead nowhere read as zero.
    unsafe {
        let descriptor = Typed::read::<u64>(registers, setting!(layout.registers_argument_1)) as u32;
        let task = bpf_get_current_task() as *const u8;
        let files: *const u8 = Probed::read(task, setting!(layout.task_files));
        let table: *const u8 = Probed::read(files, setting!(layout.files_table));
        let entries: *const u8 = Probed::read(table, setting!(layout.table_files));
        let file: *const u8 = Probed::read(entries.wrapping_add(descriptor as usize * 8), 0);
        if file.is_null() || descriptor >= Probed::read(table, setting!(layout.table_size)) {
            // Another thread has closed it since.
            count(COUNTER_CALLS_UNKNOWN);
            return null();
        }
        let socket: *const u8 = Probed::read(file, setting!(layout.file_private));
        let sock: *const u8 = Probed::read(socket, setting!(layout.socket_sock));
        let family = sock::family::<Probed>(sock);
        if family == AF_INET || family == AF_INET6 { sock } else { null() }
    }
}
