//! portwatch, whose threads try what they have given up as soon as they have: for the tests in guests, which run it instead
//! of portwatch.
//!
//! Each attempt is a line on stderr: the duty of the thread, what it tried, and what came of it.

use std::fs::File;
use std::io::{Write as _, stderr};
use std::mem::zeroed;
use std::process::ExitCode;
use std::ptr::{null, null_mut};

use nix::errno::Errno;
use nix::libc::{
    self, AF_INET, AF_PACKET, AF_UNIX, CLONE_NEWNS, CLONE_NEWUSER, MS_BIND, PTRACE_ATTACH, SOCK_RAW,
    SOCK_STREAM, c_char, c_long, syscall,
};
use portwatch::{cli, privileges};

/// BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_OBJ_PIN (`enum bpf_cmd`, include/uapi/linux/bpf.h).
const BPF: [(&str, i32); 3] = [("make a BPF map", 0), ("load a BPF program", 5), ("pin a BPF object", 6)];

fn main() -> ExitCode {
    if privileges::CONFINED.set(attempt_all).is_err() {
        return ExitCode::FAILURE;
    }
    match cli::run() {
        Ok(outcome) => outcome.into(),
        Err(error) => cli::explain(&error),
    }
}

fn attempt_all(duty: &str) {
    let path = c"/tmp/portwatch-attempt";
    let root = c"/";
    let shell = c"/bin/sh";
    let arguments = [shell.as_ptr(), null()];
    // SAFETY: strings that end with a zero, numbers, and memory that lives through the call; what is asked for is refused, or
    // this is no longer the program under test.
    let mut attempts = unsafe {
        let mut bpf = [0_u64; 16];
        let write = libc::O_CREAT | libc::O_WRONLY;
        let name = path.as_ptr();
        vec![
            ("open a file for writing", came(syscall(libc::SYS_openat, libc::AT_FDCWD, name, write, 0o600))),
            (
                "remove a file",
                came(syscall(libc::SYS_unlinkat, libc::AT_FDCWD, c"/tmp/portwatch-there".as_ptr(), 0)),
            ),
            (
                "execute a program",
                came(syscall(libc::SYS_execve, shell.as_ptr(), arguments.as_ptr(), null::<*const c_char>())),
            ),
            ("fork", came(syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0))),
            ("fork by clone3", came(syscall(libc::SYS_clone3, [0_u64; 11].as_ptr(), 88))),
            ("make a TCP socket", came(syscall(libc::SYS_socket, AF_INET, SOCK_STREAM, 0))),
            ("make a packet socket", came(syscall(libc::SYS_socket, AF_PACKET, SOCK_RAW, 0))),
            ("make a Unix socket", came(syscall(libc::SYS_socket, AF_UNIX, SOCK_STREAM, 0))),
            ("connect", came(syscall(libc::SYS_connect, 0, zeroed::<[u64; 2]>().as_ptr(), 16))),
            ("trace process 1", came(syscall(libc::SYS_ptrace, c_long::from(PTRACE_ATTACH), 1, 0, 0))),
            (
                "read memory of process 1",
                came(syscall(libc::SYS_process_vm_readv, 1, null_mut::<u8>(), 0, null_mut::<u8>(), 0, 0)),
            ),
            ("mount", came(syscall(libc::SYS_mount, root.as_ptr(), root.as_ptr(), 0, MS_BIND, 0))),
            ("change the root", came(syscall(libc::SYS_chroot, root.as_ptr()))),
            ("make a user namespace", came(syscall(libc::SYS_unshare, CLONE_NEWUSER))),
            ("enter a mount namespace", came(syscall(libc::SYS_setns, 0, CLONE_NEWNS))),
            ("become another user", came(syscall(libc::SYS_setresuid, 65534, 65534, 65534))),
            ("load a module", came(syscall(libc::SYS_finit_module, 0, root.as_ptr(), 0))),
            ("stop process 1", came(syscall(libc::SYS_tgkill, 1, 1, libc::SIGSTOP))),
            ("make memory executable", came(syscall(libc::SYS_mmap, 0, 4096, libc::PROT_EXEC, 0x22, -1, 0))),
            (BPF[0].0, came(syscall(libc::SYS_bpf, BPF[0].1, bpf.as_mut_ptr(), 128))),
            (BPF[1].0, came(syscall(libc::SYS_bpf, BPF[1].1, bpf.as_mut_ptr(), 128))),
            (BPF[2].0, came(syscall(libc::SYS_bpf, BPF[2].1, bpf.as_mut_ptr(), 128))),
        ]
    };
    attempts.push((
        "read a file elsewhere",
        File::open("/etc/passwd").err().and_then(|error| error.raw_os_error()).map(Errno::from_raw),
    ));
    for (what, refused) in attempts {
        let came = refused.map_or_else(|| "done".to_owned(), |errno| format!("{errno:?}"));
        let _ = writeln!(stderr(), "attempt: {duty}: {what}: {came}");
    }
}

/// Asked at once, before the next call says something else.
fn came(result: c_long) -> Option<Errno> {
    Errno::result(result).err()
}
