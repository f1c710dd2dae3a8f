//! Threads that have begun when they are there.
//!
//! In: a name, what a thread begins with, and what it does then. Out: the thread. Must not know: what these are. Whoever
//! says that watching has begun may rely on it that each thread has given up what it does not need.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};

/// Starts a thread, and returns once `begin` is done in it.
///
/// # Errors
/// When the system gives no thread.
pub fn start<T: Send + 'static>(
    name: &str,
    begin: impl FnOnce() + Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let (tell, begun) = channel::<Infallible>();
    let thread = Builder::new().name(name.to_owned()).spawn(move || {
        begin();
        drop(tell);
        work()
    })?;
    let _ = begun.recv();
    Ok(thread)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[test]
    fn whoever_starts_a_thread_goes_on_when_it_has_begun_and_does_not_wait_for_its_work() {
        let has_begun = Arc::new(AtomicBool::new(false));
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let begins = Arc::clone(&has_begun);
        let begin = move || {
            std::thread::sleep(Duration::from_millis(20));
            begins.store(true, Ordering::Relaxed);
        };
        let thread = super::start("portwatch-test", begin, move || held.recv()).unwrap();
        assert!(has_begun.load(Ordering::Relaxed));
        let_go.send(()).unwrap();
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_thread_that_fails_at_its_beginning_holds_nobody_up() {
        let thread = super::start("portwatch-test", || panic!("at its beginning"), || ()).unwrap();
        assert!(thread.join().is_err());
    }
}
