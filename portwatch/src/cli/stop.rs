//! When a live command ends: a signal, the time, nobody reading any more.

use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::outcome::say;
use crate::source::Stop;

/// Two presses of Ctrl-C so close to each other are one.
const BOUNCE: Duration = Duration::from_millis(500);

/// Resolves when the command shall end.
pub(super) type Asked = Pin<Box<dyn Future<Output = Stop>>>;

/// To be told when the results are out.
pub(super) struct Done(Arc<AtomicBool>);

impl Done {
    /// The results are out: further signals change nothing.
    pub(super) fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Catches signals from now on; needs a tokio runtime. With `output`, it also ends when nobody reads stdout any more.
pub(super) fn stop(duration: Option<Duration>, output: bool) -> Result<(Asked, Done)> {
    let catch = |kind: SignalKind| signal(kind).context("catch signals");
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(catch);
    let [interrupt, terminate, hangup] = signals;
    let signals = [interrupt?, terminate?, hangup?];
    let (send, signalled) = oneshot::channel();
    let done = Arc::new(AtomicBool::new(false));
    tokio::spawn(watch_signals(signals, send, Arc::clone(&done)));
    let asked = Box::pin(async move {
        tokio::select! {
            _ = signalled => Stop::AtOnce,
            () = elapsed(duration) => Stop::InTime,
            () = output_closed(), if output => Stop::AtOnce,
        }
    });
    Ok((asked, Done(done)))
}

/// Tells of the first signal. A later one, while the end takes its time because nobody reads the output, kills as if
/// nobody had caught it.
async fn watch_signals(mut signals: [Signal; 3], first: oneshot::Sender<()>, done: Arc<AtomicBool>) {
    any(&mut signals).await;
    // The command may be at its end already.
    let _ = first.send(());
    sleep(BOUNCE).await;
    any(&mut signals).await;
    if !done.load(Ordering::Relaxed) {
        give_up();
    }
}

async fn any([interrupt, terminate, hangup]: &mut [Signal; 3]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        // The terminal is gone: what was seen is not.
        _ = hangup.recv() => {}
    }
}

#[expect(
    clippy::exit,
    reason = "the main thread hangs in a write that nobody reads; programs detach with the process"
)]
fn give_up() {
    say("portwatch: stopped by a second signal before the output was written");
    std::process::exit(1);
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the reader of a pipe on stdout is gone; never for other outputs.
async fn output_closed() {
    let Ok(copy) = std::io::stdout().as_fd().try_clone_to_owned() else {
        return std::future::pending().await;
    };
    let Ok(pipe) = watched(copy) else { return std::future::pending().await };
    // An error of the wait itself is no reason to end.
    if pipe.ready(Interest::ERROR).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Fails for what cannot be waited for, such as a file.
fn watched(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the AsyncFd owns the descriptor: nothing closes or replaces it while it is registered.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::ERROR) }
        .map_err(|error| error.into_parts().1)
}
