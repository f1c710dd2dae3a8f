//! Records failures as they would come, a thousand a second, until somebody kills it.
//!
//! `record_items FILE` says each on stdout once the recorder has it: its number, and when it was, in nanoseconds since boot.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};
use portwatch::capture::{Recorder, Target};
use portwatch::event::{BootNs, Item, Tid};
use portwatch::lines::Encoder;

use self::storm::Storm;

mod storm;

const EACH: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).context("into which file?")?;
    let mut storm = Storm::of(u64::MAX).filter(|item| matches!(item, Item::Start(_) | Item::Failure(_)));
    let (mut encoder, mut lines) = (Encoder::default(), Vec::new());
    encoder.item(&storm.next().context("a storm begins")?, &mut lines);
    let header = lines.clone();
    let nothing_is_lost = |_: &_| Vec::new();
    let mut recorder = Recorder::start(
        Target::file(Path::new(&path), false)?,
        move |_| header.clone(),
        nothing_is_lost,
        |_| (),
        |_| (),
    )?;
    let (mut stdout, began) = (std::io::stdout().lock(), Instant::now());
    for (number, item) in (1..).zip(storm) {
        let Item::Failure(mut failure) = item else { continue };
        failure.at = BootNs(Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?).as_nanos().try_into()?);
        failure.process.tid = Some(Tid(number));
        let at = failure.at.0;
        lines.clear();
        encoder.item(&Item::Failure(failure), &mut lines);
        recorder.append(&lines);
        writeln!(stdout, "{number} {at}").context("say what was recorded")?;
        std::thread::sleep((EACH * number).saturating_sub(began.elapsed()));
    }
    Ok(())
}
