//! Which failures make portwatch look, where, and how often. What it finds there is another matter.

use std::sync::Arc;

use super::{MAX_PLACES, MAX_WAITING, Surveys, is_shortage, place, query};
use crate::enrich::Enricher;
use crate::event::{BootNs, Call, Errno, Failure, Fault, NetnsId, PortRange, Process, Protocol, Stage, Tgid};
use crate::ports::Netns;

fn failure() -> Failure {
    Failure {
        at: BootNs(1),
        fault: Fault::no_port(([10, 0, 0, 2], 443)),
        process: Process::with_id(7),
        netns: NetnsId(5),
        source: ([10, 0, 0, 1], 0).into(),
        port_range: PortRange { low: 1, high: 2 },
        own_range: None,
        search: None,
    }
}

fn with(change: impl FnOnce(&mut Fault)) -> Failure {
    let mut failure = failure();
    change(&mut failure.fault);
    failure
}

#[test]
fn only_a_shortage_is_a_reason_to_look() {
    let refused = with(|fault| (fault.stage, fault.errno) = (Stage::Network, Errno(111)));
    let denied = with(|fault| (fault.stage, fault.errno) = (Stage::SocketLayer, Errno(13)));
    let no_source = with(|fault| fault.stage = Stage::OutsidePortSearch);
    let bind =
        |errno| with(|fault| (fault.call, fault.stage, fault.errno) = (Call::Bind, Stage::Bind, errno));
    let [elsewhere, taken, privileged] = [Errno::EADDRNOTAVAIL, Errno::EADDRINUSE, Errno(13)].map(bind);
    assert_eq!(
        [failure(), refused, denied, no_source, elsewhere, taken, privileged]
            .map(|failure| is_shortage(&failure)),
        [true, false, false, true, true, true, false]
    );
}

#[test]
fn no_more_is_asked_for_than_the_failure_is_about() {
    let asked = |failure: &Failure| {
        let query = query(failure, place(failure));
        assert_eq!(query.netns, Netns::Near(NetnsId(5), Tgid(7)));
        let destination = query.destination.map(|to| format!("{} {:?}", to.network.unwrap(), to.port));
        (destination, query.bind.map(|address| address.to_string()))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(asked(&failure()), (some("10.0.0.2/32 Some(443)"), None));
    let udp = with(|fault| (fault.protocol, fault.stage) = (Protocol::Udp, Stage::Autobind));
    assert_eq!(asked(&udp), (some("10.0.0.2/32 Some(0)"), None));
    let no_source = with(|fault| (fault.protocol, fault.stage) = (Protocol::Udp, Stage::SocketLayer));
    assert_eq!(asked(&no_source), (some("10.0.0.2/32 Some(443)"), None));
    let bind = |errno, port| {
        with(|fault| {
            (fault.call, fault.stage, fault.errno) = (Call::Bind, Stage::Bind, errno);
            fault.address.set_port(port);
        })
    };
    assert_eq!(asked(&bind(Errno::EADDRINUSE, 0)), (None, some("10.0.0.2")));
    // No connection decides about these.
    assert_eq!(asked(&bind(Errno::EADDRINUSE, 443)), (some("10.0.0.2/32 Some(0)"), None));
    assert_eq!(asked(&bind(Errno::EADDRNOTAVAIL, 0)), (some("10.0.0.2/32 Some(0)"), None));
}

#[test]
fn a_storm_of_one_kind_is_one_look_and_many_kinds_are_bounded() {
    let mut surveys = Surveys::new(None, Arc::new(|_| None), false, Enricher::new("/proc", || {}));
    // Nothing begins: what is running is never awaited here.
    surveys.survey = None;
    (0..1000).for_each(|_| surveys.note(&failure()));
    assert_eq!((surveys.seen.len(), surveys.waiting.len()), (1, 1));
    for port in 1..=5000 {
        surveys.note(&with(|fault| fault.address.set_port(port)));
        if surveys.waiting.len() == MAX_WAITING && port % 2 == 0 {
            surveys.waiting.pop_front();
        }
    }
    assert!(surveys.seen.len() <= MAX_PLACES && surveys.waiting.len() <= MAX_WAITING);
}
