//! Into a capture.
//!
//! In: items. Out: their lines, to a [`Recorder`], whose thread does the rest. Opinions are computed when they are read,
//! so they are not kept. Must not know: where the capture is.

use std::io;

use super::Sink;
use crate::capture::{Recorder, Sealer};
use crate::diagnose::Opinion;
use crate::event::Item;
use crate::lines::Encoder;

/// Keeps items.
pub struct Capture<'a> {
    recorder: &'a mut Recorder,
    encoder: Encoder,
    lines: Vec<u8>,
    /// To be asked for a copy after the first failure.
    on_failure: Option<Sealer>,
    /// Whether there was one.
    has_failed: bool,
}

impl<'a> Capture<'a> {
    /// Gives lines to `recorder`, which has the start already; after the first failure asks for a copy, if told to.
    pub fn new(recorder: &'a mut Recorder, seal_on_failure: bool) -> Self {
        let on_failure = seal_on_failure.then(|| recorder.sealer());
        Self { recorder, encoder: Encoder::default(), lines: Vec::new(), on_failure, has_failed: false }
    }
}

impl Sink for Capture<'_> {
    fn item(&mut self, item: &Item, _: &[Opinion]) -> io::Result<()> {
        self.lines.clear();
        self.encoder.item(item, &mut self.lines);
        match item {
            // Each part begins with it.
            Item::Start(_) => {}
            Item::Summary(_) | Item::End(_) => self.recorder.append_last(&self.lines),
            _ => self.recorder.append(&self.lines),
        }
        // Who held the ports comes a moment later, and shall be in the copy.
        self.has_failed |= matches!(item, Item::Failure(_));
        let is_known = self.has_failed && matches!(item, Item::Ports(_) | Item::Counts(_) | Item::Summary(_));
        if is_known && let Some(sealer) = self.on_failure.take() {
            sealer.seal("the first failure");
        }
        Ok(())
    }

    /// When lines reach the disk is for the recorder to say.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
