//! Does this kernel show sockets that are bound and neither connected nor listening?
//!
//! In: the kernel's type information. Out: yes, no, or that it does not tell. A dump does not tell: without the state
//! (Linux 6.8, 91051f003948) the kernel ignores that it was asked for.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// The state's name in `include/net/tcp_states.h`, as a whole string.
const STATE: &[u8] = b"\0TCP_BOUND_INACTIVE\0";
const CHUNK_BYTES: usize = 64 * 1024;

/// Reads type information from `btf`, `/sys/kernel/btf/vmlinux` outside tests; everybody may. None where there is
/// none.
#[must_use]
pub fn shows_bound_sockets(btf: &Path) -> Option<bool> {
    let mut file = File::open(btf).ok()?;
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut kept = 0;
    loop {
        let read = match file.read(bytes.get_mut(kept..)?) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        if read == 0 {
            return Some(false);
        }
        let seen = bytes.get(..kept + read)?;
        if seen.windows(STATE.len()).any(|window| window == STATE) {
            return Some(true);
        }
        // The name may lie across two chunks.
        let from = seen.len().saturating_sub(STATE.len() - 1);
        let rest = from..seen.len();
        kept = rest.len();
        bytes.copy_within(rest, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, STATE, shows_bound_sockets};

    #[test]
    fn the_state_is_found_wherever_it_stands_and_only_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("btf");
        for before in [0, 1, CHUNK_BYTES - 10, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES - 19] {
            let bytes = [&vec![b'x'; before][..], STATE, &[b'y'; 100]].concat();
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(shows_bound_sockets(&path), Some(true), "behind {before} bytes");
        }
        std::fs::write(&path, b"\0TCP_BOUND_INACTIVES\0BPF_TCP_BOUND_INACTIVE\0").unwrap();
        assert_eq!(shows_bound_sockets(&path), Some(false));
        assert_eq!(shows_bound_sockets(&folder.path().join("none")), None);
    }
}
