//! What runtimes have said, and whom they do not know.
//!
//! Pure, within bounds. In: what they said, and when they were asked. Out: names, and whom to ask about. Must not know: who
//! was asked, and how.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::answer::{InPod, MOST_CONTAINERS};
use crate::event::{PodName, Text};

/// How long who is not there any more is known, if runtimes are asked meanwhile.
const KEPT: Duration = Duration::from_secs(600);
/// How many are known; when there are more, those that are not there any more are forgotten.
const MOST_KNOWN: usize = 2 * MOST_CONTAINERS;
/// How long nobody is asked about a stranger, whom no runtime knew when it ran already.
const STRANGE: Duration = Duration::from_secs(60);
/// Strangers, and those who may turn out to be; when there are more of these, they are forgotten.
const MOST_STRANGE: usize = 4096;

/// What is known.
#[derive(Default)]
pub(super) struct Known {
    /// By its identifier: that of its pod, and its name; with when who was asked said so.
    containers: HashMap<Text, (Instant, (Text, Text))>,
    pods: HashMap<Text, (Instant, PodName)>,
    /// Until when nobody is asked about them.
    strangers: HashMap<Text, Instant>,
    wanted: HashSet<Text>,
}

/// What is known of somebody.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::enrich) struct Found {
    /// Identifier of the container's pod, and what Kubernetes calls the container.
    pub(in crate::enrich) container: Option<(Text, Text)>,
    /// Names of the pod that was asked for, or else of the container's.
    pub(in crate::enrich) pod: Option<PodName>,
}

impl Known {
    /// Names.
    pub(super) fn find(&self, pod: Option<&Text>, container: Option<&Text>) -> Found {
        let container = container.and_then(|id| self.containers.get(id)).map(|(_, said)| said.clone());
        let uid = pod.or(container.as_ref().map(|(uid, _)| uid));
        let pod = uid.and_then(|uid| self.pods.get(uid)).map(|(_, said)| said.clone());
        Found { container, pod }
    }

    /// Whether all of it is known.
    pub(super) fn has(&self, pod: Option<&Text>, container: Option<&Text>) -> bool {
        pod.is_none_or(|uid| self.pods.contains_key(uid))
            && container.is_none_or(|id| self.containers.contains_key(id))
    }

    /// Has who is not known, and no stranger, be asked about; whether there is any.
    pub(super) fn want(&mut self, pod: Option<&Text>, container: Option<&Text>, now: Instant) -> bool {
        let pod = pod.filter(|uid| !self.pods.contains_key(*uid));
        let container = container.filter(|id| !self.containers.contains_key(*id));
        let is_new = |name: &&Text| self.strangers.get(*name).is_none_or(|until| *until <= now);
        let mut is_any = false;
        for name in [pod, container].into_iter().flatten().filter(is_new) {
            is_any = true;
            if self.wanted.len() < MOST_STRANGE {
                self.wanted.insert(name.clone());
            }
        }
        is_any
    }

    /// Who is asked about from now on.
    pub(super) fn take_wanted(&mut self) -> HashSet<Text> {
        std::mem::take(&mut self.wanted)
    }

    /// What a runtime says that was asked at `asked`.
    pub(super) fn learn(&mut self, containers: Vec<InPod>, asked: Instant) {
        for InPod { id, name, uid, pod } in containers {
            self.pods.insert(uid.clone(), (asked, pod));
            self.containers.insert(id, (asked, (uid, name)));
        }
        bound(&mut self.containers, asked);
        bound(&mut self.pods, asked);
    }

    /// All runtimes were asked at `asked` and have answered. A runtime knows a container before it starts it: who was `wanted`
    /// then, and is not known now, is none of theirs.
    pub(super) fn conclude(&mut self, wanted: HashSet<Text>, asked: Instant) {
        self.containers.retain(|_, (seen, _)| asked.saturating_duration_since(*seen) < KEPT);
        self.pods.retain(|_, (seen, _)| asked.saturating_duration_since(*seen) < KEPT);
        for name in wanted {
            if self.containers.contains_key(&name) || self.pods.contains_key(&name) {
                continue;
            }
            if self.strangers.len() >= MOST_STRANGE {
                self.strangers.clear();
            }
            self.strangers.insert(name, asked + STRANGE);
        }
    }
}

fn bound<K: Eq + Hash, T>(known: &mut HashMap<K, (Instant, T)>, asked: Instant) {
    if known.len() > MOST_KNOWN {
        known.retain(|_, (seen, _)| *seen == asked);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Found, KEPT, Known, MOST_KNOWN, MOST_STRANGE, STRANGE};
    use crate::enrich::cri::answer::InPod;
    use crate::event::{PodName, Text};

    const A_SECOND: Duration = Duration::from_secs(1);

    fn text(text: &str) -> Text {
        Text(text.as_bytes().to_vec())
    }

    fn in_pod(n: usize) -> InPod {
        let pod = PodName { namespace: text("shop"), name: text(&format!("web-{n}")) };
        InPod { id: text(&format!("container {n}")), name: text("app"), uid: text(&format!("pod {n}")), pod }
    }

    fn found(known: &Known, n: usize) -> Found {
        known.find(Some(&in_pod(n).uid), Some(&in_pod(n).id))
    }

    fn wants(known: &mut Known, n: usize, now: Instant) -> bool {
        known.want(None, Some(&in_pod(n).id), now)
    }

    /// All are asked at once, and answer.
    fn ask(known: &mut Known, there: &[usize], asked: Instant) {
        let wanted = known.take_wanted();
        known.learn(there.iter().copied().map(in_pod).collect(), asked);
        known.conclude(wanted, asked);
    }

    #[test]
    fn a_container_tells_of_its_pod_and_the_other_way_round_nothing() {
        let mut known = Known::default();
        ask(&mut known, &[1], Instant::now());
        let InPod { id, name, uid, pod } = in_pod(1);
        let (container, pod) = (Some((uid.clone(), name)), Some(pod));
        assert_eq!(known.find(None, Some(&id)), Found { container, pod: pod.clone() });
        assert_eq!(known.find(Some(&uid), None), Found { container: None, pod });
        assert_eq!(
            known.find(Some(&text("another")), Some(&id)).pod,
            None,
            "of another pod than was asked for"
        );
    }

    #[test]
    fn who_was_wanted_and_is_nobodys_is_left_alone_for_a_while() {
        let (mut known, now) = (Known::default(), Instant::now());
        assert!(wants(&mut known, 7, now));
        ask(&mut known, &[1], now);
        assert!(!wants(&mut known, 1, now), "known");
        assert!(wants(&mut known, 8, now), "new");
        for (after, expected) in [(Duration::ZERO, false), (STRANGE - A_SECOND, false), (STRANGE, true)] {
            assert_eq!(wants(&mut known, 7, now + after), expected, "after {after:?}");
        }
    }

    #[test]
    fn who_comes_while_all_are_asked_is_no_stranger_for_not_being_there() {
        let (mut known, now) = (Known::default(), Instant::now());
        let wanted = known.take_wanted();
        assert!(wants(&mut known, 7, now));
        known.conclude(wanted, now);
        assert!(wants(&mut known, 7, now));
    }

    #[test]
    fn who_is_gone_is_known_for_a_while() {
        let (mut known, now) = (Known::default(), Instant::now());
        ask(&mut known, &[1, 2], now);
        for (after, expected) in [(A_SECOND, true), (KEPT - A_SECOND, true), (KEPT, false)] {
            ask(&mut known, &[2], now + after);
            assert_eq!(found(&known, 1) != Found::default(), expected, "after {after:?}");
            assert_ne!(found(&known, 2), Found::default(), "one that is there");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_those_that_are_there_stay() {
        let (mut known, now) = (Known::default(), Instant::now());
        let mut next = 0;
        for round in 0..10 {
            let there: Vec<usize> = (next..next + MOST_KNOWN / 3).collect();
            next += there.len();
            ask(&mut known, &there, now + round * A_SECOND);
            assert!(known.containers.len() <= MOST_KNOWN && known.pods.len() <= MOST_KNOWN);
            assert!(there.iter().all(|n| found(&known, *n) != Found::default()));
        }
        for n in 0..3 * MOST_STRANGE {
            let _ = wants(&mut known, next + n, now);
        }
        assert_eq!(known.wanted.len(), MOST_STRANGE);
        ask(&mut known, &[], now);
        assert!(wants(&mut known, next + 2 * MOST_STRANGE, now));
        ask(&mut known, &[], now);
        assert!(known.strangers.len() <= MOST_STRANGE, "{}", known.strangers.len());
    }
}
