//! Who holds the local ports, once or again and again; then also which settings of the own namespace were changed
//! meanwhile.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep_until;

use super::clocks::now;
use super::own_settings::OwnSettings;
use super::survey::Survey;
use super::{Source, Stop};
use crate::enrich::Enricher;
use crate::event::Item;
use crate::ports::{Netns, Query};

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
    /// What settings were at the last look; none where they are not looked at.
    settings: Option<OwnSettings>,
    items: VecDeque<Item>,
}

impl Snapshots {
    /// Of what `query` asks for; one, or until it is told to stop. Who somebody is `enricher` finds out.
    #[must_use]
    pub fn new(query: Query, again: Option<Again>, enricher: Enricher) -> Self {
        let looks_at_own = again.is_some() && matches!(query.netns, Netns::Own | Netns::All);
        let settings = looks_at_own.then(OwnSettings::new).flatten();
        Self { query, survey: Survey::new(enricher), again, due: None, settings, items: VecDeque::new() }
    }
}

impl Source for Snapshots {
    async fn next(&mut self) -> Result<Option<Item>> {
        if let Some(item) = self.items.pop_front() {
            return Ok(Some(item));
        }
        let at = Instant::now();
        match (self.due, &mut self.again) {
            (None, _) => {}
            (Some(_), None) => return Ok(None),
            (Some(due), Some(again)) => tokio::select! {
                // A signal that came meanwhile goes first.
                biased;
                _ = &mut again.stop => return Ok(None),
                () = sleep_until(due.max(at).into()) => {}
            },
        }
        let interval = self.again.as_ref().map(|again| again.interval).unwrap_or_default();
        // What took longer than its interval is not made up for.
        let due = self.due.replace(self.due.unwrap_or(at).max(at) + interval);
        // The first snapshot comes first of all.
        if let (Some(_), Some(settings)) = (due, &mut self.settings) {
            self.items.extend(settings.changes(now()).into_iter().map(Item::Sysctl));
        }
        // Without programs only what earlier snapshots saw is known.
        self.items.push_back(Item::Ports(self.survey.take(&self.query, &|_| None)?));
        Ok(self.items.pop_front())
    }

    fn has_more(&self) -> bool {
        !self.items.is_empty()
    }
}
