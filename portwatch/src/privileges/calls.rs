//! seccomp: which system calls a thread may make from now on.
//!
//! A list of what is allowed, for each duty. What is not on it fails with EPERM, as if a right were missing, instead of
//! ending the process: an error is counted and said, and what was recorded until then is not lost. Filters cannot read
//! memory, so paths are for `files` to check; numbers and flags are checked here.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use super::{Duty, Looking};

/// Of a call that is allowed with certain arguments only: which argument, of which these bits must be these.
type Argument = (u8, u64, u64);

/// All bits of an argument of 32 bits.
const ALL: u64 = 0xffff_ffff;

/// What every thread does: memory, time, waiting, descriptors that are open, threads, signals, its own end.
const ALWAYS: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // Answered by `ENOSYS`, see `without_clone3`.
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    // Further filters make the list shorter, never longer.
    libc::SYS_seccomp,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_statx,
    libc::SYS_sysinfo,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same, by calls that later architectures do not have.
#[cfg(target_arch = "x86_64")]
const ALWAYS_OLD: &[c_long] =
    &[libc::SYS_arch_prctl, libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_readlink, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_OLD: &[c_long] = &[];

/// The same, with these arguments.
const ALWAYS_WITH: &[(c_long, &[Argument])] = &[
    // Threads, not processes.
    (libc::SYS_clone, &[(0, libc::CLONE_THREAD as u64, libc::CLONE_THREAD as u64)]),
    (libc::SYS_fcntl, &[(1, ALL, libc::F_DUPFD_CLOEXEC as u64)]),
    (libc::SYS_fcntl, &[(1, ALL, libc::F_GETFD as u64)]),
    (libc::SYS_fcntl, &[(1, ALL, libc::F_SETFD as u64)]),
    (libc::SYS_fcntl, &[(1, ALL, libc::F_GETFL as u64)]),
    (libc::SYS_fcntl, &[(1, ALL, libc::F_SETFL as u64)]),
    (libc::SYS_ioctl, &[(1, ALL, libc::TCGETS)]),
    (libc::SYS_ioctl, &[(1, ALL, libc::TIOCGWINSZ)]),
    // Memory that can be written is not executed.
    (libc::SYS_mmap, &[(2, libc::PROT_EXEC as u64, 0)]),
    (libc::SYS_mprotect, &[(2, libc::PROT_EXEC as u64, 0)]),
    (libc::SYS_prctl, &[(0, ALL, libc::PR_SET_NAME as u64)]),
    (libc::SYS_prctl, &[(0, ALL, libc::PR_SET_VMA as u64)]),
    (libc::SYS_prctl, &[(0, ALL, libc::PR_SET_NO_NEW_PRIVS as u64)]),
    (libc::SYS_prctl, &[(0, ALL, libc::PR_CAPBSET_READ as u64)]),
    (libc::SYS_prctl, &[(0, ALL, libc::PR_CAPBSET_DROP as u64)]),
    (
        libc::SYS_prctl,
        &[(0, ALL, libc::PR_CAP_AMBIENT as u64), (1, ALL, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64)],
    ),
    // Limits are asked for, not set.
    (libc::SYS_prlimit64, &[(2, u64::MAX, 0)]),
];

/// What a handler of signals writes to the runtime, and who reads that there.
const SIGNALS: &[c_long] = &[libc::SYS_recvfrom, libc::SYS_sendto];

/// Looking at /proc and at sockets.
const LOOKING: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_faccessat,
    libc::SYS_getdents64,
    libc::SYS_getsockname,
    libc::SYS_readlinkat,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
];

const LOOKING_WITH: &[(c_long, &[Argument])] = &[
    READ_ONLY,
    BY_NUMBER,
    (libc::SYS_socket, &[(0, ALL, libc::AF_NETLINK as u64), (2, ALL, libc::NETLINK_SOCK_DIAG as u64)]),
];

/// Talking to who has connected; nobody is connected to.
const ANSWERING: &[c_long] = &[
    libc::SYS_accept4,
    libc::SYS_getdents64,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// Connecting to who has a Unix socket. There is no other kind of socket here to connect.
const ASKING: &[c_long] = &[libc::SYS_connect, libc::SYS_getsockopt, libc::SYS_shutdown];

const ASKING_WITH: &[(c_long, &[Argument])] = &[(libc::SYS_socket, &[(0, ALL, libc::AF_UNIX as u64)])];

/// Nothing is made, emptied or opened to be written to.
const READ_ONLY: (c_long, &[Argument]) = {
    const WRITES: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;
    (libc::SYS_openat, &[(2, WRITES, libc::O_RDONLY as u64)])
};

/// The same of a control group by its number; the only tree whose numbers are asked for.
const BY_NUMBER: (c_long, &[Argument]) = (libc::SYS_open_by_handle_at, READ_ONLY.1);

/// What is asked of maps and programs that are open (`enum bpf_cmd`, include/uapi/linux/bpf.h): nothing is loaded or
/// attached.
const MAPS_WITH: &[(c_long, &[Argument])] = &[
    (libc::SYS_bpf, &[(0, ALL, 1)]),  // BPF_MAP_LOOKUP_ELEM
    (libc::SYS_bpf, &[(0, ALL, 2)]),  // BPF_MAP_UPDATE_ELEM
    (libc::SYS_bpf, &[(0, ALL, 4)]),  // BPF_MAP_GET_NEXT_KEY
    (libc::SYS_bpf, &[(0, ALL, 15)]), // BPF_OBJ_GET_INFO_BY_FD
];

const ENTERING_WITH: &[(c_long, &[Argument])] = &[(libc::SYS_setns, &[(1, ALL, libc::CLONE_NEWNET as u64)])];

const READING: &[c_long] =
    &[libc::SYS_faccessat, libc::SYS_getdents64, libc::SYS_ftruncate, libc::SYS_readlinkat];

const RECORDING: &[c_long] = &[
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_openat,
    libc::SYS_pwrite64,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
];

/// Leaves this thread the calls of its duty.
pub(super) fn allow(duty: &Duty<'_>) -> Result<(), String> {
    let allowed = filter(duty).map_err(|error| error.to_string())?;
    let without_clone3 = without_clone3().map_err(|error| error.to_string())?;
    apply_filter(&without_clone3).and_then(|()| apply_filter(&allowed)).map_err(|error| error.to_string())
}

fn filter(duty: &Duty<'_>) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules = Rules::default();
    rules.add(ALWAYS, ALWAYS_WITH)?;
    rules.add(ALWAYS_OLD, &[])?;
    match duty {
        Duty::Look(Looking { enters_namespaces, maps, ends_command }) => {
            rules.add(SIGNALS, &[])?;
            rules.add(LOOKING, LOOKING_WITH)?;
            if maps.is_some() {
                rules.add(&[], MAPS_WITH)?;
            }
            if *enters_namespaces {
                rules.add(&[], ENTERING_WITH)?;
            }
            if *ends_command {
                rules.add(&[libc::SYS_kill], &[])?;
            }
        }
        Duty::Read(_) => rules.add(READING, &[READ_ONLY])?,
        Duty::Record(_) => {
            rules.add(SIGNALS, &[])?;
            rules.add(RECORDING, &[])?;
        }
        Duty::Answer => {
            rules.add(SIGNALS, &[])?;
            rules.add(ANSWERING, &[READ_ONLY])?;
        }
        Duty::Ask => {
            rules.add(SIGNALS, &[])?;
            rules.add(ASKING, ASKING_WITH)?;
        }
        Duty::Write => rules.add(SIGNALS, &[])?,
    }
    compiled(rules.0, &SeccompAction::Errno(libc::EPERM.cast_unsigned()), &SeccompAction::Allow)
}

/// `clone3` has its flags in memory, where no filter looks. Libraries take `clone` where it is not there.
fn without_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    compiled(rules, &SeccompAction::Allow, &SeccompAction::Errno(libc::ENOSYS.cast_unsigned()))
}

/// The library's programs compare a call with one number after the other, and the kernel runs them for each number there is
/// when it takes them (`seccomp_cache_prepare`, kernel/seccomp.c). So there is one for each few numbers, behind a choice.
fn compiled(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: &SeccompAction,
    matched: &SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    const NUMBERS: usize = 10;
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let (mut rules, mut parts) = (rules.into_iter().peekable(), Vec::new());
    while let Some((first, _)) = rules.peek() {
        let first = u32::try_from(*first).unwrap_or(0);
        let part = rules.by_ref().take(NUMBERS).collect();
        let part: BpfProgram =
            SeccompFilter::new(part, otherwise.clone(), matched.clone(), arch)?.try_into()?;
        parts.push((first, part));
    }
    Ok(chosen(&parts))
}

/// These parts, each of which ends with an answer, behind the choice by the first number of the next.
fn chosen(parts: &[(u32, BpfProgram)]) -> BpfProgram {
    // `BPF_LD | BPF_W | BPF_ABS` and others (include/uapi/linux/bpf_common.h).
    const LOAD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const JUMP: u16 = 0x05;
    // A program has at most 4,096 instructions.
    let step = |code, k: usize, jt| sock_filter { code, jt, jf: 0, k: u32::try_from(k).unwrap_or(u32::MAX) };
    // The number of the call is the first member of `struct seccomp_data`.
    let mut program = vec![step(LOAD, 0, 0)];
    let mut before = 0;
    for (n, (_, part)) in parts.iter().enumerate() {
        // Two instructions for each choice that follows, of which the last has one.
        let choices = (2 * (parts.len() - n)).saturating_sub(3);
        if let Some((first_of_next, _)) = parts.get(n + 1) {
            program.push(step(JUMP_IF_AT_LEAST, *first_of_next as usize, 1));
        }
        program.push(step(JUMP, choices + before, 0));
        before += part.len();
    }
    program.extend(parts.iter().flat_map(|(_, part)| part.iter().cloned()));
    program
}

/// No rule for a call that is in it: any arguments.
#[derive(Default)]
struct Rules(BTreeMap<c_long, Vec<SeccompRule>>);

impl Rules {
    fn add(
        &mut self,
        calls: &[c_long],
        with: &[(c_long, &[Argument])],
    ) -> Result<(), seccompiler::BackendError> {
        self.0.extend(calls.iter().map(|call| (*call, Vec::new())));
        for (call, arguments) in with {
            let conditions = arguments.iter().map(|(number, bits, value)| {
                let length = if *bits > ALL { SeccompCmpArgLen::Qword } else { SeccompCmpArgLen::Dword };
                SeccompCondition::new(*number, length, SeccompCmpOp::MaskedEq(*bits), *value)
            });
            let rule = SeccompRule::new(conditions.collect::<Result<_, _>>()?)?;
            self.0.entry(*call).or_default().push(rule);
        }
        Ok(())
    }
}
