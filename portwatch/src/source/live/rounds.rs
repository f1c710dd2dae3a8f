//! How often it is looked what was lost: seldom where nothing happens, as each time wakes two threads.
//!
//! In: that something happens. Out: the next round. Must not know: what is done in one.

use std::io;
use std::time::{Duration, Instant};

use crate::kernel::Alarm;

/// Between two rounds while something happens,
const BUSY: Duration = Duration::from_millis(250);
/// and where nothing does: whatever is lost, or changed where it is read, is told within a second.
const IDLE: Duration = Duration::from_millis(800);

/// When the next one is.
pub(super) struct Rounds {
    alarm: Alarm,
    due: Instant,
    is_busy: bool,
}

impl Rounds {
    /// Begins; needs a tokio runtime.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(super) fn new() -> io::Result<Self> {
        let mut rounds = Self { alarm: Alarm::new()?, due: Instant::now(), is_busy: false };
        rounds.set(Instant::now() + BUSY)?;
        Ok(rounds)
    }

    /// Waits for the next round.
    ///
    /// # Errors
    /// When the kernel refuses a timer.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        self.alarm.gone_off().await?;
        let pause = if std::mem::take(&mut self.is_busy) { BUSY } else { IDLE };
        self.set(Instant::now() + pause)
    }

    /// Something happens: the next rounds are soon.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub(super) fn hasten(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_busy, true) {
            return Ok(());
        }
        self.not_after(Instant::now() + BUSY)
    }

    /// The next round is then at the latest.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub(super) fn not_after(&mut self, latest: Instant) -> io::Result<()> {
        if latest < self.due { self.set(latest) } else { Ok(()) }
    }

    fn set(&mut self, due: Instant) -> io::Result<()> {
        self.due = due;
        self.alarm.set(due.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BUSY, IDLE, Rounds};

    #[tokio::test]
    async fn rounds_are_seldom_until_something_happens_and_for_one_after() {
        let mut rounds = Rounds::new().unwrap();
        let begun = Instant::now();
        // What happens before a round, and how long the pause after it is.
        for (happens, expected) in [(false, IDLE), (true, BUSY), (false, IDLE)] {
            if happens {
                rounds.hasten().unwrap();
                let due = rounds.due;
                assert!(due <= Instant::now() + BUSY);
                rounds.hasten().unwrap();
                assert_eq!(rounds.due, due, "a storm does not put it off");
            }
            rounds.not_after(Instant::now() + Duration::from_millis(5)).unwrap();
            rounds.next().await.unwrap();
            let pause = rounds.due - Instant::now();
            assert!(pause <= expected && pause > expected - Duration::from_millis(200), "{pause:?}");
        }
        assert!(begun.elapsed() < BUSY, "a round was not hastened");
    }
}
