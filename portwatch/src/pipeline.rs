//! The loop: the only place that knows the whole order.
//!
//! In: a source, an observer and sinks. Out: every item of the source in every sink, in order, each with what the
//! observer has to say of it. Must not know: the kernel, files, arguments.

use anyhow::Result;

use crate::diagnose::Observer;
use crate::sink::Sink;
use crate::source::Source;

/// Runs until the source ends.
///
/// # Errors
/// Those of the source and of the first sink that fails.
pub async fn run(
    source: &mut impl Source,
    observer: &mut Observer,
    sinks: &mut [&mut dyn Sink],
) -> Result<()> {
    while let Some(item) = source.next().await? {
        let opinions = observer.see(&item);
        for sink in &mut *sinks {
            sink.item(&item, &opinions)?;
        }
        // Under load many lines share one write.
        if !source.has_more() {
            for sink in &mut *sinks {
                sink.flush()?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    use anyhow::Result;

    use super::{Observer, run};
    use crate::diagnose::Opinion;
    use crate::event::{End, Item, Summary};
    use crate::sink::Sink;
    use crate::source::Source;

    /// Items, each with whether another one is ready when it is shown.
    struct Scripted(Vec<(Item, bool)>, bool);

    impl Source for Scripted {
        async fn next(&mut self) -> Result<Option<Item>> {
            if self.0.is_empty() {
                return Ok(None);
            }
            let (item, more) = self.0.remove(0);
            self.1 = more;
            Ok(Some(item))
        }

        fn has_more(&self) -> bool {
            self.1
        }
    }

    /// Writes down what it is told; refuses from the given item on.
    struct Diary(Rc<RefCell<Vec<&'static str>>>, usize);

    impl Sink for Diary {
        fn item(&mut self, item: &Item, _: &[Opinion]) -> io::Result<()> {
            if self.0.borrow().len() >= self.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0.borrow_mut().push(if matches!(item, Item::End(_)) { "end" } else { "summary" });
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.borrow_mut().push("flush");
            Ok(())
        }
    }

    fn told(refuse_from: usize) -> (Result<()>, Vec<&'static str>) {
        let summary = || Item::Summary(Summary::default());
        let items = vec![(summary(), true), (summary(), false), (Item::End(End::default()), false)];
        let diary = Rc::new(RefCell::new(Vec::new()));
        let mut sink = Diary(Rc::clone(&diary), refuse_from);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result =
            runtime.block_on(run(&mut Scripted(items, false), &mut Observer::default(), &mut [&mut sink]));
        (result, diary.take())
    }

    #[test]
    fn items_arrive_in_order_and_are_flushed_when_no_further_one_waits() {
        let (result, told) = told(usize::MAX);
        assert!(result.is_ok());
        assert_eq!(told, ["summary", "summary", "flush", "end", "flush"]);
    }

    #[test]
    fn a_sink_that_refuses_ends_it_with_its_error() {
        let (result, told) = told(1);
        let error = result.unwrap_err();
        assert_eq!(error.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
        assert_eq!(told, ["summary"]);
    }
}
