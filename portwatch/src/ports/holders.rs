//! Holders of a row, of whom a bounded number is named.
//!
//! In: holdings, the most first. Out: the same, with processes beyond the first ones together by their names: a program
//! that starts a process for each connection is tens of thousands. Must not know: sockets.

use std::collections::BTreeMap;

use crate::event::{Holder, Holding, Text};

/// Processes of a row that are named one by one.
const NAMED: usize = 2_000;
/// Names under which others are counted.
const NAMES: usize = 100;

/// Every port is still counted where it was.
pub(super) fn bounded(holdings: impl Iterator<Item = Holding>) -> Vec<Holding> {
    let mut holders = Vec::new();
    let mut named = 0;
    let mut others: BTreeMap<(Option<Text>, bool), (u32, u32, u32)> = BTreeMap::new();
    for holding in holdings {
        let Holder::Process(process) = &holding.holder else {
            holders.push(holding);
            continue;
        };
        if named < NAMED {
            named += 1;
            holders.push(holding);
            continue;
        }
        let key = (Some(process.comm.clone()), process.details.has_exited());
        let key = if others.len() < NAMES || others.contains_key(&key) { key } else { (None, false) };
        let (processes, count, time_wait) = others.entry(key).or_default();
        *processes += 1;
        *count += holding.count;
        *time_wait += holding.time_wait;
    }
    holders.extend(others.into_iter().map(|((comm, exited), (number, count, time_wait))| Holding {
        holder: Holder::Processes { comm, number, exited },
        count,
        time_wait,
    }));
    // Stable: who came first stays before who has as many.
    holders.sort_by_key(|holding| std::cmp::Reverse(holding.count));
    holders
}

#[cfg(test)]
mod tests {
    use super::{NAMED, NAMES, bounded};
    use crate::event::{BootNs, CgroupId, Holder, Holding, Process, State, Text, Tgid};

    fn of(tgid: usize, comm: &str, exited: bool) -> Holding {
        let process = Process {
            tgid: Tgid(u32::try_from(tgid).unwrap()),
            start: BootNs(1),
            tid: None,
            comm: Text(comm.as_bytes().to_vec()),
            uid: 0,
            gid: 0,
            cgroup: CgroupId(0),
            details: if exited { State::Exited } else { State::NotRead }.into(),
        };
        Holding { holder: Holder::Process(process), count: 2, time_wait: u32::from(exited) }
    }

    #[test]
    fn few_are_named_each() {
        let few: Vec<Holding> = (0..NAMED).map(|n| of(n, "curl", true)).collect();
        assert_eq!(bounded(few.clone().into_iter()), few);
    }

    #[test]
    fn many_of_one_name_are_one_and_no_port_is_lost() {
        let nobody = Holding { holder: Holder::TimeWait, count: 7, time_wait: 7 };
        let many = (0..28_000).map(|n| of(n, "curl", n % 4 != 0));
        let holders = bounded(many.chain([nobody.clone()]));
        assert_eq!(holders.iter().map(|holding| holding.count).sum::<u32>(), 2 * 28_000 + 7);
        assert_eq!(holders.len(), NAMED + 3);
        let together = |number, exited, time_wait| Holding {
            holder: Holder::Processes { comm: Some(Text(b"curl".to_vec())), number, exited },
            count: 2 * number,
            time_wait,
        };
        assert_eq!(holders[..3], [together(19_500, true, 19_500), together(6_500, false, 0), nobody]);
    }

    #[test]
    fn names_are_bounded_too() {
        let holders = bounded((0..10_000).map(|n| of(n, &n.to_string(), true)));
        assert_eq!(holders.len(), NAMED + NAMES + 1);
        let rest = u32::try_from(10_000 - NAMED - NAMES).unwrap();
        assert_eq!(holders[0].holder, Holder::Processes { comm: None, number: rest, exited: false });
        assert_eq!(holders.iter().map(|holding| holding.count).sum::<u32>(), 20_000);
    }
}
