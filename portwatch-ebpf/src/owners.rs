//! Who connected which socket, of as many as there is room for.
//!
//! In: a socket whose connect is under way, on the task that called. Out: a place in [`OWNERS`], which user space finds
//! by the socket's cookie: the one thing that the kernel keeps of a socket in TIME_WAIT. The only writer of [`OWNERS`].
//!
//! Nobody tells when a TIME_WAIT ends, so of the places that a cookie may have the oldest makes room: no lock, no list of
//! what is oldest over all. Who is forgotten within a minute of the connect, as his socket may still be in TIME_WAIT, is
//! counted; of a connection that lasted, and has begun its TIME_WAIT later, nobody knows.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_boot_ns};
use portwatch_ebpf::abi::{
    COUNTER_OWNERS, COUNTER_OWNERS_FORGOTTEN, OWNERS_GROUP, Owner, TIME_WAIT_NS, owner_group,
};

use crate::counter::count;
use crate::layout::setting;
use crate::maps::OWNERS;
use crate::report::is_running;
use crate::task::{self, Who as _};

/// The current task connects `sock`.
///
/// # Safety
/// `sock` must be a socket that the verifier knows.
#[inline(always)]
pub(crate) unsafe fn remember(sock: *const u8) {
    if !is_running() {
        return;
    }
    // SAFETY: the caller's promise. Makes the kernel give the socket one, which stays.
    let cookie = unsafe { bpf_get_socket_cookie(sock.cast_mut().cast()) };
    let Some(group) = OWNERS.get_ptr_mut(owner_group(cookie, setting!(duties.owners))) else { return };
    let places: *mut Owner = group.cast();
    // SAFETY: the map's memory; the helper takes no pointer.
    unsafe {
        let now = bpf_ktime_get_boot_ns();
        let (mut chosen, mut oldest, mut is_known) = (0, u64::MAX, false);
        for n in 0..OWNERS_GROUP as usize {
            let place = places.add(n);
            let is_its = (&raw const (*place).cookie).read_volatile() == cookie;
            let connected = (&raw const (*place).connected_boot_ns).read_volatile();
            // A connect to a v4-mapped address comes here twice, and a socket may be connected again.
            if is_its || (!is_known && connected < oldest) {
                (chosen, oldest) = (n, connected);
                is_known |= is_its;
            }
        }
        if !is_known {
            count(COUNTER_OWNERS);
            if oldest != 0 && now - oldest < TIME_WAIT_NS {
                count(COUNTER_OWNERS_FORGOTTEN);
            }
        }
        let task = task::current();
        let uid_gid = task.uid_gid();
        let mut owner = Owner {
            cookie,
            connected_boot_ns: now,
            start_boot_ns: task.start_boot_ns(),
            cgroup_id: task.cgroup_id(),
            leader_comm: task.leader_comm(),
            tgid: task.tgid(),
            uid: uid_gid as u32,
            gid: (uid_gid >> 32) as u32,
            reserved: 0,
            check: 0,
        };
        owner.check = owner.check();
        *places.add(chosen & (OWNERS_GROUP as usize - 1)) = owner;
    }
}
