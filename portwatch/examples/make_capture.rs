//! Writes a capture of a storm: `cargo run --release --example make_capture -- 10000000 storm.jsonl.zst`.
//!
//! It has all that `portwatch record` writes, one frame a second of the storm.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use portwatch::event::Item;
use portwatch::lines::Encoder;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use self::storm::Storm;

mod storm;

/// As in `portwatch record`.
const LEVEL: i32 = 3;
/// Lines of one frame, in bytes.
const FRAME_BYTES: usize = 1 << 20;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let failures: u64 = args.next().context("how many failures?")?.parse().context("how many failures?")?;
    let path = args.next().context("into which file?")?;
    let mut file = File::create(&path).with_context(|| format!("create {path}"))?;
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let (mut encoder, mut lines) = (Encoder::default(), Vec::new());
    for item in Storm::of(failures) {
        encoder.item(&item, &mut lines);
        if lines.len() >= FRAME_BYTES || matches!(item, Item::Counts(_) | Item::End(_)) {
            file.write_all(&compressor.compress(&lines)?).with_context(|| format!("write {path}"))?;
            lines.clear();
        }
    }
    Ok(())
}
