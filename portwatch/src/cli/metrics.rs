//! Where a live command tells its metrics.
//!
//! In: an address. Out: a sink, and a server that tells what the sink has. Must not know: which metrics there are.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::session::Pace;
use crate::enrich::usage;
use crate::http::{Listening, PATH, Page, Server};
use crate::privileges::{self, Duty};
use crate::sink::metrics::{Format, Metrics};
use crate::sink::{GroupBy, Sink};

/// How often exact counts are taken where anything fails: who scrapes each second sees what happened in it.
const COUNT: Duration = Duration::from_secs(1);
/// How often ports are looked at; less often if a look takes over half a second.
const LOOK: Duration = Duration::from_secs(5);

/// An address that is listened on; nobody is answered yet.
pub(super) struct Endpoint(Listening);

impl Endpoint {
    /// Listens there. Before anything is attached, as it may be refused.
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let listening = Listening::on(address).context("tell metrics")?;
        if !address.ip().is_loopback() {
            log::warn!(
                "metrics at {} are for everybody who reaches it: there is no encryption and no password",
                listening.address()
            );
        }
        Ok(Self(listening))
    }

    /// How often is looked for metrics, where they are told, and for what else is done.
    pub(super) fn pace(endpoint: Option<&Self>, pace: Pace) -> Pace {
        let sooner = |interval: Option<Duration>, limit| Some(interval.map_or(limit, |each| each.min(limit)));
        match endpoint {
            None => pace,
            Some(_) => Pace { look: sooner(pace.look, LOOK), count: sooner(pace.count, COUNT), ..pace },
        }
    }

    /// For the ready line.
    pub(super) fn words(endpoint: Option<&Self>) -> String {
        let words = |Self(listening): &Self| format!("metrics at http://{}{PATH}; ", listening.address());
        endpoint.map(words).unwrap_or_default()
    }

    /// Answers from now on. Before this thread gives up its privileges: the one that answers has others.
    pub(super) fn serve(self, by: GroupBy) -> Result<Served> {
        let cut = Arc::default();
        let (metrics, exposition) = Metrics::new(by, || usage(Path::new("/proc")), Arc::clone(&cut));
        let make = move |accept: Option<&str>| {
            let format = Format::wanted(accept);
            Some(Page { content_type: format.content_type(), text: exposition.told(format)? })
        };
        let server = self.0.serve(make, cut, only_answer).context("start a server for metrics")?;
        Ok(Served { metrics, _server: server })
    }
}

fn only_answer() {
    privileges::confine(&Duty::Answer);
}

/// Metrics that are told as long as this is there.
pub(super) struct Served {
    metrics: Metrics,
    _server: Server,
}

impl Served {
    /// What is to be told of.
    pub(super) fn sink(&mut self) -> &mut dyn Sink {
        &mut self.metrics
    }
}
