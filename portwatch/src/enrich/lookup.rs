//! Threads that look things up, and are not waited for when that takes too long.
//!
//! In: questions. Out: what was found until a deadline; later all of it. Must not know: what is asked, and where it is
//! looked up. A file of /proc may make its reader wait for as long as a process likes, and nothing can wake it then.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::thread;

/// How long an answer is waited for. Usually it takes some ten microseconds.
const DEADLINE: Duration = Duration::from_millis(100);
/// Threads. As many may hang; then nothing is looked up until one of them comes back.
pub(super) const READERS: usize = 4;
/// Of each of them.
const NAME: &str = "portwatch-lookup";

/// What is found, as it is found.
pub(super) struct Slip<A> {
    found: Mutex<Found<A>>,
    is_complete: Condvar,
}

struct Found<A> {
    answer: A,
    is_complete: bool,
}

impl<A: Clone> Slip<A> {
    fn new(answer: A) -> Arc<Self> {
        let found = Mutex::new(Found { answer, is_complete: false });
        Arc::new(Self { found, is_complete: Condvar::new() })
    }

    /// This is known by now.
    pub(super) fn note(&self, answer: A) {
        locked(&self.found).answer = answer;
    }

    /// All of it, if all of it is there.
    pub(super) fn complete(&self) -> Option<A> {
        let found = locked(&self.found);
        found.is_complete.then(|| found.answer.clone())
    }

    /// What there is of it.
    pub(super) fn so_far(&self) -> A {
        locked(&self.found).answer.clone()
    }

    /// Waits for all of it; what is known when the time is over is the error.
    pub(super) fn wait(&self) -> Result<A, A> {
        let found = locked(&self.found);
        let waited = self.is_complete.wait_timeout_while(found, DEADLINE, |found| !found.is_complete);
        let (found, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if found.is_complete { Ok(found.answer.clone()) } else { Err(found.answer.clone()) }
    }

    fn end(&self) {
        locked(&self.found).is_complete = true;
        self.is_complete.notify_all();
    }
}

/// Looks something up, and notes what it finds.
pub(super) type Look<Q, A> = dyn Fn(Q, &Slip<A>) + Send + Sync;

/// A question on its way.
type Asked<Q, A> = (Q, Arc<Slip<A>>);

/// The threads, which end when nobody asks any more.
pub(super) struct Readers<Q, A> {
    questions: SyncSender<Asked<Q, A>>,
}

impl<Q, A> Clone for Readers<Q, A> {
    fn clone(&self) -> Self {
        Self { questions: self.questions.clone() }
    }
}

impl<Q: Send + 'static, A: Clone + Send + 'static> Readers<Q, A> {
    /// Starts the first, which begins with `confine`, and starts the others when there is something to look up: they inherit
    /// what that has left it. Those that cannot be started are missing, which is said.
    pub(super) fn start(look: &Arc<Look<Q, A>>, confine: fn()) -> Self {
        let (questions, receiver) = sync_channel(READERS);
        let receiver = Arc::new(Mutex::new(receiver));
        let look = Arc::clone(look);
        let work = move || {
            let Ok((question, slip)) = locked(&receiver).recv() else { return };
            for _ in 1..READERS {
                let (look, receiver) = (Arc::clone(&look), Arc::clone(&receiver));
                let another = move || read(&*look, &receiver);
                say_if_missing(Builder::new().name(NAME.to_owned()).spawn(another));
            }
            look(question, &slip);
            slip.end();
            read(&*look, &receiver);
        };
        say_if_missing(thread::start(NAME, confine, work));
        Self { questions }
    }

    /// Asks; `known` is what is known before. None where so many questions wait that nobody will answer soon.
    pub(super) fn ask(&self, question: Q, known: A) -> Option<Arc<Slip<A>>> {
        let slip = Slip::new(known);
        self.questions.try_send((question, Arc::clone(&slip))).ok()?;
        Some(slip)
    }
}

fn say_if_missing(thread: io::Result<JoinHandle<()>>) {
    if let Err(error) = thread {
        log::warn!("start a thread that looks up processes: {error}");
    }
}

/// One thread: answers until nobody asks any more.
fn read<Q, A: Clone>(look: &Look<Q, A>, questions: &Mutex<Receiver<Asked<Q, A>>>) {
    loop {
        // One of them waits for a question, the others for this lock.
        let next = locked(questions).recv();
        let Ok((question, slip)) = next else { return };
        look(question, &slip);
        slip.end();
    }
}

/// What a thread that panicked left is as good as what one left that hangs.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::{Look, READERS, Readers, Slip};

    /// Doubles numbers at once, and makes who asks about an odd one wait.
    fn doubling() -> (Readers<u32, u32>, Sender<()>) {
        let (let_go, held) = channel();
        let held = Mutex::new(held);
        let look = move |number: u32, slip: &Slip<u32>| {
            slip.note(number);
            if number % 2 == 1 {
                held.lock().unwrap().recv().unwrap();
            }
            slip.note(number * 2);
        };
        let look: Arc<Look<u32, u32>> = Arc::new(look);
        (Readers::start(&look, || {}), let_go)
    }

    #[test]
    fn what_hangs_is_not_waited_for_and_its_answer_is_there_when_it_comes() {
        let (readers, let_go) = doubling();
        let late = readers.ask(7, 0).unwrap();
        assert_eq!(late.wait(), Err(7), "what was known by then");
        assert_eq!(late.complete(), None);
        assert_eq!(readers.ask(4, 0).unwrap().wait(), Ok(8), "another one takes over");
        let_go.send(()).unwrap();
        assert_eq!(late.wait(), Ok(14));
        assert_eq!(late.complete(), Some(14));
    }

    #[test]
    fn when_all_hang_nobody_is_asked_for_long_and_one_that_comes_back_answers() {
        let (readers, let_go) = doubling();
        let hung: Vec<_> = (0..READERS).map(|_| readers.ask(1, 0).unwrap()).collect();
        assert!(hung.iter().all(|slip| slip.wait().is_err()));
        // On a busy host the last of them may still be on their way to a thread.
        let ask = || std::iter::repeat_with(|| readers.ask(2, 0)).find_map(|slip| slip);
        let waiting: Vec<_> = (0..READERS).map(|_| ask().unwrap()).collect();
        assert!(readers.ask(2, 0).is_none(), "no room for more questions");
        assert_eq!(waiting[0].wait(), Err(0));
        let_go.send(()).unwrap();
        assert!(waiting.iter().all(|slip| (0..100).any(|_| slip.wait() == Ok(4))));
        (1..READERS).for_each(|_| let_go.send(()).unwrap());
    }
}
