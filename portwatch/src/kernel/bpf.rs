//! The system call bpf(2), where aya 0.14 does not make it.
//!
//! In: a command and what it reads. Out: what the kernel answers. Must not know: what it is for.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info, bpf_map_type, bpf_prog_info};
use nix::libc::{SYS_bpf, c_int, syscall};

/// What the kernel tells of an object; members that it does not know stay zero.
pub(super) trait Info {}

impl Info for bpf_link_info {}
impl Info for bpf_prog_info {}

/// What the kernel tells of what is behind this descriptor. None where it refuses.
pub(super) fn info<T: Info>(of: BorrowedFd<'_>) -> Option<T> {
    // SAFETY: integers, for which zero is a value.
    let (mut attributes, mut answer): (bpf_attr, T) = unsafe { std::mem::zeroed() };
    attributes.info.bpf_fd = of.as_raw_fd().cast_unsigned();
    attributes.info.info_len = u32::try_from(size_of::<T>()).ok()?;
    attributes.info.info = &raw mut answer as u64;
    // SAFETY: the kernel writes no more than the length to the answer, which outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }.ok()?;
    Some(answer)
}

/// Whether the smallest of maps can be made.
pub(super) fn makes_maps() -> bool {
    // SAFETY: integers, for which zero is a value.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.__bindgen_anon_1.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    attributes.__bindgen_anon_1.key_size = 4;
    attributes.__bindgen_anon_1.value_size = 4;
    attributes.__bindgen_anon_1.max_entries = 1;
    // SAFETY: it answers with a new descriptor, and no member is a pointer.
    unsafe { new_descriptor(bpf_cmd::BPF_MAP_CREATE, &mut attributes) }.is_ok()
}

/// Whether this thread may ask about maps and programs that are open. Where `kernel.unprivileged_bpf_disabled` is set,
/// kernels before 5.19 answer only who could load them, too (`__sys_bpf`, kernel/bpf/syscall.c).
#[must_use]
pub fn answers() -> bool {
    // SAFETY: integers, for which zero is a value.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    // Nobody has this descriptor: an answer is that it is none.
    attributes.info.bpf_fd = u32::MAX;
    // SAFETY: a descriptor that is none is refused before anything is read or written.
    let asked = unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) };
    !asked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// # Safety
/// As for [`bpf`]; the command must be one that answers with a new descriptor.
pub(super) unsafe fn new_descriptor(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let descriptor = unsafe { bpf(command, attributes) }?;
    // SAFETY: it is new, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
/// The members that `command` reads must be set, and their pointers be valid.
unsafe fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: the caller's promise.
    let answer = unsafe { syscall(SYS_bpf, command as c_int, &raw mut *attributes, size_of::<bpf_attr>()) };
    match RawFd::try_from(answer) {
        Ok(answer) if answer >= 0 => Ok(answer),
        _ => Err(io::Error::last_os_error()),
    }
}
