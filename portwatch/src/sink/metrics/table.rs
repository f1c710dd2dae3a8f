//! Every metric: what it is called, what it means, what its series are told apart by.
//!
//! In: nothing. Out: [`METRICS`]. Names and labels are a contract: dashboards and alerts depend on them. Must not know:
//! values.

use prometheus_client::metrics::MetricType;

/// What its values do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They only grow, from the start of portwatch on.
    Counter,
    /// They come and go.
    Gauge,
}

impl Kind {
    /// The word of the formats.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }

    pub(super) fn of_library(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Without unit and suffix.
    pub(super) stem: &'static str,
    /// Behind the stem, where there is one.
    pub(super) unit: Option<&'static str>,
    /// What its values do.
    pub kind: Kind,
    /// What its series are told apart by; those without a value are left out.
    pub labels: &'static [&'static str],
    /// What it means: a sentence.
    pub help: &'static str,
}

impl Metric {
    /// The name of its series.
    #[must_use]
    pub fn name(&self) -> String {
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{suffix}", self.stem)
    }
}

/// What tells one place from another.
const PLACE: &[&str] = &["netns", "protocol", "source", "destination", "device"];

const fn counter(stem: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { stem, unit: None, kind: Kind::Counter, labels, help }
}

const fn gauge(stem: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { stem, unit: None, kind: Kind::Gauge, labels, help }
}

pub(super) const FAILURES: Metric = counter(
    "portwatch_failures",
    &["cause", "errno", "destination", "group"],
    "Failed calls, exactly, whether told in detail or not.",
);
pub(super) const BY_CAUSE: Metric =
    counter("portwatch_failures_by_cause", &["cause"], "The same failed calls, by cause alone.");
pub(super) const DELIVERED: Metric =
    counter("portwatch_delivered", &[], "Failed calls that were told in detail.");
pub(super) const SUPPRESSED: Metric = counter(
    "portwatch_suppressed",
    &[],
    "Failed calls that were counted and not told, as there were enough of their kind.",
);
pub(super) const LOST: Metric =
    counter("portwatch_lost", &["reason"], "Failed calls that were counted and whose detail was lost.");
pub(super) const SKIPPED: Metric = counter(
    "portwatch_skipped_runs",
    &[],
    "Runs of programs that the kernel skipped, or that came too late to see the call.",
);
pub(super) const USED: Metric =
    gauge("portwatch_ports_used", PLACE, "Local ports that are taken, where at least half are.");
pub(super) const BLOCKED: Metric = gauge(
    "portwatch_ports_blocked",
    PLACE,
    "Those of the taken ports that no new connection can have: without what may be taken over from TIME_WAIT.",
);
pub(super) const USABLE: Metric =
    gauge("portwatch_ports_usable", PLACE, "Local ports that could be had there if none was taken.");
pub(super) const EXHAUSTED_IN: Metric = Metric {
    unit: Some("seconds"),
    ..gauge(
        "portwatch_ports_exhausted_in",
        PLACE,
        "Time until no port is left there, at the growth of the last 15 seconds; absent where ports do not run out.",
    )
};
pub(super) const LEFT_OUT: Metric = counter(
    "portwatch_places_left_out",
    &[],
    "Places where at least half of the ports may be taken, and that found no room here; again at each look.",
);
pub(super) const CUT: Metric = counter(
    "portwatch_connections_cut",
    &[],
    "Connections to this endpoint that were closed before they were answered: too slow, or too many at once.",
);
pub(super) const BUILD: Metric =
    gauge("portwatch_build_info", &["version", "kernel"], "Always 1; who watches what.");
pub(super) const STARTED: Metric = Metric {
    unit: Some("seconds"),
    ..gauge("portwatch_start_time", &[], "When watching began, since 1970.")
};
pub(super) const CPU: Metric = Metric {
    unit: Some("seconds"),
    ..counter("process_cpu", &[], "Processor time that portwatch has taken.")
};
pub(super) const RESIDENT: Metric = Metric {
    unit: Some("bytes"),
    ..gauge("process_resident_memory", &[], "Memory that portwatch has in use.")
};
pub(super) const DESCRIPTORS: Metric = gauge("process_open_fds", &[], "Descriptors that portwatch has open.");

/// All of them, in the order in which they are told.
pub const METRICS: [&Metric; 17] = [
    &FAILURES,
    &BY_CAUSE,
    &DELIVERED,
    &SUPPRESSED,
    &LOST,
    &SKIPPED,
    &USED,
    &BLOCKED,
    &USABLE,
    &EXHAUSTED_IN,
    &LEFT_OUT,
    &CUT,
    &BUILD,
    &STARTED,
    &CPU,
    &RESIDENT,
    &DESCRIPTORS,
];
