//! What is looked at again and again, whatever fails.
//!
//! In: snapshots of it. Out: whether anybody is to see them. Must not know: how is looked.

use std::time::{Duration, Instant};

use crate::event::{Destination, Occupancy, Snapshot};
use crate::ports::Query;
use crate::source::live::{Look, Told};

/// From this share of its ports on a row is under pressure, in thousandths.
const PRESSURE_PERMILLE: u64 = 500;

/// When it is due, and what was told of it.
pub(in crate::source::live) struct Regular {
    pub(super) query: Query,
    pub(super) interval: Duration,
    pub(super) due: Instant,
    told: Told,
    /// Whether the last one was under pressure; none before the first.
    was_under_pressure: Option<bool>,
}

impl Regular {
    /// Connections to `destination` only, if there is one.
    pub(in crate::source::live) fn new(look: Look, destination: Option<Destination>) -> Self {
        let Look { interval, netns, told } = look;
        let query = Query { netns, destination, ..Query::default() };
        Self { query, interval, due: Instant::now(), told, was_under_pressure: None }
    }

    /// Whether this one is told: under pressure only, also the first, and the first after each pressure.
    pub(super) fn tells(&mut self, snapshot: &Snapshot) -> bool {
        let is_under_pressure = snapshot.rows.iter().any(is_under_pressure);
        let before = self.was_under_pressure.replace(is_under_pressure);
        self.told == Told::All || is_under_pressure || before != Some(false)
    }
}

fn is_under_pressure(row: &Occupancy) -> bool {
    u64::from(row.used) * 1000 >= u64::from(row.usable) * PRESSURE_PERMILLE
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Regular;
    use crate::event::{BootNs, NetnsId, Occupancy, Protocol, Scope, Snapshot};
    use crate::ports::Netns;
    use crate::source::live::{Look, Told};

    fn snapshot(used: u32) -> Snapshot {
        let row = Occupancy {
            netns: NetnsId(1),
            protocol: Protocol::Tcp,
            source: None,
            destination: None,
            device: 0,
            used,
            usable: 10,
            by_state: Vec::new(),
            holders: Vec::new(),
            time_wait: None,
            open_since: None,
        };
        Snapshot {
            at: BootNs(1),
            boot_offset_ns: 0,
            scope: Scope::default(),
            namespaces: Vec::new(),
            hosts_range: None,
            rows: vec![row],
            sockets: 0,
            repeated: 0,
            bound_visible: None,
            limits: Vec::new(),
        }
    }

    fn told(told: Told, used: &[u32]) -> Vec<bool> {
        let look = Look { interval: Duration::from_secs(10), netns: Netns::Own, told };
        let mut regular = Regular::new(look, None);
        used.iter().map(|used| regular.tells(&snapshot(*used))).collect()
    }

    #[test]
    fn without_pressure_the_first_one_is_told_and_the_one_after_each_pressure() {
        let used = [0, 1, 4, 5, 9, 4, 4, 6, 0, 0];
        let expected = [true, false, false, true, true, true, false, true, true, false];
        assert_eq!(told(Told::UnderPressure, &used), expected);
        assert_eq!(told(Told::All, &used), [true; 10]);
    }
}
