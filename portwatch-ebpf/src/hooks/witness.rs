//! The failure path of TCP's connect, where nothing can make the kernel skip a program: `inet_bhash2_reset_saddr`,
//! net/ipv4/inet_hashtables.c, Linux 6.1 and newer.
//!
//! On a preemptible kernel a task that is preempted inside of a program makes others on its processor skip that
//! program, and in a storm two at once are skipped now and then. A kprobe runs with preemption off. Only failures pass
//! here, after the search for a port and before the return of connect; those whose port-search hook did not run are
//! reported from here. Port and destination are still there, but the error number is not.

use aya_ebpf::macros::{fentry, kprobe};
use aya_ebpf::programs::{FEntryContext, ProbeContext};
use portwatch_ebpf::abi::{COUNTER_SEARCH_MADE_UP, COUNTER_UNPROVEN};

use crate::counter::count;
use crate::layout::{Memory, Probed, Typed};
use crate::notes;
use crate::out_of_line::{Done, out_of_line};
use crate::report::{Finding, connect_is_wanted, report};
use crate::returned::numbers::EADDRNOTAVAIL;
use crate::sock;

/// `inet_bhash2_reset_saddr(sk)`.
#[kprobe]
pub(crate) fn connect_fails(ctx: ProbeContext) -> u32 {
    if let Some(sock) = ctx.arg(0) {
        testify::<Probed>(sock);
    }
    0
}

/// The same where kprobes are not allowed. The kernel may skip it, too, but seldom all three.
#[fentry(function = "inet_bhash2_reset_saddr")]
pub(crate) fn connect_fails_typed(ctx: FEntryContext) -> i32 {
    testify::<Typed>(ctx.arg(0));
    0
}

#[inline(never)]
fn testify<M: Memory>(sock: *const u8) -> Done {
    // SAFETY: the function's argument, a `struct sock`.
    out_of_line(|| unsafe {
        // A socket that is disconnected passes here too; it has no destination any more.
        let fails = sock::destination_port_be::<M>(sock) != 0;
        if !fails || !connect_is_wanted(EADDRNOTAVAIL) || !notes::is_news_to_witness(sock) {
            return;
        }
        // What fails after the search, as for want of memory, is the connect hook's.
        if sock::has_found_port::<M>(sock) {
            count(COUNTER_UNPROVEN);
            return;
        }
        let Some(kind) = sock::kind::<M>(sock) else { return };
        if notes::witness_reports(sock) {
            count(COUNTER_SEARCH_MADE_UP);
            report::<M>(&Finding::of_search::<M>(sock, &kind, EADDRNOTAVAIL, 0));
        }
    })
}
