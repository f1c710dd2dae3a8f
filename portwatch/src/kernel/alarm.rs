//! Wakes whoever waits, at a time.
//!
//! In: a pause. Out: its end. A timer of tokio ends in two or three steps, each of which wakes its thread, and to set one
//! from another thread wakes it once more: too often for a process that is to sleep.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timer::TimerSetTimeFlags;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One at a time.
pub struct Alarm(AsyncFd<Timer>);

struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// Not set; needs a tokio runtime.
    ///
    /// # Errors
    /// When the kernel has no more timers or descriptors.
    pub fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        Ok(Self(register(Timer(timer))?))
    }

    /// Sets it to go off after this pause, and not when it was set to before.
    ///
    /// # Errors
    /// When the kernel refuses, which it does not for a timer of its own.
    pub fn set(&self, pause: Duration) -> io::Result<()> {
        // A pause of zero would unset it.
        let pause = TimeSpec::from_duration(pause.max(Duration::from_nanos(1)));
        Ok(self.0.get_ref().0.set(Expiration::OneShot(pause), TimerSetTimeFlags::empty())?)
    }

    /// Waits until it goes off; for ever if it is not set.
    ///
    /// # Errors
    /// When the runtime has ended.
    pub async fn gone_off(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            // Set again meanwhile, it has not.
            let went_off = ready.try_io(|timer| Ok(timer.get_ref().0.wait()?));
            if let Ok(went_off) = went_off {
                return went_off;
            }
        }
    }
}

fn register(timer: Timer) -> io::Result<AsyncFd<Timer>> {
    // SAFETY: the AsyncFd owns the descriptor: nothing closes or replaces it while it is registered.
    unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }
        .map_err(|error| error.into_parts().1)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::time::timeout;

    use super::Alarm;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn it_goes_off_once_when_it_was_set_to_last() {
        let alarm = Alarm::new().unwrap();
        for before in [LONG, Duration::ZERO] {
            alarm.set(before).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            let since = Instant::now();
            alarm.set(SHORT).unwrap();
            alarm.gone_off().await.unwrap();
            assert!(since.elapsed() >= SHORT, "{before:?}: {:?}", since.elapsed());
            assert!(timeout(SHORT, alarm.gone_off()).await.is_err(), "{before:?}: it goes off again");
        }
    }
}
