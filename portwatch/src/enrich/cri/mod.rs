//! Names of Kubernetes pods and containers, from the container runtimes of this host, by the interface that kubelet has to
//! them (CRI).
//!
//! In: the identifiers of a container and a pod. Out: what Kubernetes calls them. A thread of its own asks, so that who looks
//! processes up waits a little and no longer; it asks when somebody is met whom nobody knows, and is idle otherwise. Must not
//! know: whose names these are.

mod answer;
mod asking;
mod call;
#[cfg(test)]
pub(super) mod fake;
mod known;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::event::Text;
use crate::thread;
use asking::Asking;
pub(super) use asking::tried;
pub(super) use known::Found;
use known::Known;

/// Where runtimes have their sockets: as crictl tries them (containerd, CRI-O, cri-dockerd), then those that come inside of
/// k3s, k0s and MicroK8s.
const SOCKETS: [&str; 6] = [
    "run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "run/cri-dockerd.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
];
/// How soon all are asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long who looks somebody up waits for that: a part of what there is for all of it.
const PATIENCE: Duration = Duration::from_millis(40);

/// What is known from runtimes, and the thread that asks them.
pub(super) struct Runtimes {
    shared: Arc<Shared>,
    wake: SyncSender<()>,
}

/// What the thread shares with those that look somebody up.
struct Shared {
    state: Mutex<State>,
    /// One has answered, or all have been asked.
    has_changed: Condvar,
}

struct State {
    known: Known,
    /// When all were asked last, or are since.
    began: Instant,
    is_asking: bool,
}

impl Runtimes {
    /// Those below `root`, `/` outside tests, which are asked for the first time now. The thread that asks begins with
    /// `confine`. Why names do not come from elsewhere is said where no runtime is either.
    pub(super) fn start(root: &Path, confine: fn(), elsewhere: io::Result<()>) -> Self {
        let state = State { known: Known::default(), began: Instant::now(), is_asking: true };
        let shared = Arc::new(Shared { state: Mutex::new(state), has_changed: Condvar::new() });
        let (wake, woken) = sync_channel(1);
        let mut asking = Asking::new(sockets(root), Arc::clone(&shared), elsewhere);
        // What it waits with is made while that is allowed.
        let started = runtime().and_then(|runtime| {
            thread::start("portwatch-cri", confine, move || asking.work(&runtime, &woken))
        });
        if let Err(error) = started {
            log::warn!("start a thread that asks container runtimes: {error}; no names come from them");
            shared.state().is_asking = false;
        }
        // So what there is to say is mostly said before watching begins.
        drop(shared.wait(|_| true));
        Self { shared, wake }
    }

    /// Whether all have been asked at least once, and are not now.
    #[cfg(test)]
    pub(super) fn has_answered(&self) -> bool {
        !self.shared.state().is_asking
    }

    /// What is known of a pod and of a container; waits a little if something is not.
    pub(super) fn find(&self, pod: Option<&Text>, container: Option<&Text>) -> Found {
        let mut state = self.shared.state();
        let now = Instant::now();
        if !state.known.want(pod, container, now) {
            return state.known.find(pod, container);
        }
        if !state.is_asking && now.saturating_duration_since(state.began) >= AGAIN {
            (state.is_asking, state.began) = (true, now);
            // It takes the last one away before it says that it has asked.
            let _ = self.wake.try_send(());
        }
        drop(state);
        let state = self.shared.wait(|known| !known.has(pod, container));
        state.known.find(pod, container)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as all are asked, `lacks` something, and patience lasts.
    fn wait(&self, lacks: impl Fn(&Known) -> bool) -> MutexGuard<'_, State> {
        let state = self.state();
        let patience = PATIENCE.saturating_sub(state.began.elapsed());
        let waits = |state: &mut State| state.is_asking && lacks(&state.known);
        self.has_changed.wait_timeout_while(state, patience, waits).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn sockets(root: &Path) -> Vec<PathBuf> {
    SOCKETS.iter().map(|socket| root.join(socket)).collect()
}

/// What a thread waits with for sockets.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests;
