//! Takes snapshots of who holds the local ports.
//!
//! In: where to look, and who is known to have connected a socket. Out: [`Snapshot`]s. Must not know: why one is wanted,
//! what becomes of it.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::clocks::{now, now_with_offset};
use super::memory::Memory;
use crate::enrich::Enricher;
use crate::event::{BootNs, Holder, Process, Scope, Snapshot, SocketState, Tgid};
use crate::ports::{
    Census, Held, Owner, Owners, PortsError, Query, Told, census, host, own_id, shows_bound_sockets,
};

const PROC: &str = "/proc";
const SPARED: &str = "whose sockets are open was not looked for: here the programs see each system call, and are skipped for \
                      others while one is preempted; `portwatch ports` tells";
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Who connected the socket with this cookie, and when, if that is known.
pub(super) type Connected = dyn Fn(u64) -> Option<(Process, BootNs)> + Send + Sync;

/// What is remembered from one snapshot to the next.
pub(super) struct Survey {
    enricher: Enricher,
    /// Read when it is first needed: it takes as long as a quarter of the start.
    bound_visible: OnceCell<Option<bool>>,
    memory: Memory,
}

/// A process, by what makes it known again.
type Identity = (Tgid, BootNs);

/// Whose a socket is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Process(Identity),
    TimeWait,
    Closed,
    NotFound,
}

impl Survey {
    /// Nothing yet. Who somebody is `enricher` finds out.
    pub(super) fn new(enricher: Enricher) -> Self {
        Self { enricher, bound_visible: OnceCell::new(), memory: Memory::default() }
    }

    /// Looks now. On a busy host that takes some hundred milliseconds. Whose a socket is that nobody has open any more
    /// `connected` says, by the socket's cookie; what it does not know earlier snapshots may.
    ///
    /// # Errors
    /// When nothing that `query` asks for could be read.
    pub(super) fn take(&mut self, query: &Query, connected: &Connected) -> Result<Snapshot, PortsError> {
        let (at, boot_offset_ns) = now_with_offset();
        let census = census(query)?;
        let looked = now();
        let owners = if query.spare_calls {
            Owners::unknown(SPARED)
        } else {
            Owners::find(Path::new(PROC), census.inodes())
        };
        let before = self.enricher.unanswered();
        let mut people = People {
            enricher: &mut self.enricher,
            spare_calls: query.spare_calls,
            looked,
            by_tgid: HashMap::new(),
            known: HashMap::new(),
        };
        let seen = seen(&mut self.memory, &mut people, &census, &owners, connected, at);
        let unanswered = people.enricher.unanswered();
        let mut limits = [&census.limits[..], &owners.limits].concat();
        if let no_room @ 1.. = self.memory.forget(at) {
            limits.push(format!(
                "whose {no_room} of these sockets are will not be known any more once they are closed: there are too \
                 many to remember"
            ));
        }
        if let untold @ 1.. = unanswered - before {
            limits.push(format!(
                "{untold} processes have no executable, arguments or names here: /proc did not answer in time"
            ));
        }
        let whose = |owner, cookie| {
            let open = if let Owner::Process(tgid) = owner { people.identity(tgid) } else { None };
            match open.or_else(|| seen.left.get(&cookie).copied()) {
                Some(identity) => Whose::Process(identity),
                None if owner == Owner::TimeWait => Whose::TimeWait,
                None if owner == Owner::Closed => Whose::Closed,
                None => Whose::NotFound,
            }
        };
        let holder = |whose| match whose {
            Whose::Process(identity) => people.holder(&identity),
            Whose::TimeWait => Holder::TimeWait,
            Whose::Closed => Holder::Closed,
            Whose::NotFound => Holder::NotFound,
        };
        let told = Told {
            owner: |held: &Held| whose(owners.of(held), held.cookie),
            open_since: |held: &Held| seen.open_since.get(&held.cookie).copied(),
        };
        let (mut namespaces, rows) = census.rows(&told, holder);
        let (host, own) = (host(), own_id());
        for namespace in &mut namespaces {
            namespace.is_own = own == Some(namespace.id);
            namespace.is_hosts = host.id.map(|id| id == namespace.id);
        }
        Ok(Snapshot {
            at,
            boot_offset_ns,
            scope: Scope {
                towards: query.destination,
                bind: query.bind,
                rows_left_out: 0,
                all_namespaces: census.all_namespaces,
            },
            namespaces,
            hosts_range: host.range,
            rows,
            sockets: census.sockets,
            repeated: census.repeated,
            bound_visible: *self.bound_visible.get_or_init(|| shows_bound_sockets(Path::new(BTF))),
            limits,
        })
    }
}

/// What is known of the sockets of one snapshot, by their cookies.
#[derive(Default)]
struct Seen {
    /// Whose those are that nobody is seen to have open.
    left: HashMap<u64, Identity>,
    /// Since when those are there that are established.
    open_since: HashMap<u64, BootNs>,
}

/// Looks each socket up. Who has it open is remembered.
fn seen(
    memory: &mut Memory,
    people: &mut People<'_>,
    census: &Census,
    owners: &Owners,
    connected: &Connected,
    at: BootNs,
) -> Seen {
    let mut seen = Seen::default();
    for held in census.held().filter(|held| held.cookie != 0) {
        // No snapshot saw it before it was connected.
        let (who, mut when) = connected(held.cookie).unzip();
        if let Owner::Process(tgid) = owners.of(held)
            && let Some(process) = people.with_id(tgid)
        {
            let first = memory.saw_open(held.cookie, process, at);
            when = when.or(first);
        } else {
            // Nobody has it open; or somebody who may not be looked into, or who has just ended.
            let remembered = memory.saw_closed(held.cookie, at);
            let process = who.or_else(|| remembered.map(|process| Process::clone(process)));
            if let Some(process) = process {
                seen.left.insert(held.cookie, people.who_was(process));
            }
        }
        if held.state == SocketState::Established {
            seen.open_since.extend(when.map(|when| (held.cookie, when)));
        }
    }
    seen
}

/// The processes of one snapshot, each looked up once.
struct People<'a> {
    enricher: &'a mut Enricher,
    /// Whether nothing is to be read of those that are only remembered.
    spare_calls: bool,
    /// When descriptors began to be read: who has started later has the id of somebody who has ended.
    looked: BootNs,
    /// Those that have a socket open, without details, which would be too much to remember; none for one that ended since
    /// its descriptors were read.
    by_tgid: HashMap<Tgid, Option<Arc<Process>>>,
    known: HashMap<Identity, Process>,
}

impl People<'_> {
    /// Who has this id.
    fn with_id(&mut self, tgid: Tgid) -> Option<&Arc<Process>> {
        let (enricher, known, looked) = (&mut *self.enricher, &mut self.known, self.looked);
        let process = self.by_tgid.entry(tgid).or_insert_with(|| {
            let process = enricher.identify(tgid, looked).filter(|process| process.start <= looked)?;
            known.insert(identity(&process), process.clone());
            Some(Arc::new(Process { details: Arc::default(), ..process }))
        });
        process.as_ref()
    }

    /// Who had a socket, and may have ended since.
    fn who_was(&mut self, mut process: Process) -> Identity {
        process.start = Enricher::start_in_proc(process.start);
        let (identity, enricher) = (identity(&process), &mut *self.enricher);
        let (spare_calls, looked) = (self.spare_calls, self.looked);
        self.known.entry(identity).or_insert_with(|| {
            if !spare_calls {
                enricher.enrich(&mut process, looked);
            }
            process
        });
        identity
    }

    fn identity(&self, tgid: Tgid) -> Option<Identity> {
        self.by_tgid.get(&tgid)?.as_deref().map(identity)
    }

    fn holder(&self, identity: &Identity) -> Holder {
        self.known.get(identity).cloned().map_or(Holder::NotFound, Holder::Process)
    }
}

fn identity(process: &Process) -> Identity {
    (process.tgid, process.start)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::Survey;
    use crate::enrich::Enricher;
    use crate::event::{BootNs, Process};
    use crate::ports::Query;

    #[test]
    fn a_connection_is_as_old_as_its_connect_where_that_was_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let _held = (TcpStream::connect(there).unwrap(), listener.accept().unwrap());
        let mut survey = Survey::new(Enricher::new("/proc", || {}));
        let mut since = |connected: Option<BootNs>| {
            let connected = move |_: u64| Some((Process::with_id(1), connected?));
            let snapshot = survey.take(&Query::default(), &connected).unwrap();
            let row = snapshot.rows.into_iter().find(|row| row.destination == Some(there)).unwrap();
            (snapshot.at, row.open_since)
        };
        assert_eq!(since(Some(BootNs(7))).1, Some(BootNs(7)));
        // A later snapshot knows only the first one that saw it.
        let (first, unknown) = (since(None), since(Some(BootNs(9))));
        assert!(first.1.is_some_and(|seen| seen > BootNs(9) && seen < first.0), "{first:?}");
        assert_eq!(unknown.1, Some(BootNs(9)));
    }
}
