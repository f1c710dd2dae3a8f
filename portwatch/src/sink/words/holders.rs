//! Who holds the ports of a row, in a few words.
//!
//! In: holdings, the most first. Out: a cell.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::event::{Holder, Holding, Text, Tgid};
use crate::sink::words::runs_in;
use crate::term::clean;

/// Holders of a row that are named.
const SHOWN: usize = 3;

/// What is shown as one.
pub(in crate::sink) struct Entry {
    /// Who, escaped.
    pub(in crate::sink) name: String,
    /// Ports.
    pub(in crate::sink) count: u32,
    /// Of these the ones in TIME_WAIT; of those that are nobody's the name says it.
    pub(in crate::sink) time_wait: u32,
}

/// Processes of one name that have ended.
#[derive(Default)]
struct Ended {
    processes: u32,
    /// Of the last one, if it is known.
    tgid: Option<Tgid>,
    count: u32,
    time_wait: u32,
}

impl Ended {
    fn entry(self, comm: &Text) -> Entry {
        let comm = clean(&comm.0);
        let name = match (self.processes, self.tgid) {
            (1, Some(tgid)) => format!("{comm} (pid {}, exited)", tgid.0),
            (1, None) => format!("{comm} (exited)"),
            (many, _) => format!("{comm} ({many} processes, exited)"),
        };
        Entry { name, count: self.count, time_wait: self.time_wait }
    }
}

/// The first of them, and how many more there are. Processes that have ended are one by their name: a program that starts
/// a process for each connection would be a thousand.
pub(in crate::sink) fn held_by(holders: &[Holding]) -> String {
    let entries = entries(holders);
    let mut words: Vec<String> = entries.iter().take(SHOWN).map(shown).collect();
    if let Some(more @ 1..) = entries.len().checked_sub(SHOWN) {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

/// The same one by one.
pub(in crate::sink) fn entries(holders: &[Holding]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut ended: BTreeMap<&Text, Ended> = BTreeMap::new();
    for Holding { holder, count, time_wait } in holders {
        let has_ended = match holder {
            Holder::Process(process) if process.details.has_exited() => {
                Some((&process.comm, 1, Some(process.tgid)))
            }
            Holder::Processes { comm: Some(comm), number, exited: true } => Some((comm, *number, None)),
            _ => None,
        };
        if let Some((comm, processes, tgid)) = has_ended {
            let ended = ended.entry(comm).or_default();
            ended.processes = ended.processes.saturating_add(processes);
            ended.tgid = tgid;
            ended.count = ended.count.saturating_add(*count);
            ended.time_wait = ended.time_wait.saturating_add(*time_wait);
            continue;
        }
        let name = match holder {
            Holder::Processes { comm: Some(comm), number, .. } => {
                format!("{} ({number} more processes)", clean(&comm.0))
            }
            Holder::Processes { comm: None, number, .. } => format!("{number} more processes"),
            Holder::Process(process) => {
                let place = runs_in(&process.details).map(|place| format!(", {place}")).unwrap_or_default();
                format!("{} (pid {}{place})", clean(&process.comm.0), process.tgid.0)
            }
            Holder::TimeWait => "nobody (TIME_WAIT)".to_owned(),
            Holder::Closed => "nobody (closed)".to_owned(),
            Holder::NotFound => "unknown".to_owned(),
        };
        // Of those that are nobody's the name says it.
        let is_known = matches!(holder, Holder::Process(_) | Holder::Processes { .. });
        let time_wait = if is_known { *time_wait } else { 0 };
        entries.push(Entry { name, count: *count, time_wait });
    }
    entries.extend(ended.into_iter().map(|(comm, ended)| ended.entry(comm)));
    entries.sort_by_key(|entry| Reverse(entry.count));
    entries
}

/// With how many of the ports are in TIME_WAIT, unless none is.
fn shown(Entry { name, count, time_wait }: &Entry) -> String {
    match *time_wait {
        0 => format!("{name} {count}"),
        all if all == *count => format!("{name} {count} in TIME_WAIT"),
        some => format!("{name} {count} ({some} in TIME_WAIT)"),
    }
}

#[cfg(test)]
mod tests {
    use super::held_by;
    use crate::event::{BootNs, CgroupId, Holder, Holding, Process, State, Text, Tgid};

    fn of(tgid: u32, comm: &[u8], state: State, count: u32, time_wait: u32) -> Holding {
        let process = Process {
            tgid: Tgid(tgid),
            start: BootNs(1),
            tid: None,
            comm: Text(comm.to_vec()),
            uid: 0,
            gid: 0,
            cgroup: CgroupId(1),
            details: state.into(),
        };
        Holding { holder: Holder::Process(process), count, time_wait }
    }

    fn alive() -> State {
        State::Alive { exe: None, cmdline: None }
    }

    #[test]
    fn ports_in_time_wait_are_told_of_whoever_had_them() {
        let nobody = Holding { holder: Holder::TimeWait, count: 4, time_wait: 4 };
        let cases = [
            ("none", vec![of(812, b"curl", alive(), 9, 0)], "curl (pid 812) 9"),
            ("some", vec![of(812, b"curl", alive(), 9, 7)], "curl (pid 812) 9 (7 in TIME_WAIT)"),
            (
                "all of one that has ended",
                vec![of(812, b"curl", State::Exited, 26837, 26837)],
                "curl (pid 812, exited) 26837 in TIME_WAIT",
            ),
            ("nobody's", vec![nobody], "nobody (TIME_WAIT) 4"),
            (
                "a name made to confuse",
                vec![of(812, b"a\x1b[2J", State::Exited, 1, 1)],
                "a\\u{1b}[2J (pid 812, exited) 1 in TIME_WAIT",
            ),
        ];
        for (what, holders, expected) in cases {
            assert_eq!(held_by(&holders), expected, "{what}");
        }
    }

    #[test]
    fn processes_that_have_ended_are_one_by_their_name() {
        let mut holders = vec![of(5, b"nginx", alive(), 30, 0)];
        holders.extend((100..120).map(|pid| of(pid, b"curl", State::Exited, 2, 2)));
        holders.extend((200..202).map(|pid| of(pid, b"curl", alive(), 1, 0)));
        holders.push(of(300, b"wget", State::Exited, 1, 1));
        assert_eq!(
            held_by(&holders),
            "curl (20 processes, exited) 40 in TIME_WAIT, nginx (pid 5) 30, curl (pid 200) 1, 2 more"
        );
        let together = |number, exited| Holding {
            holder: Holder::Processes { comm: Some(Text(b"curl".to_vec())), number, exited },
            count: number,
            time_wait: 0,
        };
        holders.extend([together(5000, true), together(3, false)]);
        let shown = held_by(&holders);
        assert!(shown.starts_with("curl (5020 processes, exited) 5040 (40 in TIME_WAIT), nginx"), "{shown}");
        assert_eq!(held_by(&[together(3, false)]), "curl (3 more processes) 3");
    }
}
