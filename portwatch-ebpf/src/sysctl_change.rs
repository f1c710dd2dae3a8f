//! From "this thread has written a setting" to at most one record.
//!
//! In: the file that it writes to. Out: if the setting is in [`WATCHED_SYSCTLS`] and has another value than before, a
//! record of [`EVENTS`], or a count of why there is none. Sets of ports are compared by who reads the record: the verifier
//! would go through a loop over them bit by bit, at each start. Must not know: names of settings, how values are spelt.

use core::ptr::null;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str};
use portwatch_ebpf::abi::{
    COUNTER_SYSCTLS_LOST, PORTS_SYSCTLS_PER_WINDOW, Ports, PortsSysctlRecord, SYSCTL_GROUPS, SYSCTL_NAME_LEN,
    SYSCTL_PORT_RANGE, SYSCTL_PORTS, SYSCTLS_PER_WINDOW, SysctlLayout, SysctlName, SysctlRecord,
    WatchedSysctl, Words,
};

use crate::counter::count;
use crate::layout::{Memory as _, Probed, setting, value};
use crate::maps::{EVENTS, SYSCTL_BUDGETS, SYSCTLS_BEFORE, WATCHED_SYSCTLS};
use crate::report::{now, spends};
use crate::sock::namespace_range;
use crate::task::{self, Who as _};

/// Offsets, replaced before load.
// SAFETY: integers, for which zero is a value.
#[unsafe(no_mangle)]
static SYSCTL_LAYOUT: SysctlLayout = unsafe { core::mem::MaybeUninit::zeroed().assume_init() };

macro_rules! offset {
    ($member:ident) => {
        value(&SYSCTL_LAYOUT.$member)
    };
}

/// Places in [`SYSCTLS_BEFORE`].
pub(crate) const WRITERS: u32 = 8;

/// The value of a setting before a write.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Before {
    /// Who writes what ([`Written::tag`]); 0 once that has returned.
    tag: u64,
    number: u64,
    ports: Ports,
}

/// A setting that is being written.
struct Written {
    /// What user space says of it; null where it is of no interest.
    watched: *const WatchedSysctl,
    /// Its `struct ctl_table`.
    table: *const u8,
    /// Its network namespace.
    net: *const u8,
    /// Its `struct dentry`.
    entry: *const u8,
}

impl Written {
    /// Which setting is behind an open file.
    ///
    /// # Safety
    /// `call` must be a `struct kiocb` of a file below /proc/sys.
    #[inline(always)]
    unsafe fn by(call: *const u8) -> Self {
        // SAFETY: addresses that lead nowhere read as zero.
        unsafe {
            let file: *const u8 = Probed::read(call, offset!(call_file));
            let inode: *const u8 = Probed::read(file, offset!(file_inode));
            // `PROC_I(inode)`, fs/proc/internal.h.
            let inode = inode.wrapping_sub(offset!(inode_vfs) as usize);
            let table: *const u8 = Probed::read(inode, offset!(inode_table));
            let mut name: SysctlName = [0; SYSCTL_NAME_LEN / 4];
            bpf_probe_read_kernel_str(
                name.as_mut_ptr().cast(),
                SYSCTL_NAME_LEN as u32,
                Probed::read::<*const u8>(table, offset!(table_name)).cast(),
            );
            let Some(watched) = WATCHED_SYSCTLS.get_ptr(name) else {
                return Self { watched: null(), table, net: null(), entry: null() };
            };
            // The set of settings of a namespace is part of the namespace; which it is does not depend on who writes.
            let header: *const u8 = Probed::read(inode, offset!(inode_header));
            let set: *const u8 = Probed::read(header, offset!(header_set));
            let net = set.wrapping_sub(offset!(net_set) as usize);
            Self { watched, table, net, entry: Probed::read(file, offset!(file_entry)) }
        }
    }

    /// The setting and the thread that writes it. A write whose end nobody saw leaves its own behind, which is no other
    /// setting's.
    #[inline(always)]
    fn tag(&self, tid: u32) -> u64 {
        (self.table as u64).rotate_left(32) ^ u64::from(tid)
    }

    #[inline(always)]
    fn form(&self) -> u32 {
        // SAFETY: the map's memory; callers have seen that it is not null.
        unsafe { (*self.watched).form }
    }

    /// The number of the namespace.
    #[inline(always)]
    fn netns(&self) -> u32 {
        // SAFETY: as in `by`.
        unsafe { Probed::read(self.net, setting!(layout.net_inum)) }
    }

    /// The value of any form but a set of ports.
    #[inline(always)]
    fn number(&self) -> u32 {
        // SAFETY: as in `by`.
        unsafe {
            if self.form() == SYSCTL_PORT_RANGE {
                let (low, high) = namespace_range::<Probed>(self.net);
                return u32::from(high) << 16 | u32::from(low);
            }
            let data: *const u8 = Probed::read(self.table, offset!(table_data));
            if Probed::read::<u32>(self.table, offset!(table_bytes)) == 1 {
                Probed::read::<u8>(data, 0).into()
            } else {
                Probed::read(data, 0)
            }
        }
    }

    /// Copies the set of ports.
    ///
    /// # Safety
    /// `to` must be memory of a map's value or of the ring.
    #[inline(always)]
    unsafe fn copy_ports(&self, to: *mut Ports) {
        // SAFETY: the caller's promise, and as in `by`.
        unsafe {
            let data: *const u8 = Probed::read(self.table, offset!(table_data));
            copy(to, Probed::read::<*const Ports>(data, 0));
        }
    }

    /// Writes down which setting, where and by whom.
    ///
    /// # Safety
    /// `record` must be memory of the ring.
    #[inline(always)]
    unsafe fn fill(&self, record: *mut SysctlRecord, boot_ns: u64) {
        let who = task::current();
        let uid_gid = who.uid_gid();
        // SAFETY: the caller's promise; every field but the values is written.
        unsafe {
            (*record).boot_ns = boot_ns;
            (*record).cgroup_id = who.cgroup_id();
            (*record).start_boot_ns = who.start_boot_ns();
            (*record).comm = who.comm();
            (*record).folder = [0; 4];
            let folder: *const u8 = Probed::read(self.entry, offset!(entry_parent));
            let name: *const u8 = Probed::read(folder, offset!(entry_name));
            let into = (&raw mut (*record).folder).cast();
            bpf_probe_read_kernel_str(into, size_of::<Words>() as u32, name.cast());
            (*record).tgid = who.tgid();
            (*record).tid = who.tid();
            (*record).uid = uid_gid as u32;
            (*record).gid = (uid_gid >> 32) as u32;
            (*record).netns = self.netns();
            (*record).which = (*self.watched).which;
            (*record).form = self.form();
        }
    }
}

/// A thread begins to write a setting: keeps the value, if it is one that is watched.
///
/// # Safety
/// `call` must be a `struct kiocb` of a file below /proc/sys.
#[inline(always)]
pub(crate) unsafe fn begins(call: *const u8) {
    // SAFETY: the caller's promise.
    let written = unsafe { Written::by(call) };
    if written.watched.is_null() {
        return;
    }
    let tid = tid();
    let tag = written.tag(tid);
    let Some(before) = SYSCTLS_BEFORE.get_ptr_mut(tid % WRITERS) else { return };
    // SAFETY: the map's memory.
    unsafe {
        // Nobody's while it is half there.
        (&raw mut (*before).tag).write_volatile(0);
        if written.form() == SYSCTL_PORTS {
            written.copy_ports(&raw mut (*before).ports);
        } else {
            (*before).number = written.number().into();
        }
        (&raw mut (*before).tag).write_volatile(tag);
    }
}

/// It has written, and the kernel took it: tells, if the value may be another one now.
///
/// # Safety
/// As for [`begins`].
#[inline(always)]
pub(crate) unsafe fn is_made(call: *const u8) {
    // SAFETY: the caller's promise.
    let written = unsafe { Written::by(call) };
    if written.watched.is_null() {
        return;
    }
    let tid = tid();
    let tag = written.tag(tid);
    let Some(before) = SYSCTLS_BEFORE.get_ptr_mut(tid % WRITERS) else { return };
    // SAFETY: the map's memory.
    unsafe {
        if written.form() == SYSCTL_PORTS {
            tell_ports(&written, before, tag);
        } else {
            tell_number(&written, before, tag);
        }
        if is_of(before, tag) {
            (&raw mut (*before).tag).write_volatile(0);
        }
    }
}

/// `before` must be the map's memory.
#[inline(always)]
unsafe fn tell_number(written: &Written, before: *const Before, tag: u64) {
    // SAFETY: the caller's promise.
    let (old, new) = unsafe { ((*before).number as u32, written.number()) };
    // SAFETY: as above. Asked after the value was read, as another thread may take the place at any moment.
    let has_old = unsafe { is_of(before, tag) };
    if has_old && old == new {
        return;
    }
    let boot_ns = now();
    if !may_send(written, 0, boot_ns, SYSCTLS_PER_WINDOW) {
        return;
    }
    let Some(mut slot) = EVENTS.reserve::<SysctlRecord>(0) else {
        count(COUNTER_SYSCTLS_LOST);
        return;
    };
    let record = slot.as_mut_ptr();
    // SAFETY: the ring's memory.
    unsafe {
        written.fill(record, boot_ns);
        (*record).has_old = has_old.into();
        (*record).old = old;
        (*record).new = new;
    }
    // They are few: the kernel wakes the reader if it has read all before.
    slot.submit(0);
}

/// As above.
#[inline(always)]
unsafe fn tell_ports(written: &Written, before: *mut Before, tag: u64) {
    let boot_ns = now();
    if !may_send(written, 1, boot_ns, PORTS_SYSCTLS_PER_WINDOW) {
        return;
    }
    let Some(mut slot) = EVENTS.reserve::<PortsSysctlRecord>(0) else {
        count(COUNTER_SYSCTLS_LOST);
        return;
    };
    let record = slot.as_mut_ptr();
    // SAFETY: the ring's memory, and the map's.
    unsafe {
        written.fill(&raw mut (*record).sysctl, boot_ns);
        copy(&raw mut (*record).old, &raw const (*before).ports);
        written.copy_ports(&raw mut (*record).new);
        (*record).sysctl.has_old = is_of(before, tag).into();
        (*record).sysctl.old = 0;
        (*record).sysctl.new = 0;
    }
    slot.submit(0);
}

/// Whether one more of this kind may be sent now from this namespace; counted if not.
#[inline(always)]
fn may_send(written: &Written, kind: u32, boot_ns: u64, per_window: u32) -> bool {
    let netns = written.netns();
    let group = if netns == offset!(own_netns) { 0 } else { 1 + netns % (SYSCTL_GROUPS - 1) };
    let Some(budget) = SYSCTL_BUDGETS.get_ptr_mut(kind * SYSCTL_GROUPS + group) else { return false };
    // SAFETY: the map's memory.
    let may = unsafe { spends(budget, boot_ns, || per_window) };
    if !may {
        count(COUNTER_SYSCTLS_LOST);
    }
    may
}

#[inline(always)]
fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// `before` must be the map's memory.
#[inline(always)]
unsafe fn is_of(before: *const Before, tag: u64) -> bool {
    // SAFETY: the caller's promise. Volatile, as the answer changes.
    unsafe { (&raw const (*before).tag).read_volatile() == tag }
}

/// `to` must be memory of a map's value or of the ring; an address that leads nowhere reads as zeroes.
#[inline(always)]
unsafe fn copy(to: *mut Ports, from: *const Ports) {
    // SAFETY: the caller's promise.
    unsafe { bpf_probe_read_kernel(to.cast(), size_of::<Ports>() as u32, from.cast()) };
}
