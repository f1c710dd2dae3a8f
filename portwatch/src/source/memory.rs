//! Who had which socket open, for snapshots to come.
//!
//! In: the sockets of each snapshot, by their cookies, and whose they are. Out: whose a socket was that nobody has open
//! any more: the cookie is what the kernel keeps of it in TIME_WAIT. Must not know: how sockets are read, what the kernel
//! side remembers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::{BootNs, Process, TimeWait};

/// Sockets that are remembered: as many as the kernel itself lets be in TIME_WAIT where nobody says otherwise
/// (`net.ipv4.tcp_max_tw_buckets`). Some 15 MiB.
const SOCKETS: usize = 256 * 1024;

/// What snapshots saw.
pub(super) struct Memory {
    sockets: HashMap<u64, Seen>,
    room: usize,
    no_room: u64,
}

struct Seen {
    /// Who had it open.
    process: Arc<Process>,
    /// The first snapshot that saw it open.
    first: BootNs,
    /// The last snapshot with the socket, whoever had it.
    last: BootNs,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_room(SOCKETS)
    }
}

impl Memory {
    fn with_room(room: usize) -> Self {
        Self { sockets: HashMap::new(), room, no_room: 0 }
    }

    /// The snapshot that was begun `at` this instant saw the socket open in `process`. Tells which was the first that saw
    /// it, if that was an earlier one.
    pub(super) fn saw_open(&mut self, cookie: u64, process: &Arc<Process>, at: BootNs) -> Option<BootNs> {
        if let Some(seen) = self.sockets.get_mut(&cookie) {
            seen.process = Arc::clone(process);
            seen.last = at;
            return Some(seen.first);
        }
        if self.sockets.len() < self.room {
            self.sockets.insert(cookie, Seen { process: Arc::clone(process), first: at, last: at });
        } else {
            self.no_room += 1;
        }
        None
    }

    /// The same snapshot saw the socket, and nobody who has it open: who was seen with it.
    pub(super) fn saw_closed(&mut self, cookie: u64, at: BootNs) -> Option<&Arc<Process>> {
        let seen = self.sockets.get_mut(&cookie)?;
        seen.last = at;
        Some(&seen.process)
    }

    /// Forgets what the snapshot begun `at` this instant did not see, and what cannot be in TIME_WAIT any more. Says how
    /// many sockets of that snapshot found no room.
    pub(super) fn forget(&mut self, at: BootNs) -> u64 {
        // A snapshot of other destinations does not see them, and they may be there still.
        self.sockets.retain(|_, seen| seen.last >= at || at.0 - seen.last.0 <= TimeWait::LENGTH_NS);
        std::mem::take(&mut self.no_room)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Memory;
    use crate::event::{BootNs, Process, TimeWait};

    fn process(tgid: u32) -> Arc<Process> {
        Arc::new(Process::with_id(tgid))
    }

    fn whose(memory: &mut Memory, cookie: u64, at: u64) -> Option<u32> {
        memory.saw_closed(cookie, BootNs(at)).map(|process| process.tgid.0)
    }

    #[test]
    fn a_socket_is_whose_it_was_last_for_as_long_as_it_is_seen() {
        let mut memory = Memory::default();
        assert_eq!(memory.saw_open(7, &process(1), BootNs(0)), None);
        assert_eq!(memory.saw_open(7, &process(2), BootNs(1)), Some(BootNs(0)));
        for minute in 1..10 {
            let at = minute * TimeWait::LENGTH_NS * 2;
            assert_eq!(whose(&mut memory, 7, at), Some(2), "minute {minute}");
            assert_eq!(whose(&mut memory, 8, at), None, "never seen open");
            assert_eq!(memory.forget(BootNs(at)), 0);
        }
    }

    #[test]
    fn what_is_not_seen_is_forgotten_once_no_time_wait_can_be_left() {
        let cases = [
            ("the snapshot after", 1, Some(1)),
            ("at the end of a TIME_WAIT", TimeWait::LENGTH_NS, Some(1)),
            ("after it", TimeWait::LENGTH_NS + 1, None),
        ];
        for (what, at, expected) in cases {
            let mut memory = Memory::default();
            memory.saw_open(7, &process(1), BootNs(0));
            memory.forget(BootNs(at));
            assert_eq!(whose(&mut memory, 7, at), expected, "{what}");
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_room_comes_back() {
        let mut memory = Memory::with_room(2);
        for cookie in 1..=5 {
            memory.saw_open(cookie, &process(1), BootNs(0));
        }
        memory.saw_open(2, &process(2), BootNs(0));
        assert_eq!(memory.forget(BootNs(0)), 3);
        let known: Vec<_> = (1..=5).map(|cookie| whose(&mut memory, cookie, 0)).collect();
        assert_eq!(known, [Some(1), Some(2), None, None, None]);
        let later = TimeWait::LENGTH_NS + 1;
        assert_eq!(memory.forget(BootNs(later)), 0);
        memory.saw_open(9, &process(3), BootNs(later));
        assert_eq!((whose(&mut memory, 9, later), whose(&mut memory, 1, later)), (Some(3), None));
    }
}
