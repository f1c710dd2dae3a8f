//! When to look at who holds the ports: at once where they ran short, and again and again if that is asked for.
//!
//! In: failures. Out: snapshots, one after the other. Each is taken by a thread of its own, as it takes some hundred
//! milliseconds on a busy host; neither the ring nor the output waits for it.

mod regular;

pub(super) use regular::Regular;

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use ipnet::IpNet;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::enrich::Enricher;
use crate::event::{BootNs, Call, Destination, Errno, Failure, Fault, NetnsId, Protocol, Snapshot, Stage};
use crate::ports::{Netns, PortsError, Query};
use crate::source::survey::{Connected, Survey};

/// How soon one place is looked at again while ports are short there, nanoseconds.
const AGAIN_AFTER_NS: u64 = 30_000_000_000;
/// After a look nothing is looked at for so many times as long as it took: where somebody failed,
const PAUSE: u32 = 2;
/// and where nobody did.
const REGULAR_PAUSE: u32 = 10;
/// Places that are remembered.
const MAX_PLACES: usize = 1024;
/// Places that wait to be looked at; what finds no room is asked for again by the next failure there.
const MAX_WAITING: usize = 16;
/// Places that are looked at once more at the end.
const MAX_AGAIN: usize = 4;
/// Rows that are kept of a snapshot, the fullest.
const MAX_ROWS: usize = 100;
/// Refusals that are told.
const MAX_TOLD: usize = 64;

/// What is looked at together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    netns: NetnsId,
    /// Of a bind the address it wanted.
    address: Option<SocketAddr>,
    source: IpAddr,
    call: Call,
    stage: Stage,
    had_port: bool,
}

/// In few words, as each failure is looked up by it.
impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let port = self.address.map_or(0, |address| address.port());
        let how = (self.call as u64) << 24 | (self.stage as u64) << 20 | u64::from(self.had_port) << 16;
        state.write_u128(bits(self.source));
        state.write_u128(self.address.map_or(0, |address| bits(address.ip())));
        state.write_u64(u64::from(self.netns.0) << 32 | how | u64::from(port));
    }
}

/// Why is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Failure,
    /// It was time.
    Regular,
}

/// What came of a look.
struct Answer {
    survey: Survey,
    result: Result<Snapshot, PortsError>,
    took: Duration,
    reason: Reason,
}

/// What was looked at, what will be.
pub(super) struct Surveys {
    /// When a failure there was last a reason to look.
    seen: HashMap<Place, BootNs, RandomState>,
    waiting: VecDeque<Query>,
    /// The last that were waited for.
    recent: VecDeque<Query>,
    /// Idle, or running elsewhere.
    survey: Option<Survey>,
    running: Option<oneshot::Receiver<Answer>>,
    /// When one may begin where somebody failed.
    not_before: Instant,
    regular: Option<Regular>,
    spare_calls: bool,
    connected: Arc<Connected>,
    /// For a survey in place of one that is lost.
    enricher: Enricher,
    /// Refusals that were told.
    told: Vec<String>,
}

impl Surveys {
    /// Looks wherever ports run short, and at this; with few system calls, if these are to be spared. Who connected a socket
    /// `connected` says, who somebody is `enricher` finds out.
    pub(super) fn new(
        regular: Option<Regular>,
        connected: Arc<Connected>,
        spare_calls: bool,
        enricher: Enricher,
    ) -> Self {
        Self {
            seen: HashMap::default(),
            waiting: VecDeque::new(),
            recent: VecDeque::new(),
            survey: Some(Survey::new(enricher.beside())),
            enricher,
            running: None,
            not_before: Instant::now(),
            regular,
            spare_calls,
            connected,
            told: Vec::new(),
        }
    }

    /// Notes where a call found no port.
    pub(super) fn note(&mut self, failure: &Failure) {
        if !is_shortage(failure) || self.waiting.len() >= MAX_WAITING {
            return;
        }
        let place = place(failure);
        let is_recent = |seen: BootNs| failure.at.0.saturating_sub(seen.0) < AGAIN_AFTER_NS;
        if self.seen.get(&place).is_some_and(|seen| is_recent(*seen)) {
            return;
        }
        if self.seen.len() >= MAX_PLACES {
            self.seen.retain(|_, seen| is_recent(*seen));
        }
        if self.seen.len() < MAX_PLACES {
            self.seen.insert(place, failure.at);
            let query = query(failure, place);
            if self.recent.len() >= MAX_AGAIN {
                self.recent.pop_front();
            }
            self.recent.push_back(query.clone());
            self.waiting.push_back(query);
            self.begin_if_due();
        }
    }

    /// The next snapshot; waits for ever where none is wanted.
    pub(super) async fn next(&mut self) -> Snapshot {
        loop {
            if let Some(snapshot) = self.answer().await {
                return snapshot;
            }
            match self.due() {
                None => pending().await,
                Some(due) => sleep_until(due.into()).await,
            }
            self.begin_if_due();
        }
    }

    /// What is under way, or waits, as far as it comes within `limit`; with `again` also the last places once more.
    pub(super) async fn last(&mut self, limit: Duration, again: bool) -> Vec<Snapshot> {
        self.regular = None;
        if again {
            let waiting = &self.waiting;
            let more = self.recent.drain(..).filter(|query| !waiting.contains(query)).collect::<Vec<_>>();
            self.waiting.extend(more);
        }
        let mut snapshots = Vec::new();
        let all = async {
            loop {
                self.not_before = Instant::now();
                self.begin_if_due();
                if self.running.is_none() {
                    break;
                }
                snapshots.extend(self.answer().await);
            }
        };
        if timeout(limit, all).await.is_err() {
            log::warn!(
                "the end did not wait for a look at who holds the ports: it took longer than {limit:?}"
            );
        }
        snapshots
    }

    /// What the running survey finds, if one is running and finds something.
    async fn answer(&mut self) -> Option<Snapshot> {
        let answer = self.running.as_mut()?.await;
        self.running = None;
        let now = Instant::now();
        let Ok(Answer { survey, result, took, reason }) = answer else {
            log::warn!("a look at who holds the ports ended without an answer");
            self.survey = Some(Survey::new(self.enricher.beside()));
            return None;
        };
        self.survey = Some(survey);
        self.not_before = now + took * PAUSE;
        if let Some(regular) = &mut self.regular {
            regular.due = regular.due.max(now + took * REGULAR_PAUSE);
        }
        let snapshot = result.map_err(|error| self.tell(&error)).ok()?;
        let regular = self.regular.as_mut().filter(|_| reason == Reason::Regular);
        let is_told = regular.is_none_or(|regular| regular.tells(&snapshot));
        is_told.then(|| shortened(snapshot))
    }

    /// When something is to be looked at next.
    fn due(&self) -> Option<Instant> {
        let waiting = (!self.waiting.is_empty()).then_some(self.not_before);
        let regular = self.regular.as_ref().map(|regular| regular.due);
        waiting.into_iter().chain(regular).min()
    }

    fn begin_if_due(&mut self) {
        let now = Instant::now();
        // Without a survey one is running.
        if self.survey.is_none() || self.due().is_none_or(|due| due > now) {
            return;
        }
        let Some((query, reason)) = self.next_query(now) else { return };
        let query = Query { spare_calls: self.spare_calls, ..query };
        let Some(mut survey) = self.survey.take() else { return };
        let (sender, running) = oneshot::channel();
        self.running = Some(running);
        let connected = Arc::clone(&self.connected);
        let work = move || {
            let began = Instant::now();
            let result = survey.take(&query, &*connected);
            // Nobody waits for it any more if portwatch ends.
            let _ = sender.send(Answer { survey, result, took: began.elapsed(), reason });
        };
        if let Err(error) = std::thread::Builder::new().name("portwatch-survey".to_owned()).spawn(work) {
            log::warn!("start a thread to look at who holds the ports: {error}");
        }
    }

    /// Failures go first, unless a regular look is late by its whole interval.
    fn next_query(&mut self, now: Instant) -> Option<(Query, Reason)> {
        if let Some(regular) = &mut self.regular {
            let is_late = now >= regular.due + regular.interval;
            if now >= regular.due && (is_late || self.waiting.is_empty()) {
                regular.due = now + regular.interval;
                return Some((regular.query.clone(), Reason::Regular));
            }
        }
        let query = self.waiting.pop_front()?;
        // What waits for the same namespace is looked at together.
        let before = self.waiting.len();
        let is_same = |other: &Query| id(other) == id(&query);
        let bind = query
            .bind
            .or_else(|| self.waiting.iter().filter(|other| is_same(other)).find_map(|other| other.bind));
        self.waiting.retain(|other| !is_same(other) || (other.bind.is_some() && other.bind != bind));
        let destination = query.destination.filter(|_| self.waiting.len() == before);
        Some((Query { destination, bind, ..query }, Reason::Failure))
    }

    /// Once each.
    fn tell(&mut self, error: &PortsError) {
        let text = error.to_string();
        if self.told.len() < MAX_TOLD && !self.told.contains(&text) {
            log::warn!("who holds the ports is not known: {text}");
            self.told.push(text);
        }
    }
}

/// The namespace that is asked about.
fn id(query: &Query) -> Option<NetnsId> {
    if let Netns::Near(id, _) = query.netns { Some(id) } else { None }
}

/// Whether a look can tell more: where a port or an address was asked for.
fn is_shortage(failure: &Failure) -> bool {
    let fault = &failure.fault;
    match fault.stage {
        Stage::Bind => [Errno::EADDRINUSE, Errno::EADDRNOTAVAIL].contains(&fault.errno),
        Stage::Autobind => true,
        Stage::PortSearch | Stage::OutsidePortSearch | Stage::SocketLayer | Stage::Unknown => {
            fault.errno == Errno::EADDRNOTAVAIL
        }
        Stage::Network => false,
    }
}

fn place(failure: &Failure) -> Place {
    let fault = &failure.fault;
    // UDP's ports are the same whatever the destination; where a connect() found no address to send from, that matters.
    let is_anywhere = fault.protocol == Protocol::Udp && fault.stage != Stage::SocketLayer;
    let address = (!is_anywhere).then_some(fault.address);
    let Fault { call, stage, had_port, .. } = *fault;
    Place { netns: failure.netns, address, source: failure.source.ip(), call, stage, had_port }
}

fn query(failure: &Failure, place: Place) -> Query {
    let fault = &failure.fault;
    let whole = |address: SocketAddr| Destination {
        network: Some(IpNet::from(address.ip())),
        port: Some(address.port()),
    };
    // Of what is not asked about as little as possible is read.
    let nowhere = Destination { network: Some(IpNet::from(fault.address.ip())), port: Some(0) };
    let is_bind = fault.call == Call::Bind && fault.protocol != Protocol::Udp;
    let any_port = fault.errno == Errno::EADDRINUSE && fault.address.port() == 0;
    let destination = match place.address {
        _ if is_bind && any_port => None,
        Some(address) if !is_bind => Some(whole(address)),
        _ => Some(nowhere),
    };
    Query {
        netns: Netns::Near(failure.netns, failure.process.tgid),
        destination,
        bind: (is_bind && any_port).then(|| fault.address.ip()),
        spare_calls: false,
    }
}

/// The fullest rows.
fn shortened(mut snapshot: Snapshot) -> Snapshot {
    let left_out = snapshot.rows.len().saturating_sub(MAX_ROWS);
    snapshot.rows.truncate(MAX_ROWS);
    snapshot.scope.rows_left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
    snapshot
}

#[cfg(test)]
mod tests;
