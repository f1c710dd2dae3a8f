//! What any recorder has to do: reads the ring of failures, copies them, and takes a checksum. Until it is interrupted.
//!
//! As root. What `portwatch record` spends beyond this is what it makes of a record.

use std::hash::{BuildHasher as _, Hasher as _};

use anyhow::{Result, anyhow};
use foldhash::fast::FixedState;
use portwatch::event::Filter;
use portwatch::kernel::{Tracer, Watch};
use tokio::signal::ctrl_c;

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<()> {
    let filter = Filter::default();
    let watch = Watch { detail_per_window: u32::MAX, ..Watch::new(&filter) };
    let mut tracer = Tracer::attach(&watch).map_err(|refused| anyhow!(refused.refusal))?;
    let mut queue = tracer.take_ring()?.start()?;
    tracer.start()?;
    eprintln!("portwatch: ready: reads the ring, and nothing else");
    let (mut copies, mut checksum, mut records) = (Vec::new(), FixedState::default().build_hasher(), 0_u64);
    let mut interrupted = Box::pin(ctrl_c());
    loop {
        let batch = tokio::select! {
            interrupted = &mut interrupted => { interrupted?; break; }
            batch = queue.next() => batch,
        };
        let Some(mut batch) = batch else { break };
        copies.clear();
        while let Some(record) = batch.pop() {
            copies.extend_from_slice(record);
            records += 1;
        }
        checksum.write(&copies);
    }
    println!("{records} records, checksum {:x}", checksum.finish());
    Ok(())
}
