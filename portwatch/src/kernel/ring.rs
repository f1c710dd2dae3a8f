//! The one task that reads the ring, and the queue behind it.
//!
//! In: the ring. Out: batches of its records. Whatever the reader of the queue does, the task goes on: what does not
//! fit is counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use log::Log;
use portwatch_ebpf::abi::FailureRecord;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::alarm::Alarm;
use super::records::Records;

/// Records taken from the ring before the task lets others run.
const BATCH_RECORDS: usize = 512;
/// How soon it looks again while there are records: programs wake the task for the first of them, and then not again for as
/// long as this (`WAKE_INTERVAL_NS`, portwatch-ebpf/src/report.rs).
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Where there are none, each pause is twice as long as the one before, up to this. A record that was begun while the task
/// was awake, and finished late, as its program was preempted, waits for no longer than it took.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_secs(4);
/// Bytes that wait for the reader: a minute of 500 failures a second. Records of other kinds may be larger.
const QUEUE_BYTES: usize = 32 * 1024 * size_of::<FailureRecord>();

/// The ring, read by nobody at the moment.
pub struct Ring {
    ring: RingBuf<MapData>,
    logger: Option<EbpfLogger<&'static dyn Log>>,
}

/// The reader's end.
pub struct Queue {
    batches: mpsc::UnboundedReceiver<Records>,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<Ring>>,
}

#[derive(Default)]
struct Shared {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Records of failures that did not fit, since the start.
    refused: AtomicU64,
    /// Other records that did not fit.
    refused_others: AtomicU64,
}

struct Task {
    fd: AsyncFd<RingBuf<MapData>>,
    alarm: Alarm,
    logger: Option<EbpfLogger<&'static dyn Log>>,
    batches: mpsc::UnboundedSender<Records>,
    shared: Arc<Shared>,
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
        let (sender, batches) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let task = Task {
            fd,
            alarm: Alarm::new()?,
            logger: self.logger,
            batches: sender,
            shared: Arc::clone(&shared),
        };
        let task = tokio::spawn(task.run(stopped));
        Ok(Queue { batches, shared, stop: Some(stop), task })
    }

    /// Records that are there now, at most a batch of them.
    pub fn take(&mut self) -> Records {
        flush(self.logger.as_mut());
        take(&mut self.ring)
    }
}

impl Queue {
    /// The next records; none once the task has ended and all that it took is read.
    pub async fn next(&mut self) -> Option<Records> {
        let records = self.batches.recv().await?;
        self.shared.waiting.fetch_sub(records.bytes(), Ordering::Relaxed);
        Some(records)
    }

    /// Records of failures that did not fit, since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Other records that did not fit, since the start.
    #[must_use]
    pub fn refused_others(&self) -> u64 {
        self.shared.refused_others.load(Ordering::Relaxed)
    }

    /// Asks the task to end; what it has taken stays in the queue.
    pub fn stop(&mut self) {
        // The task may have ended by itself; then there is nothing to ask.
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// The ring, once the task has ended, for whoever wants what is still in it.
    ///
    /// # Errors
    /// Why the task ended, if nobody asked it to.
    pub async fn into_ring(&mut self) -> io::Result<Ring> {
        (&mut self.task).await.map_err(io::Error::other)?
    }
}

impl Task {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> io::Result<Ring> {
        let mut look_in = LOOK_INTERVAL;
        loop {
            self.alarm.set(look_in)?;
            let is_woken = tokio::select! {
                _ = &mut stopped => break,
                gone_off = self.alarm.gone_off() => gone_off.map(|()| false)?,
                ready = self.fd.readable_mut() => {
                    ready?.clear_ready();
                    true
                }
            };
            // Woken for nothing it was where an earlier record is not finished.
            let is_busy = self.look().await || is_woken;
            look_in = if is_busy { LOOK_INTERVAL } else { (2 * look_in).min(IDLE_LOOK_INTERVAL) };
            flush(self.logger.as_mut());
        }
        Ok(Ring { ring: self.fd.into_inner(), logger: self.logger })
    }

    /// Takes what is there, in batches; whether there was anything.
    async fn look(&mut self) -> bool {
        let mut found = false;
        loop {
            let records = take(self.fd.get_mut());
            let more = records.lengths.len() == BATCH_RECORDS;
            found |= !records.is_empty();
            self.offer(records);
            if !more {
                return found;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Hands those records over that fit, and counts the others.
    fn offer(&self, mut records: Records) {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        let refused = records.shorten(QUEUE_BYTES.saturating_sub(waiting));
        self.refuse(&refused);
        if records.is_empty() {
            return;
        }
        self.shared.waiting.fetch_add(records.bytes(), Ordering::Relaxed);
        if let Err(SendError(records)) = self.batches.send(records) {
            self.shared.waiting.fetch_sub(records.bytes(), Ordering::Relaxed);
            self.refuse(&records.lengths);
        }
    }

    /// Counts records of these lengths, which nobody will read, told apart as `decode` does.
    fn refuse(&self, lengths: &[usize]) {
        let failures = lengths.iter().filter(|length| **length == size_of::<FailureRecord>()).count();
        self.shared.refused_others.fetch_add((lengths.len() - failures) as u64, Ordering::Relaxed);
        if failures > 0 && self.shared.refused.fetch_add(failures as u64, Ordering::Relaxed) == 0 {
            warn_beside();
        }
    }
}

/// Says what the output cannot, as nobody reads it. Nobody may read that either, and this task must go on: it is said by
/// a thread that the end of the process does not wait for.
fn warn_beside() {
    let warn = || {
        log::warn!(
            "the output is not read, or too slowly: the queue before it is full, and the detail of failures that \
             find no room is lost; they are counted, and the end says how many"
        );
    };
    if let Err(error) = std::thread::Builder::new().spawn(warn) {
        log::debug!("start a thread: {error}");
    }
}

fn flush(logger: Option<&mut EbpfLogger<&'static dyn Log>>) {
    if let Some(logger) = logger {
        logger.flush();
    }
}

/// Up to [`BATCH_RECORDS`] records, copied: dropping an item is what frees its place in the ring.
fn take(ring: &mut RingBuf<MapData>) -> Records {
    let mut records = Records::default();
    while records.lengths.len() < BATCH_RECORDS {
        let Some(item) = ring.next() else { break };
        records.push(&item);
    }
    records
}
