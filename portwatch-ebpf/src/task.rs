//! Who calls.
//!
//! In: the current task, or what was remembered of one. Out: its identity and names. Must not know: what it did.

use core::mem::MaybeUninit;
use core::ptr::null;

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_task, bpf_get_current_task_btf,
    bpf_get_socket_cookie, bpf_task_pt_regs,
};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid};
use portwatch_ebpf::abi::{CALL_CONNECT, CALL_SENDTO, COMM_LEN, Caller, Comm, TASK_BY_PROBE, TASK_BY_TYPE};

use crate::layout::{Memory, Probed, Typed, setting, words};
use crate::maps::CGROUP;
use crate::sock::cookie;

/// `PF_KTHREAD`, include/linux/sched.h.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Somebody who called.
pub(crate) trait Who {
    /// Thread-group id in the initial pid namespace.
    fn tgid(&self) -> u32;
    /// Thread id in the initial pid namespace.
    fn tid(&self) -> u32;
    /// Start of the thread-group leader.
    fn start_boot_ns(&self) -> u64;
    /// Version 2 control group.
    fn cgroup_id(&self) -> u64;
    /// Whether the control group is among those that the filter asks for; only to be asked where it does.
    fn in_cgroup(&self) -> bool;
    /// User id, and group id in the upper half.
    fn uid_gid(&self) -> u64;
    /// Name of the thread.
    fn comm(&self) -> Comm;
    /// Name of the thread-group leader.
    fn leader_comm(&self) -> Comm;
    /// Whether it is a thread of the kernel.
    fn is_kernel_thread(&self) -> bool;
}

/// The task that runs.
pub(crate) struct Current {
    pid_tgid: u64,
    leader: *const u8,
    start_boot_ns: u64,
    flags: u32,
}

/// Looks at the task that runs.
#[inline(always)]
pub(crate) fn current() -> Current {
    let pid_tgid = bpf_get_current_pid_tgid();
    // SAFETY: each helper returns the current task in the form that is read here.
    let (leader, start_boot_ns, flags) = unsafe {
        match setting!(duties.task_by) {
            TASK_BY_TYPE => facts::<Typed>(bpf_get_current_task_btf().cast::<u8>().cast_const()),
            TASK_BY_PROBE => facts::<Probed>(bpf_get_current_task() as *const u8),
            _ => (null(), 0, 0),
        }
    };
    Current { pid_tgid, leader, start_boot_ns, flags }
}

#[inline(always)]
unsafe fn facts<M: Memory>(task: *const u8) -> (*const u8, u64, u32) {
    // SAFETY: the caller's promise: a task that `M` reads.
    unsafe {
        let leader = M::read::<*const u8>(task, setting!(layout.task_group_leader));
        (
            leader,
            M::read::<u64>(leader, setting!(layout.task_start_boot_ns)),
            M::read::<u32>(task, setting!(layout.task_flags)),
        )
    }
}

impl Who for Current {
    #[inline(always)]
    fn tgid(&self) -> u32 {
        (self.pid_tgid >> 32) as u32
    }

    #[inline(always)]
    fn tid(&self) -> u32 {
        self.pid_tgid as u32
    }

    #[inline(always)]
    fn start_boot_ns(&self) -> u64 {
        self.start_boot_ns
    }

    #[inline(always)]
    fn cgroup_id(&self) -> u64 {
        // SAFETY: takes no pointer.
        unsafe { bpf_get_current_cgroup_id() }
    }

    #[inline(always)]
    fn in_cgroup(&self) -> bool {
        CGROUP.current_task_under_cgroup(0) == Ok(true)
    }

    #[inline(always)]
    fn uid_gid(&self) -> u64 {
        bpf_get_current_uid_gid()
    }

    #[inline(always)]
    fn comm(&self) -> Comm {
        comm()
    }

    #[inline(always)]
    fn leader_comm(&self) -> Comm {
        // SAFETY: `leader` was read from a task in the same way.
        unsafe {
            match setting!(duties.task_by) {
                TASK_BY_TYPE => words::<Typed>(self.leader, setting!(layout.task_comm)),
                TASK_BY_PROBE => words::<Probed>(self.leader, setting!(layout.task_comm)),
                _ => comm(),
            }
        }
    }

    #[inline(always)]
    fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

/// Name of the current thread.
#[inline(always)]
pub(crate) fn comm() -> Comm {
    // Zeroed first: up to 6.1 at least, the helper leaves what lies behind the name's last word as it was.
    let mut comm: MaybeUninit<Comm> = MaybeUninit::uninit();
    for n in 0..4 {
        // Word by word: the compiler would call a function that does it byte by byte.
        // SAFETY: inside of the four words.
        unsafe { comm.as_mut_ptr().cast::<u32>().add(n).write_volatile(0) };
    }
    // SAFETY: the helper writes at most that many bytes there.
    unsafe { bpf_get_current_comm(comm.as_mut_ptr().cast(), COMM_LEN as u32) };
    // SAFETY: every word was written.
    unsafe { comm.assume_init() }
}

/// Numbers of system calls of x86-64, arch/x86/entry/syscalls/syscall_64.tbl; 32-bit programs use others.
pub(crate) const CONNECT: u64 = 42;
/// As above.
pub(crate) const SENDTO: u64 = 44;
/// As above.
pub(crate) const SENDMSG: u64 = 46;
/// As above.
pub(crate) const BIND: u64 = 49;
/// As above: calls that send, and have no address of their own or several.
pub(crate) const WRITE: u64 = 1;
/// As above.
pub(crate) const WRITEV: u64 = 20;
/// As above.
pub(crate) const SENDMMSG: u64 = 307;

/// Which call that uses a socket without a port the current task is in: [`CALL_CONNECT`] or [`CALL_SENDTO`].
#[inline(always)]
pub(crate) fn call() -> u8 {
    match syscall() {
        // Those, sendfile and splice.
        WRITE | WRITEV | SENDTO | SENDMSG | SENDMMSG | 40 | 275 => CALL_SENDTO,
        // connect; io_uring_enter and others that have it done
        _ => CALL_CONNECT,
    }
}

/// Number of the current system call; that of connect where it cannot be known.
#[inline(always)]
pub(crate) fn syscall() -> u64 {
    if setting!(duties.task_registers) == 1 || setting!(duties.probe_reads) == 1 {
        argument(setting!(layout.registers_syscall))
    } else {
        CONNECT
    }
}

/// A register of the current system call, by its place in `struct pt_regs`; 0 where it cannot be known.
#[inline(always)]
pub(crate) fn argument(register: u32) -> u64 {
    // SAFETY: the helpers return the current task; its stack ends in the registers of the system call
    // (`task_pt_regs`, arch/x86/include/asm/processor.h).
    unsafe {
        if setting!(duties.task_registers) == 1 {
            Typed::read(bpf_task_pt_regs(bpf_get_current_task_btf()) as *const u8, register)
        } else if setting!(duties.probe_reads) == 1 {
            let task = bpf_get_current_task() as *const u8;
            let stack: *const u8 = Probed::read(task, setting!(layout.task_stack));
            Probed::read(stack, setting!(layout.stack_registers) + register)
        } else {
            0
        }
    }
}

/// Copies what must be remembered of the current task, which connects `sock`: a socket that the verifier knows.
#[inline(always)]
pub(crate) fn remembered(sock: *const u8) -> Caller {
    let task = current();
    if setting!(duties.cookies) == 1 {
        // Makes the kernel give the socket one; it is read where it lies.
        // SAFETY: the caller's promise: a socket that the verifier knows.
        unsafe { bpf_get_socket_cookie(sock.cast_mut().cast()) };
    }
    let uid_gid = task.uid_gid();
    Caller {
        start_boot_ns: task.start_boot_ns(),
        cgroup_id: task.cgroup_id(),
        // SAFETY: as above.
        cookie: unsafe { cookie::<Typed>(sock) },
        comm: task.comm(),
        leader_comm: task.leader_comm(),
        tgid: task.tgid(),
        tid: task.tid(),
        uid: uid_gid as u32,
        gid: (uid_gid >> 32) as u32,
        kernel_thread: task.is_kernel_thread().into(),
        in_cgroup: (setting!(filter.cgroup) == 1 && task.in_cgroup()).into(),
    }
}

impl Who for &Caller {
    #[inline(always)]
    fn tgid(&self) -> u32 {
        self.tgid
    }

    #[inline(always)]
    fn tid(&self) -> u32 {
        self.tid
    }

    #[inline(always)]
    fn start_boot_ns(&self) -> u64 {
        self.start_boot_ns
    }

    #[inline(always)]
    fn cgroup_id(&self) -> u64 {
        self.cgroup_id
    }

    #[inline(always)]
    fn in_cgroup(&self) -> bool {
        self.in_cgroup != 0
    }

    #[inline(always)]
    fn uid_gid(&self) -> u64 {
        u64::from(self.gid) << 32 | u64::from(self.uid)
    }

    #[inline(always)]
    fn comm(&self) -> Comm {
        self.comm
    }

    #[inline(always)]
    fn leader_comm(&self) -> Comm {
        self.leader_comm
    }

    #[inline(always)]
    fn is_kernel_thread(&self) -> bool {
        self.kernel_thread != 0
    }
}
