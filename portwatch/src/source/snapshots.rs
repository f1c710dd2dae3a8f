//! Who holds the local ports, once or again and again.

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep_until;

use super::Source;
use super::survey::Survey;
use crate::event::Item;
use crate::ports::Query;

/// When to look again.
pub struct Again {
    /// From one look to the next.
    pub interval: Duration,
    /// Resolves when looking shall end.
    pub stop: Pin<Box<dyn Future<Output = Stop>>>,
}

/// Takes snapshots.
pub struct Snapshots {
    query: Query,
    survey: Survey,
    again: Option<Again>,
    /// When the next one is due; none before the first.
    due: Option<Instant>,
}

impl Snapshots {
    /// Of what `query` asks for; one, or until it is told to stop.
    #[must_use]
    pub fn new(query: Query, again: Option<Again>) -> Self {
        Self { query, survey: Survey::new(), again, due: None }
    }
}

impl Source for Snapshots {
    async fn next(&mut self) -> Result<Option<Item>> {
        let now = Instant::now();
        match (self.due, &mut self.again) {
            (None, _) => {}
            (Some(_), None) => return Ok(None),
            (Some(due), Some(again)) => tokio::select! {
                // A signal that came meanwhile goes first.
                biased;
                _ = &mut again.stop => return Ok(None),
                () = sleep_until(due.max(now).into()) => {}
            },
        }
        let interval = self.again.as_ref().map(|again| again.interval).unwrap_or_default();
        // What took longer than its interval is not made up for.
        self.due = Some(self.due.unwrap_or(now).max(now) + interval);
        // Without programs only what earlier snapshots saw is known.
        Ok(Some(Item::Ports(self.survey.take(&self.query, &|_| None)?)))
    }

    fn has_more(&self) -> bool {
        false
    }
}
