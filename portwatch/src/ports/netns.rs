//! Network namespaces: which there are, and how to get into one.
//!
//! In: which are wanted. Out: places, and what was found inside of them. Must not know: what is done there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::event::{NetnsId, Tgid};

/// That of the thread that asks.
const OWN: &str = "/proc/thread-self/ns/net";
/// Where `ip netns` keeps names (ip-netns(8)).
const NAMED: &str = "/run/netns";
/// Ways into one namespace that are remembered: processes end.
const PATHS: usize = 8;

/// Which namespaces are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Netns {
    /// The one that this process is in.
    #[default]
    Own,
    /// All that a process or thread is in, or that have a name.
    All,
    /// That of a process.
    Process(Tgid),
    /// By inode number, as `trace` prints it.
    Id(NetnsId),
    /// By inode number, where this process, if there still is one, is likely to be in it.
    Near(NetnsId, Tgid),
    /// A file such as `/run/netns/blue` or `/proc/PID/ns/net`.
    Path(PathBuf),
}

/// Why a namespace could not be found or entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// Not a namespace, or not to be looked at.
    #[error("look at the network namespace {}: {error}{}", .path.display(), hint(.error))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// No process is in it and it has no name.
    #[error(
        "find the network namespace {}: no process is in it, and {NAMED} has no name for it\n\
         hint: `lsns -t net` lists those that there are; as another user than root, portwatch sees only those of its own processes",
        .id.0
    )]
    Unknown {
        /// Which.
        id: NetnsId,
    },
    /// It was there and is no more.
    #[error("enter the network namespace {}: it has gone", .id.0)]
    Gone {
        /// Which.
        id: NetnsId,
    },
    /// The kernel lets this process not in.
    #[error("enter the network namespace {} by {}: {error}{}", .id.0, .path.display(), hint(.error))]
    Refused {
        /// Which.
        id: NetnsId,
        /// The way in.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// No thread could be started.
    #[error("start a thread to enter a network namespace: {0}")]
    NoThread(io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "\nhint: run as root, or with CAP_SYS_ADMIN in the user namespace that owns it, and here"
    } else {
        ""
    }
}

/// What was found.
pub(super) struct Places {
    pub(super) places: Vec<Place>,
    /// Whether one that fails is left out, instead of being a failure of the whole.
    pub(super) many: bool,
    /// What could not be seen, in sentences.
    pub(super) limits: Vec<String>,
}

/// A namespace and the ways into it.
#[derive(Debug)]
pub(super) struct Place {
    id: NetnsId,
    /// None is needed to be where one is.
    paths: Vec<PathBuf>,
}

/// Which one this thread is in; none where /proc does not tell.
#[must_use]
pub fn own_id() -> Option<NetnsId> {
    id(Path::new(OWN)).ok()
}

/// The number of the one that is wanted; none for all. Whether anybody is in it is not asked.
///
/// # Errors
/// When what it is named by is not there or no namespace, or may not be looked at.
pub fn netns_id(wanted: &Netns) -> Result<Option<NetnsId>, NetnsError> {
    let path = match wanted {
        Netns::All => return Ok(None),
        Netns::Id(number) | Netns::Near(number, _) => return Ok(Some(*number)),
        Netns::Own => Path::new(OWN).to_owned(),
        Netns::Process(tgid) => of_process(*tgid),
        Netns::Path(path) => path.clone(),
    };
    id(&path).map(Some)
}

fn of_process(tgid: Tgid) -> PathBuf {
    format!("/proc/{}/ns/net", tgid.0).into()
}

/// Finds the namespaces that are wanted.
pub(super) fn places(wanted: &Netns) -> Result<Places, NetnsError> {
    let one = |place| Places { places: vec![place], many: false, limits: Vec::new() };
    let own = || Ok(Place { id: id(Path::new(OWN))?, paths: Vec::new() });
    let of = |tgid: Tgid| by_path(&of_process(tgid));
    Ok(match wanted {
        Netns::Own => one(own()?),
        Netns::Process(tgid) => one(of(*tgid)?),
        Netns::Near(id, tgid) => match own().into_iter().chain(of(*tgid)).find(|place| place.id == *id) {
            Some(place) => one(place),
            // To look at every thread takes longer.
            None => places(&Netns::Id(*id))?,
        },
        Netns::Path(path) => one(by_path(path)?),
        Netns::Id(id) => {
            let found =
                all(Path::new("/proc"), Path::new(NAMED)).places.into_iter().find(|place| place.id == *id);
            one(found.ok_or(NetnsError::Unknown { id: *id })?)
        }
        Netns::All => {
            let own = own()?;
            let mut found = all(Path::new("/proc"), Path::new(NAMED));
            found.places.retain(|place| place.id != own.id);
            found.places.insert(0, own);
            found
        }
    })
}

fn by_path(path: &Path) -> Result<Place, NetnsError> {
    Ok(Place { id: id(path)?, paths: vec![path.to_owned()] })
}

fn id(path: &Path) -> Result<NetnsId, NetnsError> {
    let number = fs::metadata(path).map(|file| file.ino());
    let unreadable = |error| NetnsError::Unreadable { path: path.to_owned(), error };
    // Numbers of namespaces have 32 bits (`ns_common.inum`).
    let no_namespace = |_| io::ErrorKind::InvalidInput.into();
    number.and_then(|number| u32::try_from(number).map_err(no_namespace)).map(NetnsId).map_err(unreadable)
}

/// All that a process or thread below `proc_root` is in, and all in the folder `named`. Threads are asked too: each
/// may be elsewhere (setns(2)).
fn all(proc_root: &Path, named: &Path) -> Places {
    let mut found: BTreeMap<NetnsId, Vec<PathBuf>> = BTreeMap::new();
    let mut closed = 0_u64;
    let mut add = |path: PathBuf| match id(&path) {
        Ok(id) => {
            let paths = found.entry(id).or_default();
            if paths.len() < PATHS {
                paths.push(path);
            }
        }
        Err(NetnsError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
            closed += 1;
        }
        Err(_) => {}
    };
    // A name outlives every process.
    entries(named).for_each(&mut add);
    for process in entries(proc_root).filter(|path| is_number(path)) {
        entries(&process.join("task")).map(|thread| thread.join("ns/net")).for_each(&mut add);
    }
    let places = found.into_iter().map(|(id, paths)| Place { id, paths }).collect();
    let mut limits = Vec::new();
    if closed > 0 {
        limits.push(format!(
            "the network namespaces of {closed} threads could not be looked at: run as root on the host to see all"
        ));
    }
    Places { places, many: true, limits }
}

/// What is in a folder; nothing if it is not there.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_number(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit))
}

impl Place {
    /// Which one this is.
    pub(super) fn id(&self) -> NetnsId {
        self.id
    }

    /// What `work` returns inside of it. It runs in a thread of its own: no other thread ever leaves its namespace.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        if self.paths.is_empty() {
            return Ok(work());
        }
        std::thread::scope(|scope| {
            let inside =
                std::thread::Builder::new().name("portwatch-netns".to_owned()).spawn_scoped(scope, || {
                    self.enter()?;
                    Ok(work())
                });
            match inside.map_err(NetnsError::NoThread)?.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn enter(&self) -> Result<(), NetnsError> {
        for path in &self.paths {
            // A process may have ended, or another one have its pid.
            let Ok(file) = File::open(path) else { continue };
            if file.metadata().is_ok_and(|file| file.ino() == u64::from(self.id.0)) {
                return setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| NetnsError::Refused {
                    id: self.id,
                    path: path.clone(),
                    error: errno.into(),
                });
            }
        }
        Err(NetnsError::Gone { id: self.id })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::{Netns, NetnsError, all, places};
    use crate::event::{NetnsId, Tgid};

    #[test]
    fn each_namespace_is_found_once_by_threads_and_by_names() {
        let root = tempfile::tempdir().unwrap();
        let (proc_root, named) = (root.path().join("proc"), root.path().join("netns"));
        for thread in ["1/task/1", "1/task/2", "7/task/7", "self/task/7", "sys/task/9"] {
            fs::create_dir_all(proc_root.join(thread).join("ns")).unwrap();
        }
        fs::create_dir(&named).unwrap();
        fs::write(named.join("blue"), "").unwrap();
        let same =
            |thread: &str| fs::hard_link(named.join("blue"), proc_root.join(thread).join("ns/net")).unwrap();
        same("1/task/1");
        fs::write(proc_root.join("1/task/2/ns/net"), "").unwrap();
        same("7/task/7");
        fs::write(proc_root.join("sys/task/9/ns/net"), "").unwrap();
        let found = all(&proc_root, &named);
        let number = |path: &Path| u32::try_from(fs::metadata(path).unwrap().ino()).unwrap();
        let mut expected = vec![number(&named.join("blue")), number(&proc_root.join("1/task/2/ns/net"))];
        expected.sort_unstable();
        assert_eq!(found.places.iter().map(|place| place.id.0).collect::<Vec<_>>(), expected);
        assert!(found.limits.is_empty());
        assert!(all(Path::new("/nowhere"), Path::new("/nowhere")).places.is_empty());
    }

    #[test]
    fn work_runs_in_the_own_namespace_without_leaving_it() {
        let own = places(&Netns::Own).unwrap();
        let [place] = own.places.as_slice() else { panic!("one place") };
        let before = std::thread::current().id();
        assert_eq!(place.within(|| std::thread::current().id()).unwrap(), before);
        let process = Tgid(std::process::id());
        for netns in
            [Netns::Process(process), Netns::Near(place.id(), process), Netns::Near(place.id(), Tgid(0))]
        {
            assert_eq!(places(&netns).unwrap().places[0].id(), place.id(), "{netns:?}");
        }
    }

    #[test]
    fn what_is_no_namespace_is_refused_with_its_path() {
        let error = places(&Netns::Path("/nowhere/netns".into())).err().unwrap().to_string();
        assert!(error.contains("/nowhere/netns") && error.contains("No such file"), "{error}");
        let error = places(&Netns::Near(NetnsId(5), Tgid(1))).err().unwrap().to_string();
        assert!(error.contains("namespace 5") && error.contains("\nhint: "), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = places(&Netns::Path(file.path().to_owned())).unwrap();
        let error = found.places[0].within(|| ()).unwrap_err();
        assert!(matches!(error, NetnsError::Refused { .. }), "{error}");
    }
}
