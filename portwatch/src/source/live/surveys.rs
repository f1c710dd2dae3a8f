//! When to look at who holds the ports: at once where they ran short, and again and again if that is asked for.
//!
//! In: failures. Out: snapshots, one after the other. Each is taken by a thread of its own, as it takes some hundred
//! milliseconds on a busy host; neither the ring nor the output waits for it.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

use crate::event::{Call, Destination, Errno, Failure, NetnsId, Protocol, Snapshot, Stage};
use crate::ports::{Netns, PortsError, Query};
use crate::source::survey::Survey;

/// How soon one place is looked at again while ports are short there.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// No more than one part in so many of the time is spent on looking.
const SHARE: u32 = 10;
/// Places that are remembered.
const MAX_PLACES: usize = 1024;
/// Places that wait to be looked at; what finds no room is asked for again by the next failure there.
const MAX_WAITING: usize = 16;
/// Rows that are kept of a snapshot, the fullest.
const MAX_ROWS: usize = 100;

/// What is looked at together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    netns: NetnsId,
    /// Of a bind the address it wanted.
    address: Option<SocketAddr>,
    call: Call,
}

type Result = std::result::Result<Snapshot, PortsError>;

/// What was looked at, what will be.
pub(super) struct Surveys {
    seen: HashMap<Place, Instant>,
    waiting: VecDeque<Query>,
    /// Idle, or running elsewhere.
    survey: Option<Survey>,
    running: Option<oneshot::Receiver<(Survey, Result)>>,
    began: Instant,
    /// When the next one may begin.
    not_before: Instant,
    /// How often to look at the own namespace, and when next.
    regular: Option<(Duration, Instant)>,
    /// Refusals that were told.
    told: Vec<String>,
}

impl Surveys {
    /// Looks at the own namespace at these intervals, if at all, and wherever ports run short.
    pub(super) fn new(regularly: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            seen: HashMap::new(),
            waiting: VecDeque::new(),
            survey: Some(Survey::new()),
            running: None,
            began: now,
            not_before: now,
            regular: regularly.map(|interval| (interval, now)),
            told: Vec::new(),
        }
    }

    /// Notes where a call found no port.
    pub(super) fn note(&mut self, failure: &Failure) {
        if !is_shortage(failure) || self.waiting.len() >= MAX_WAITING {
            return;
        }
        let now = Instant::now();
        let place = place(failure);
        if self.seen.get(&place).is_some_and(|seen| now.duration_since(*seen) < AGAIN_AFTER) {
            return;
        }
        if self.seen.len() >= MAX_PLACES {
            self.seen.retain(|_, seen| now.duration_since(*seen) < AGAIN_AFTER);
        }
        if self.seen.len() < MAX_PLACES {
            self.seen.insert(place, now);
            self.waiting.push_back(query(failure, place));
            self.begin_if_due();
        }
    }

    /// The next snapshot; waits for ever where none is wanted.
    pub(super) async fn next(&mut self) -> Snapshot {
        loop {
            if let Some(running) = &mut self.running {
                let result = running.await;
                self.running = None;
                self.not_before = Instant::now() + self.began.elapsed() * SHARE;
                // A thread that has not answered has panicked, and took what it remembered with it.
                let (survey, result) =
                    result.map_or_else(|_| (Survey::new(), None), |(survey, result)| (survey, Some(result)));
                self.survey = Some(survey);
                match result {
                    Some(Ok(snapshot)) => return shortened(snapshot),
                    Some(Err(error)) => self.tell(&error),
                    None => {}
                }
            }
            match self.due() {
                None => pending().await,
                Some(due) => sleep_until(due.into()).await,
            }
            self.begin_if_due();
        }
    }

    /// What is under way, or waits, if it comes within `limit`.
    pub(super) async fn last(&mut self, limit: Duration) -> Vec<Snapshot> {
        self.regular = None;
        self.not_before = Instant::now();
        self.begin_if_due();
        let mut snapshots = Vec::new();
        let all = async {
            while self.running.is_some() {
                snapshots.push(self.next().await);
                self.not_before = Instant::now();
                self.begin_if_due();
            }
        };
        // Detail that comes too late is not waited for; the failures themselves are counted and shown.
        let _ = timeout(limit, all).await;
        snapshots
    }

    /// When something is to be looked at next.
    fn due(&self) -> Option<Instant> {
        let regular = self.regular.map(|(_, due)| due);
        let due = if self.waiting.is_empty() { regular } else { Some(self.not_before) };
        due.map(|due| due.max(self.not_before))
    }

    fn begin_if_due(&mut self) {
        let now = Instant::now();
        // Without a survey one is running.
        if self.survey.is_none() || self.due().is_none_or(|due| due > now) {
            return;
        }
        let query = match (self.waiting.pop_front(), &mut self.regular) {
            (Some(query), _) => query,
            (None, Some((interval, due))) => {
                *due = now + *interval;
                Query::default()
            }
            (None, None) => return,
        };
        let Some(mut survey) = self.survey.take() else { return };
        let (answer, running) = oneshot::channel();
        (self.running, self.began) = (Some(running), now);
        let work = move || {
            let result = survey.take(&query);
            // Nobody waits for it any more if portwatch ends.
            let _ = answer.send((survey, result));
        };
        if let Err(error) = std::thread::Builder::new().name("portwatch-survey".to_owned()).spawn(work) {
            log::warn!("start a thread to look at who holds the ports: {error}");
        }
    }

    /// Once each.
    fn tell(&mut self, error: &PortsError) {
        let text = error.to_string();
        if self.told.len() < MAX_WAITING && !self.told.contains(&text) {
            log::warn!("who holds the ports is not known: {text}");
            self.told.push(text);
        }
    }
}

/// Whether ports, or an address to have one of, were wanting.
fn is_shortage(failure: &Failure) -> bool {
    let fault = &failure.fault;
    match fault.stage {
        Stage::PortSearch | Stage::Bind | Stage::Autobind => true,
        Stage::OutsidePortSearch | Stage::SocketLayer | Stage::Unknown => fault.errno == Errno::EADDRNOTAVAIL,
        Stage::Network => false,
    }
}

fn place(failure: &Failure) -> Place {
    let fault = &failure.fault;
    // UDP's ports are the same whatever the destination.
    let address = (fault.protocol != Protocol::Udp).then_some(fault.address);
    Place { netns: failure.netns, address, call: fault.call }
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
    Query {
        netns: Netns::Near(failure.netns, failure.process.tgid),
        destination: if is_bind { None } else { Some(place.address.map_or(nowhere, whole)) },
        bind: is_bind.then(|| fault.address.ip()),
    }
}

/// The fullest rows.
fn shortened(mut snapshot: Snapshot) -> Snapshot {
    let all = snapshot.rows.len();
    if all > MAX_ROWS {
        snapshot.rows.truncate(MAX_ROWS);
        snapshot.limits.push(format!("of {all} rows the {MAX_ROWS} fullest are kept"));
    }
    snapshot
}

#[cfg(test)]
mod tests;
