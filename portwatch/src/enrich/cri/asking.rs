//! The thread that asks runtimes.
//!
//! In: that somebody is met whom nobody knows. Out: what runtimes said, for all who look; and which of them say nothing and
//! what to do about it, whenever that changes. Must not know: who is looked for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::answer::{Listed, MOST_CONTAINERS};
use super::call::{DEADLINE, Refused, list_containers};
use super::{Shared, runtime, sockets};

/// Whom it asks, and what it has said of them.
pub(super) struct Asking {
    runtimes: Vec<Asked>,
    shared: Arc<Shared>,
    /// Said once, if it is to be.
    elsewhere: io::Result<()>,
}

struct Asked {
    socket: PathBuf,
    said: Result<(), Refused>,
    left_out: usize,
}

impl Asking {
    /// At these sockets.
    pub(super) fn new(sockets: Vec<PathBuf>, shared: Arc<Shared>, elsewhere: io::Result<()>) -> Self {
        let asked = |socket| Asked { socket, said: Err(Refused::Absent), left_out: 0 };
        Self { runtimes: sockets.into_iter().map(asked).collect(), shared, elsewhere }
    }

    /// Asks now, and whenever it is woken, until nobody can wake it any more.
    pub(super) fn work(&mut self, runtime: &Runtime, woken: &Receiver<()>) {
        loop {
            runtime.block_on(self.ask_all());
            if woken.recv().is_err() {
                return;
            }
        }
    }

    /// All at once: one that hangs keeps no other from answering.
    async fn ask_all(&mut self) {
        let asked = Instant::now();
        let wanted = {
            let mut state = self.shared.state();
            state.began = asked;
            state.known.take_wanted()
        };
        let mut answers = JoinSet::new();
        for (n, Asked { socket, .. }) in self.runtimes.iter().enumerate() {
            let socket = socket.clone();
            answers.spawn(async move { (n, list_containers(&socket, DEADLINE).await) });
        }
        while let Some(answer) = answers.join_next().await {
            // What is missing then is found missing below.
            let Ok((n, answer)) = answer else { continue };
            let answer = self.runtimes[n].note(answer);
            if let Some(Listed { containers, .. }) = answer {
                self.shared.state().known.learn(containers, asked);
                self.shared.has_changed.notify_all();
            }
        }
        let has_answered = self.runtimes.iter().any(|asked| asked.said.is_ok());
        let has_failed =
            self.runtimes.iter().any(|asked| !matches!(asked.said, Ok(()) | Err(Refused::Absent)));
        let elsewhere = std::mem::replace(&mut self.elsewhere, Ok(()));
        if let (false, false, Err(error)) = (has_answered, has_failed, elsewhere) {
            self.say_nothing_is_there(&error);
        }
        let mut state = self.shared.state();
        if has_answered && !has_failed {
            state.known.conclude(wanted, asked);
        }
        state.is_asking = false;
        self.shared.has_changed.notify_all();
    }

    fn say_nothing_is_there(&self, error: &io::Error) {
        let sockets: Vec<_> = self.runtimes.iter().map(|asked| asked.socket.display().to_string()).collect();
        log::warn!(
            "look for pods: {error}, and no container runtime has a socket here ({}); they have no names here\n\
             hint: a node of Kubernetes has both; in a container either has to be mounted, read-only is enough: \
             /var/log/pods and /var/log/containers, or the folder of the socket",
            sockets.join(", ")
        );
    }
}

impl Asked {
    /// Says what is new in this answer.
    fn note(&mut self, answer: Result<Listed, Refused>) -> Option<Listed> {
        let socket = self.socket.display();
        let said = answer.as_ref().map(|_| ()).map_err(Clone::clone);
        if said != self.said {
            match &answer {
                Ok(listed) => {
                    log::debug!(
                        "{} containers have names by the runtime at {socket}",
                        listed.containers.len()
                    );
                }
                Err(Refused::Absent) => log::debug!("the container runtime at {socket} is gone"),
                Err(refused) => log::warn!(
                    "ask the container runtime at {socket} for names of pods: {}\nhint: {}",
                    refused.finding(),
                    refused.hint()
                ),
            }
        }
        self.said = said;
        let listed = answer.ok()?;
        if listed.left_out > self.left_out {
            log::warn!(
                "{} containers of the runtime at {socket} have no names here: there are more than {MOST_CONTAINERS}, or \
                 their descriptions are too large, or none",
                listed.left_out
            );
        }
        self.left_out = listed.left_out;
        Some(listed)
    }
}

/// Of each runtime that has a socket below `root`: how many containers it names, or why it names none and what to do about
/// that. Asks once, in a thread that begins with `confine`.
pub(in crate::enrich) fn tried(root: &Path, confine: fn()) -> Vec<(PathBuf, Result<usize, [String; 2]>)> {
    let Ok(runtime) = runtime() else { return Vec::new() };
    let mut sockets = sockets(root);
    sockets.retain(|socket| socket.exists());
    let ask = move || {
        confine();
        let answer = |socket: PathBuf| {
            let answer = runtime.block_on(list_containers(&socket, DEADLINE));
            let refused = |refused: Refused| [refused.finding(), refused.hint().to_owned()];
            (socket, answer.map(|listed| listed.containers.len()).map_err(refused))
        };
        sockets.into_iter().map(answer).collect()
    };
    std::thread::spawn(ask).join().unwrap_or_default()
}
