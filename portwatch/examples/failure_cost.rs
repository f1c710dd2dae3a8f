//! What a failure costs on its way through user space, from the bytes of its record to the sinks, which take nothing here.
//!
//! `valgrind --tool=callgrind target/release/examples/failure_cost 20000` counts the instructions; the difference
//! between two numbers of failures is that of so many failures.

use std::io;

use anyhow::{Context as _, Result};
use portwatch::decode;
use portwatch::diagnose::{Observer, Opinion};
use portwatch::enrich::Enricher;
use portwatch::event::Item;
use portwatch::pipeline;
use portwatch::sink::Sink;
use portwatch::source::Source;
use portwatch_ebpf::abi::{CALL_CONNECT, FailureKey, FailureRecord, PLACE_PORT_SEARCH, PROTOCOL_TCP};

/// As many records as are given, of some destinations and one process.
struct Records {
    left: u64,
    enricher: Enricher,
    records: Vec<[u8; size_of::<FailureRecord>()]>,
}

impl Source for Records {
    async fn next(&mut self) -> Result<Option<Item>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let number = usize::try_from(left)? % self.records.len();
        let mut item = decode::record(&self.records[number], 250).ok().context("no record")?;
        if let Item::Failure(failure) = &mut item {
            self.enricher.enrich(&mut failure.process, failure.at);
        }
        Ok(Some(item))
    }

    fn has_more(&self) -> bool {
        true
    }
}

struct Nothing;

impl Sink for Nothing {
    fn item(&mut self, item: &Item, opinions: &[Opinion]) -> io::Result<()> {
        std::hint::black_box((item, opinions));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn record(number: u16) -> [u8; size_of::<FailureRecord>()] {
    let address = |last| [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), u32::from_ne_bytes([10, 0, 0, last])];
    let record = FailureRecord {
        boot_ns: 5_000_000_000 + u64::from(number),
        cgroup_id: 77,
        search_ns: 0,
        key: FailureKey {
            start_boot_ns: 1_000_000_000,
            address: address(2),
            tgid: std::process::id(),
            netns: 4_026_531_840,
            port_be: (8000 + number).to_be(),
            errno: 99,
            place: PLACE_PORT_SEARCH,
            flags: 0,
            protocol: PROTOCOL_TCP,
            call: CALL_CONNECT,
        },
        source: address(1),
        comm: [u32::from_ne_bytes(*b"some"), u32::from_ne_bytes(*b"body"), 0, 0],
        tid: std::process::id(),
        uid: 1000,
        gid: 1000,
        source_port: 0,
        range_low: 32768,
        range_high: 60999,
        own_low: 0,
        own_high: 0,
        reserved: [0; 2],
    };
    // SAFETY: integers without padding (sizes asserted in abi.rs).
    unsafe { std::mem::transmute(record) }
}

fn main() -> Result<()> {
    let left = std::env::args().nth(1).context("how many failures?")?.parse()?;
    let records = (0..16).map(record).collect();
    let mut source = Records { left, enricher: Enricher::new("/proc", || {}), records };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("an item has {} bytes", size_of::<Item>());
    runtime.block_on(pipeline::run(&mut source, &mut Observer::default(), &mut [&mut Nothing]))
}
