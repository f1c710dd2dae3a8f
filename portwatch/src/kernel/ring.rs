//! The one task that reads the ring.
//!
//! In: the ring. Out: batches of its records in a bounded queue. Whatever the reader of that queue does, this task
//! goes on: what does not fit is counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use bytes::{Bytes, BytesMut};
use log::Log;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

/// Records taken from the ring before the task lets others run.
const BATCH_RECORDS: usize = 512;
/// Batches that wait for the reader.
const QUEUE_BATCHES: usize = 256;

/// The ring, not read yet.
pub struct Ring {
    ring: RingBuf<MapData>,
    logger: Option<EbpfLogger<&'static dyn Log>>,
}

/// The reader's end.
pub struct Queue {
    batches: mpsc::Receiver<Vec<Bytes>>,
    refused: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
}

struct Task {
    fd: AsyncFd<RingBuf<MapData>>,
    logger: Option<EbpfLogger<&'static dyn Log>>,
    batches: mpsc::Sender<Vec<Bytes>>,
    refused: Arc<AtomicU64>,
}

impl Ring {
    pub(super) fn new(ring: RingBuf<MapData>, logger: Option<EbpfLogger<&'static dyn Log>>) -> Self {
        Self { ring, logger }
    }

    /// Starts the task; needs a tokio runtime.
    ///
    /// # Errors
    /// When the ring cannot be waited for.
    pub fn start(self) -> io::Result<Queue> {
        // SAFETY: the map's descriptor belongs to `ring`, which the AsyncFd owns: nothing closes or replaces it
        // while it is registered.
        let fd = unsafe { AsyncFd::register_with_interest(self.ring, Interest::READABLE) }
            .map_err(|error| error.into_parts().1)?;
        let (sender, batches) = mpsc::channel(QUEUE_BATCHES);
        let (stop, stopped) = oneshot::channel();
        let refused = Arc::new(AtomicU64::new(0));
        let task = Task { fd, logger: self.logger, batches: sender, refused: Arc::clone(&refused) };
        tokio::spawn(task.run(stopped));
        Ok(Queue { batches, refused, stop: Some(stop) })
    }
}

impl Queue {
    /// The next records; none once the task has been stopped and all is read.
    pub async fn next(&mut self) -> Option<Vec<Bytes>> {
        self.batches.recv().await
    }

    /// Records that did not fit, since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Asks the task to read the rest of the ring and end.
    pub fn stop(&mut self) {
        // The task may have ended by itself; then there is nothing to ask.
        let _ = self.stop.take().map(|stop| stop.send(()));
    }
}

impl Task {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                _ = &mut stopped => break,
                ready = self.fd.readable_mut() => {
                    let Ok(mut ready) = ready else { break };
                    let records = take(ready.get_inner_mut());
                    // The descriptor is edge-triggered: only an empty ring may clear its readiness.
                    if records.len() < BATCH_RECORDS {
                        ready.clear_ready();
                    }
                    self.offer(records);
                    tokio::task::yield_now().await;
                }
            }
            self.flush_log();
        }
        self.drain().await;
    }

    /// Hands records over, or counts them.
    fn offer(&self, records: Vec<Bytes>) {
        let count = records.len() as u64;
        if count > 0 && self.batches.try_send(records).is_err() {
            self.refused.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The rest. The programs are silent by now, so waiting for room loses nothing.
    async fn drain(&mut self) {
        loop {
            let records = take(self.fd.get_mut());
            let count = records.len() as u64;
            if count == 0 {
                break;
            }
            if self.batches.send(records).await.is_err() {
                self.refused.fetch_add(count, Ordering::Relaxed);
            }
        }
        self.flush_log();
    }

    fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }
}

/// Up to [`BATCH_RECORDS`] records, copied: dropping an item is what frees its place in the ring.
fn take(ring: &mut RingBuf<MapData>) -> Vec<Bytes> {
    let mut bytes = BytesMut::new();
    let mut records = Vec::new();
    while records.len() < BATCH_RECORDS {
        let Some(item) = ring.next() else { break };
        bytes.extend_from_slice(&item);
        records.push(bytes.split().freeze());
    }
    records
}
