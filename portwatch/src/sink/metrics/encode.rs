//! From what is known to the lines of an exposition.
//!
//! In: a [`State`]. Out: its metrics, by the library, which knows the format and escapes what stands in labels. Must not
//! know: who asks.

use std::fmt::{Error, Result};
use std::time::Instant;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::failures::OVERFLOW;
use super::table::{self, Metric};
use super::{State, failures, places};
use crate::diagnose::{Forecast, Path};
use crate::event::{LossReason, Usage};
use crate::lines::Word as _;

/// At most so many series.
pub(super) const MOST: usize = 2000;
/// Metrics of a place.
const OF_A_PLACE: usize = 4;
/// Series that are always there: the causes, the reasons, and metrics without labels.
const FIXED: usize = 40;
const _: () = assert!(failures::MOST + 1 + places::MOST * OF_A_PLACE + FIXED <= MOST);

/// All metrics, at this instant.
pub(super) fn encode(
    state: &State,
    usage: &Usage,
    cut: u64,
    now: Instant,
    to: &mut DescriptorEncoder<'_>,
) -> Result {
    let failures = &state.failures;
    counters(to, &table::FAILURES, failures_by_kind(state))?;
    let causes = failures.by_cause.iter().map(|(cause, count)| (vec![cause.name().to_owned()], *count));
    counters(to, &table::BY_CAUSE, causes)?;
    counters(to, &table::DELIVERED, [(vec![], state.delivered)])?;
    counters(to, &table::SUPPRESSED, [(vec![], state.suppressed)])?;
    let is_detail = |reason: &&LossReason| **reason != LossReason::SkippedRun;
    let lost = |reason: LossReason| state.lost.get(&reason).copied().unwrap_or(0);
    let of_reason = |reason: &LossReason| (vec![reason.word().to_owned()], lost(*reason));
    counters(to, &table::LOST, LossReason::ALL.iter().filter(is_detail).map(of_reason))?;
    counters(to, &table::SKIPPED, [(vec![], lost(LossReason::SkippedRun))])?;
    places(state, now, to)?;
    counters(to, &table::CUT, [(vec![], cut)])?;
    let start = state.start.as_ref();
    gauges(to, &table::BUILD, start.map(|start| (vec![start.version.clone(), start.kernel.clone()], 1_u64)))?;
    gauges(to, &table::STARTED, start.map(|start| (vec![], start.unix_s)))?;
    counters(to, &table::CPU, usage.cpu.map(|time| (vec![], time.as_secs_f64())))?;
    gauges(to, &table::RESIDENT, usage.resident_bytes.map(|bytes| (vec![], bytes)))?;
    gauges(to, &table::DESCRIPTORS, usage.descriptors.map(|number| (vec![], number)))
}

fn failures_by_kind(state: &State) -> impl Iterator<Item = (Vec<String>, u64)> {
    let named = state.failures.by_kind.iter().map(|(kind, count)| {
        let destination = kind.destination.map(|address| address.to_string()).unwrap_or_default();
        let labels = [kind.cause.name().to_owned(), kind.errno.name(), destination, kind.group.clone()];
        (labels.into(), *count)
    });
    named.chain([(vec![OVERFLOW.to_owned(); table::FAILURES.labels.len()], state.failures.overflow)])
}

fn places(state: &State, now: Instant, to: &mut DescriptorEncoder<'_>) -> Result {
    let rows = |value: fn(&Forecast) -> u32| {
        state.places.at(now).map(move |(path, forecast)| (labels_of(path), value(forecast)))
    };
    gauges(to, &table::USED, rows(|forecast| forecast.used))?;
    gauges(to, &table::BLOCKED, rows(|forecast| forecast.blocked))?;
    gauges(to, &table::USABLE, rows(|forecast| forecast.usable))?;
    let full_in = state
        .places
        .at(now)
        .filter_map(|(path, forecast)| Some((labels_of(path), forecast.full_in?.as_secs_f64())));
    gauges(to, &table::EXHAUSTED_IN, full_in)?;
    counters(to, &table::LEFT_OUT, [(vec![], state.places.left_out())])
}

fn labels_of(path: &Path) -> Vec<String> {
    let protocol = if path.is_udp { "udp" } else { "tcp" };
    vec![
        path.netns.0.to_string(),
        protocol.to_owned(),
        path.source.map(|address| address.to_string()).unwrap_or_default(),
        path.destination.map(|address| address.to_string()).unwrap_or_default(),
        if path.device == 0 { String::new() } else { path.device.to_string() },
    ]
}

fn counters<V: EncodeCounterValue>(
    to: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    series: impl IntoIterator<Item = (Vec<String>, V)>,
) -> Result {
    family(to, metric, series.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value))))
}

fn gauges<V: EncodeGaugeValue>(
    to: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    series: impl IntoIterator<Item = (Vec<String>, V)>,
) -> Result {
    family(to, metric, series.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))))
}

/// A metric with its series: the values of its labels in their order, an empty one for one that it does not have.
fn family<M: EncodeMetric>(
    to: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    series: impl Iterator<Item = (Vec<String>, M)>,
) -> Result {
    let unit = metric.unit.map(|unit| Unit::Other(unit.to_owned()));
    let mut encoder =
        to.encode_descriptor(metric.stem, metric.help, unit.as_ref(), metric.kind.of_library())?;
    for (values, value) in series {
        if values.len() != metric.labels.len() {
            return Err(Error);
        }
        let labels: Vec<(&str, String)> =
            metric.labels.iter().copied().zip(values).filter(|(_, value)| !value.is_empty()).collect();
        if labels.is_empty() {
            // There is no other, as nothing would tell it apart.
            return value.encode(encoder);
        }
        value.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}
