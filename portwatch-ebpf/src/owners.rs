//! Who connected which socket, of as many as there is room for.
//!
//! In: a socket whose connect is under way, on the task that called. Out: a place in [`OWNERS`], which user space finds
//! by the socket's cookie: the one thing that the kernel keeps of a socket in TIME_WAIT. The only writer of [`OWNERS`].
//!
//! Nobody tells when a TIME_WAIT ends, so the newest take the places of the oldest. The kernel counts cookies up, so the
//! remainder of one is a place whose turn it is: no hash, no lock, no list of what is oldest. The turn is not exact:
//! each processor takes 4,096 numbers at once (`COOKIE_LOCAL_BATCH`, include/linux/cookie.h), and sockets that somebody
//! else asks a cookie for (sock_diag does, of all that it lists) leave places out. Who is forgotten so early that a
//! socket may still be in TIME_WAIT is counted.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_boot_ns};
use portwatch_ebpf::abi::{COUNTER_OWNERS, COUNTER_OWNERS_FORGOTTEN, TIME_WAIT_NS};

use crate::counter::count;
use crate::layout::setting;
use crate::maps::OWNERS;
use crate::task::{self, Who as _};

/// The current task connects `sock`.
///
/// # Safety
/// `sock` must be a socket that the verifier knows.
#[inline(always)]
pub(crate) unsafe fn remember(sock: *const u8) {
    // SAFETY: the caller's promise. Makes the kernel give the socket one, which stays.
    let cookie = unsafe { bpf_get_socket_cookie(sock.cast_mut().cast()) };
    let Some(place) = OWNERS.get_ptr_mut(cookie as u32 & (setting!(duties.owners) - 1)) else { return };
    let task = task::current();
    let uid_gid = task.uid_gid();
    // SAFETY: the map's memory; the helper takes no pointer. Volatile stores keep their order, and so does x86.
    unsafe {
        let now = bpf_ktime_get_boot_ns();
        let held = (&raw const (*place).cookie).read_volatile();
        // A connect to a v4-mapped address comes here twice, and a socket may be connected again.
        if held != cookie {
            count(COUNTER_OWNERS);
            if held != 0 && now - (*place).connected_boot_ns < TIME_WAIT_NS {
                count(COUNTER_OWNERS_FORGOTTEN);
            }
        }
        (&raw mut (*place).cookie).write_volatile(0);
        (&raw mut (*place).cookie_again).write_volatile(cookie);
        (&raw mut (*place).connected_boot_ns).write_volatile(now);
        (&raw mut (*place).start_boot_ns).write_volatile(task.start_boot_ns());
        (&raw mut (*place).cgroup_id).write_volatile(task.cgroup_id());
        for (n, word) in task.leader_comm().into_iter().enumerate() {
            (&raw mut (*place).leader_comm[n]).write_volatile(word);
        }
        (&raw mut (*place).tgid).write_volatile(task.tgid());
        (&raw mut (*place).uid).write_volatile(uid_gid as u32);
        (&raw mut (*place).gid).write_volatile((uid_gid >> 32) as u32);
        (&raw mut (*place).cookie).write_volatile(cookie);
    }
}
