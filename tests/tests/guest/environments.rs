//! What `doctor` and `trace` say where something is missing, word by word, as in `environments/`: each was read by somebody
//! who does not know this program. Where a text has changed on purpose, the test prints the new one.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use caps::Capability;
use nix::errno::Errno;
use nix::libc::{
    self, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SYS_bpf, sock_filter, sock_fprog,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use portwatch_tests::kernel_is_since;
use portwatch_tests::portwatch::command;

use crate::privileges::as_nobody;

const CANNOT_TRACE: i32 = 69;

/// Runs before the program, in its process.
type Prepare = fn() -> std::io::Result<()>;

/// `portwatch ARGS` as root, once this was done.
fn prepared(args: &[&str], prepare: Prepare) -> Command {
    let mut command = command(args);
    // SAFETY: between fork and exec, in a child of a process whose other threads hold no lock that is needed here.
    unsafe { command.pre_exec(prepare) };
    command
}

/// An empty file system in the place of this folder, for this process alone.
fn hide(folder: &str) -> std::io::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    Ok(mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), none)?)
}

/// From now on bpf() is answered with this error, as container runtimes do.
fn refuse_bpf(errno: Errno) -> std::io::Result<()> {
    let filter = |code: u32, then, otherwise, k| sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt: then,
        jf: otherwise,
        k,
    };
    // `struct seccomp_data` begins with the number of the call (include/uapi/linux/seccomp.h).
    let mut program = [
        filter(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
        filter(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, u32::try_from(SYS_bpf).unwrap_or(0)),
        filter(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (errno as i32).cast_unsigned()),
        filter(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: the filter outlives the call, which copies it.
    let answer = unsafe { libc::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) };
    Errno::result(answer).map(drop).map_err(Into::into)
}

/// A user namespace as of a container: its root is somebody else outside.
fn enter_user_namespace() -> std::io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/uid_map", "0 0 1")
}

/// uname(2) tells a release of 2.6 from now on (`UNAME26`, include/uapi/linux/personality.h), and there is no type
/// information, as before Linux 5.4.
fn be_old() -> std::io::Result<()> {
    const UNAME26: libc::c_ulong = 0x0002_0000;
    // SAFETY: it takes no pointer.
    Errno::result(unsafe { libc::personality(UNAME26) })?;
    hide("/sys/kernel/btf")
}

/// What it says, both outputs in their order, and its exit code.
fn said(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

/// The text of `doctor` without what other tests are about, which is another on each kernel: hooks, options, protections
/// that are well. Numbers that differ are `…`.
fn masked(doctor: &str) -> String {
    const KEPT: [&str; 4] = ["kernel  ", "type information", "lockdown", "privileges"];
    let mut text = String::new();
    let mut keeps = true;
    for line in doctor.lines() {
        let is_check = ["ok  ", "note  ", "not tried  "].iter().any(|mark| line.starts_with(mark));
        let goes_on = line.starts_with("     ");
        if !goes_on {
            let what = line.split_at_checked(11).map_or("", |(_, what)| what);
            keeps = !is_check || KEPT.iter().any(|kept| what.starts_with(kept));
        }
        if keeps {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    without_numbers(&text)
}

/// Releases of kernels and sizes as `…`.
fn without_numbers(text: &str) -> String {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let text = text.replace(&release, "…");
    let words = text.split_inclusive([' ', '\n']).collect::<Vec<_>>();
    let mut shown = String::new();
    for (index, word) in words.iter().enumerate() {
        let is_size = words.get(index + 1).is_some_and(|next| next.trim_end() == "KiB");
        let is_release = word.starts_with("2.6.");
        let bare = word.trim_end_matches([' ', '\n', ',']);
        if is_size || is_release { shown.push_str(&word.replace(bare, "…")) } else { shown.push_str(word) }
    }
    shown
}

/// An environment's name and text.
macro_rules! agreed {
    ($name:literal) => {
        ($name, include_str!(concat!("environments/", $name, ".txt")))
    };
}

/// What both say in an environment that refuses is as agreed, tells what to do, and has nothing of the kernel's own words.
fn assert_refused((name, agreed): (&str, &str), make: impl Fn(&[&str]) -> Command) {
    let (doctor, code) = said(&mut make(&["doctor"]));
    assert_eq!(code, Some(CANNOT_TRACE), "{name}: {doctor}");
    let (trace, code) = said(&mut make(&["trace", "--duration", "1s"]));
    assert_eq!(code, Some(CANNOT_TRACE), "{name}: {trace}");
    for text in [&doctor, &trace] {
        assert!(text.contains("hint: "), "{name}: what to do is not said: {text}");
        for raw in ["os error", "EPERM", "insns", "R1 type"] {
            assert!(!text.contains(raw), "{name}: {raw} says nothing to an operator: {text}");
        }
    }
    assert_eq!(trace.lines().count(), 2, "{name}: a finding and a hint: {trace}");
    let text =
        format!("$ portwatch doctor\n{}\n$ portwatch trace\n{}", masked(&doctor), without_numbers(&trace));
    assert!(text == agreed, "{name}: is not as agreed. Now it says\n{text}");
}

#[test]
fn who_is_not_root_is_told_what_is_missing() {
    assert_refused(agreed!("no_root"), |args| as_nobody(args, &[]));
    assert_refused(agreed!("no_perfmon"), |args| as_nobody(args, &[Capability::CAP_BPF]));
}

#[test]
fn a_container_that_forbids_bpf_is_named() {
    assert_refused(agreed!("seccomp"), |args| prepared(args, || refuse_bpf(Errno::EPERM)));
    assert_refused(agreed!("seccomp_without_bpf"), |args| prepared(args, || refuse_bpf(Errno::ENOSYS)));
}

#[test]
fn a_user_namespace_is_named() {
    assert_refused(agreed!("user_namespace"), |args| prepared(args, enter_user_namespace));
}

#[test]
fn a_kernel_without_type_information_is_named() {
    assert_refused(agreed!("no_btf"), |args| prepared(args, || hide("/sys/kernel/btf")));
    assert_refused(agreed!("no_sys"), |args| prepared(args, || hide("/sys")));
}

#[test]
fn an_old_kernel_is_told_which_is_new_enough() {
    assert_refused(agreed!("old_kernel"), |args| prepared(args, be_old));
    assert_refused(agreed!("no_ring_buffer"), |args| prepared(args, || refuse_bpf(Errno::EINVAL)));
}

#[test]
fn a_limit_of_locked_memory_is_told_with_how_to_raise_it() {
    if kernel_is_since(5, 11) {
        println!("skipped: from Linux 5.11 maps do not count against the limit of locked memory");
        return;
    }
    assert_refused(agreed!("locked_memory"), |args| {
        let mut command = as_nobody(args, &[Capability::CAP_BPF, Capability::CAP_PERFMON]);
        let limit = || {
            use nix::sys::resource::{Resource, setrlimit};
            setrlimit(Resource::RLIMIT_MEMLOCK, 65536, 65536).map_err(Into::into)
        };
        // SAFETY: as above.
        unsafe { command.pre_exec(limit) };
        command
    });
}

#[test]
fn what_is_not_needed_is_not_missed() {
    let read_only: Prepare = || {
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        Ok(mount(none, "/sys", none, again, none)?)
    };
    let cases: [(&str, Prepare); 2] =
        [("tracefs is not there", || hide("/sys/kernel/tracing")), ("/sys is read-only", read_only)];
    for (what, prepare) in cases {
        assert!(Path::new("/sys/kernel/btf/vmlinux").exists());
        let (doctor, code) = said(&mut prepared(&["doctor"], prepare));
        assert_eq!(code, Some(0), "{what}: {doctor}");
        assert!(!doctor.contains("FAILED"), "{what}: {doctor}");
        let (trace, code) = said(&mut prepared(&["trace", "--duration", "1s"], prepare));
        assert_eq!(code, Some(0), "{what}: {trace}");
    }
}
