//! The loop: the only place that knows the whole order.
//!
//! In: a source and sinks. Out: every item of the source in every sink, in order; what a sink shows of it includes
//! the diagnosis, computed there by `diagnose` from the item alone. Must not know: the kernel, files, arguments.

use anyhow::Result;

use crate::sink::Sink;
use crate::source::Source;

/// Runs until the source ends.
///
/// # Errors
/// Those of the source and of the first sink that fails.
pub async fn run(source: &mut impl Source, sinks: &mut [Box<dyn Sink>]) -> Result<()> {
    while let Some(item) = source.next().await? {
        for sink in &mut *sinks {
            sink.item(&item)?;
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
