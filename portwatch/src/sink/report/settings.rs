//! Settings that decide about ports: as they were when somebody first looked, and what became of them.
//!
//! In: snapshots and changes. Out: both, in their order. Bounded: what came first is kept, the rest counted.

use super::wall::WallNs;
use crate::event::{Namespace, Process, SettingChange, Snapshot};

/// Namespaces that are kept.
const NAMESPACES: usize = 64;
/// Changes that are kept.
const CHANGES: usize = 256;
/// Bytes of a value, or of a key: a list of reserved ports may have half a million.
const TEXT_BYTES: usize = 1024;
/// Reserved ranges, and ports with listeners, of a namespace.
const RANGES: usize = 256;

/// A namespace as it was first seen.
#[derive(Debug)]
pub(super) struct First {
    /// On which host.
    pub(super) host: u16,
    /// When.
    pub(super) at: WallNs,
    /// How.
    pub(super) namespace: Namespace,
}

/// A change.
#[derive(Debug)]
pub(super) struct Change {
    /// On which host.
    pub(super) host: u16,
    /// When.
    pub(super) at: WallNs,
    /// Which.
    pub(super) change: SettingChange,
    /// Bytes of its values that are not kept.
    pub(super) cut_bytes: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// In the order in which they were seen.
    pub(super) namespaces: Vec<First>,
    /// In their order.
    pub(super) changes: Vec<Change>,
    /// Changes that had no room.
    pub(super) changes_left_out: u64,
}

impl Settings {
    /// Takes what a snapshot has of namespaces.
    pub(super) fn see(&mut self, host: u16, at: WallNs, snapshot: &Snapshot) {
        for namespace in &snapshot.namespaces {
            let is_known = |first: &First| (first.host, first.namespace.id) == (host, namespace.id);
            if self.namespaces.len() < NAMESPACES && !self.namespaces.iter().any(is_known) {
                let reserved_ports = namespace.reserved_ports.iter().take(RANGES).copied().collect();
                let listeners = namespace.listeners.iter().take(RANGES).copied().collect();
                let namespace = Namespace { reserved_ports, listeners, ..*namespace };
                self.namespaces.push(First { host, at, namespace });
            }
        }
    }

    /// Takes a change.
    pub(super) fn change(&mut self, host: u16, at: WallNs, change: &SettingChange) {
        if self.changes.len() >= CHANGES {
            self.changes_left_out += 1;
            return;
        }
        let mut cut_bytes = 0;
        let mut cut = |text: &str| {
            let kept = text.floor_char_boundary(TEXT_BYTES);
            cut_bytes += text.len() - kept;
            text.get(..kept).unwrap_or_default().to_owned()
        };
        let (old, new) = (change.old.as_deref().map(&mut cut), cut(&change.new));
        let mut key = change.key.clone();
        key.0.truncate(TEXT_BYTES);
        let by = change.by.as_ref().map(without_arguments);
        let change = SettingChange { at: change.at, key, netns: change.netns, old, new, by };
        self.changes.push(Change { host, at, change, cut_bytes });
    }
}

/// Nobody asks who wrote a setting by more than its name.
fn without_arguments(process: &Process) -> Process {
    let mut comm = process.comm.clone();
    comm.0.truncate(TEXT_BYTES);
    let details = std::sync::Arc::default();
    Process { comm, details, ..*process }
}

#[cfg(test)]
mod tests {
    use super::{CHANGES, Settings, TEXT_BYTES};
    use crate::event::{BootNs, NetnsId, SettingChange, Text};
    use crate::sink::report::example::{occupancy, snapshot};
    use crate::sink::report::wall::WallNs;

    #[test]
    fn a_namespace_is_kept_as_it_was_first_and_changes_are_bounded() {
        let mut settings = Settings::default();
        let mut second = snapshot(0, vec![occupancy(443, 1)]);
        settings.see(0, WallNs(1), &second);
        second.namespaces[0].range.low = 1024;
        settings.see(0, WallNs(2), &second);
        settings.see(1, WallNs(3), &second);
        let ranges: Vec<_> = settings.namespaces.iter().map(|first| first.namespace.range.low).collect();
        assert_eq!(ranges, [32768, 1024]);
        for _ in 0..1000 {
            let change = SettingChange {
                at: BootNs(1),
                key: Text(b"net.ipv4.ip_local_reserved_ports".to_vec()),
                netns: NetnsId(1),
                old: None,
                new: "ü".repeat(TEXT_BYTES),
                by: None,
            };
            settings.change(0, WallNs(1), &change);
        }
        assert_eq!(settings.changes.len() as u64 + settings.changes_left_out, 1000);
        assert_eq!(settings.changes.len(), CHANGES);
        assert_eq!(settings.changes[0].cut_bytes, TEXT_BYTES);
    }
}
