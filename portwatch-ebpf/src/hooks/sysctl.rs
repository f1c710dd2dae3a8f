//! A write below /proc/sys: `proc_sys_write(iocb, iter)`, fs/proc/proc_sysctl.c, 5.10 and newer.
//!
//! Every way to change such a setting ends there, and `file_operations` has its address, so it is never inlined. Nobody
//! passes but who writes a setting. Its beginning still has the old value, its return has the new one, and whether the
//! kernel took it.

use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

use crate::out_of_line::{Done, out_of_line};
use crate::report::is_running;
use crate::sysctl_change;

/// The beginning of `proc_sys_write(iocb, iter)`.
#[fentry(function = "proc_sys_write")]
pub(crate) fn sysctl_write_begins(ctx: FEntryContext) -> i32 {
    if is_running() {
        begins(ctx.as_ptr());
    }
    0
}

/// Its return: bytes taken, or an error.
#[fexit(function = "proc_sys_write")]
pub(crate) fn sysctl_written(ctx: FExitContext) -> i32 {
    if ctx.arg::<i64>(2) > 0 && is_running() {
        returns(ctx.as_ptr());
    }
    0
}

#[inline(never)]
fn begins(context: *mut c_void) -> Done {
    // SAFETY: the function's argument, a `struct kiocb`.
    out_of_line(|| unsafe { sysctl_change::begins(FEntryContext::new(context).arg(0)) })
}

#[inline(never)]
fn returns(context: *mut c_void) -> Done {
    // SAFETY: as above.
    out_of_line(|| unsafe { sysctl_change::is_made(FExitContext::new(context).arg(0)) })
}
