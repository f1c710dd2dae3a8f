//! A report as one object, schema 1 (`docs/json.md`, "report").
//!
//! In: the model. Out: one line. Rows of summaries are byte for byte those of the `summary` line, and verdicts those of
//! `verdict` lines. Written part by part, so that it is never in memory as a whole.

mod lines;

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::gaps::Gap;
use super::groups::{Sum, Top};
use super::model::{Model, Ranked};
use super::places::{PortUse, Use};
use super::said::Warning;
use super::series::Axis;
use super::session::{Ledger, Session};
use super::settings::{Change, First};
use super::timeline::Target;
use super::wall::{WallNs, Window};
use crate::clock::Clock;
use crate::diagnose::{Opinion, Path, Verdict};
use crate::event::{End, Item, LossReason, MissingWhy, Searches};
use crate::lines::Word as _;
use lines::{fields, text, value};

/// Readers depend on it; a change of meaning is a new number.
const SCHEMA: u32 = 1;
/// Rows of a summary that are in memory at once.
const CHUNK: usize = 256;

/// The whole of it.
pub(super) fn write(model: &Model<'_>, output: &mut dyn Write) -> io::Result<()> {
    write!(output, "{{\"type\":\"report\"")?;
    let mut part = |name: &str, part: Value| {
        write!(output, ",\"{name}\":")?;
        value(&part, output)
    };
    part("schema", json!(SCHEMA))?;
    part("portwatch", json!(env!("CARGO_PKG_VERSION")))?;
    part("files", model.files.iter().map(text).collect())?;
    if let Some(Window { from, to }) = model.window {
        let at = |time: Option<jiff::Timestamp>| time.map(|time| WallNs::from(time).rfc3339());
        let precision = u64::try_from(model.precision.as_nanos()).unwrap_or(u64::MAX);
        part("window", json!({ "from": at(from), "to": at(to), "precision_ns": precision }))?;
    }
    if let Some((first, last)) = model.span {
        part("first", json!(first.rfc3339()))?;
        part("last", json!(last.rfc3339()))?;
    }
    part("totals", ledger(&model.ledger))?;
    part("missing", missing(model))?;
    part("verdicts", verdicts(model))?;
    part("warnings", warnings(model))?;
    part("timeline", timeline(model))?;
    part("ports", ports(model))?;
    if let Some(groups) = &model.groups {
        let mut groups = fields(table(groups, |sum| {
            let mut of = host(model, sum.of.0);
            let name = model.group_by.word();
            // Those of the process that had most are those of all.
            let process = fields(lines::process(sum.most));
            let is_wanted =
                |field: &str| field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest == "_hex");
            of.extend(process.into_iter().filter(|(field, _)| is_wanted(field)));
            of
        }));
        groups.insert("by".to_owned(), json!(model.group_by.word()));
        part("groups", Value::Object(groups))?;
    }
    part(
        "programs",
        table(&model.programs, |sum| {
            let mut of = host(model, sum.of.host);
            lines::put(&mut of, "comm", sum.of.comm);
            sum.of.exe.into_iter().for_each(|exe| lines::put(&mut of, "exe", exe));
            of.insert("uid".to_owned(), json!(sum.of.uid));
            of
        }),
    )?;
    part(
        "processes",
        table(&model.processes, |sum| {
            let mut of = host(model, sum.of.0);
            of.insert("process".to_owned(), lines::process(sum.most));
            of
        }),
    )?;
    part("destinations", table(&model.destinations, |sum| target(Target::of(&sum.most.key.fault))))?;
    part(
        "namespaces",
        table(&model.namespaces, |sum| {
            let mut of = host(model, sum.of.0);
            of.insert("netns".to_owned(), json!(sum.of.1.0));
            of
        }),
    )?;
    part(
        "causes",
        table(&model.causes, |sum| fields(json!({ "cause": sum.of.0.name(), "errno": sum.of.1.name() }))),
    )?;
    part("settings", settings(model))?;
    part("searches", searches(model))?;
    write!(output, ",\"sessions\":[")?;
    for (index, one) in model.sessions.iter().enumerate() {
        if index > 0 {
            write!(output, ",")?;
        }
        session(model, one, output)?;
    }
    write!(output, "],\"sessions_left_out\":{}}}", model.sessions_left_out)?;
    writeln!(output)
}

fn host(model: &Model<'_>, number: u16) -> Map<String, Value> {
    let mut of = Map::new();
    if let Some(name) = model.hosts.get(usize::from(number)) {
        lines::put(&mut of, "host", name);
    }
    of
}

/// As the `end` of all sessions would be.
fn ledger(ledger: &Ledger) -> Value {
    let is_lost = |(reason, _): &(&LossReason, &u64)| **reason != LossReason::SkippedRun;
    let end = End {
        failures: ledger.failures,
        delivered: ledger.delivered,
        suppressed: ledger.suppressed,
        lost: ledger.lost.iter().filter(is_lost).map(|(reason, count)| (*reason, *count)).collect(),
        skipped_runs: ledger.lost.get(&LossReason::SkippedRun).copied(),
        possibly_missed: ledger.possibly_missed,
        no_room: ledger.no_room,
        sysctls_lost: ledger.sysctls_lost,
        lookups_unanswered: ledger.lookups_unanswered,
        watched: ledger.watched,
        ..End::default()
    };
    let mut value = fields(json!({ "exact": ledger.is_exact }));
    value.extend(lines::line(&Item::End(end)));
    Value::Object(value)
}

fn missing(model: &Model<'_>) -> Value {
    let gap = |gap: &Gap| {
        let mut value = fields(json!({ "why": gap.missing.why.word() }));
        if let MissingWhy::NotWritten(said) | MissingWhy::Unreadable(said) = &gap.missing.why {
            value.insert("said".to_owned(), json!(said));
        }
        if let MissingWhy::NewerSchema(schema) = gap.missing.why {
            value.insert("schema".to_owned(), json!(schema));
        }
        gap.missing.file.iter().for_each(|file| lines::put(&mut value, "file", file));
        value.extend(fields(json!({
            "times": gap.times, "lines": gap.missing.lines, "bytes": gap.missing.bytes,
        })));
        Value::Object(value)
    };
    json!({
        "gaps": model.gaps.all.iter().map(gap).collect::<Vec<_>>(),
        "further_gaps": model.gaps.further,
        "failures_without_time": model.untimed,
        "verdicts_left_out": model.sayings.verdicts_left_out,
        "warnings_left_out": model.sayings.warnings_left_out,
        "places_left_out": model.places_left_out,
        "changes_left_out": model.settings.changes_left_out,
        "summary_rows_left_out": model.summary_rows_left_out,
    })
}

fn clock(model: &Model<'_>, host: u16) -> Clock {
    let of_host = |session: &&Session| session.host == host;
    model.sessions.iter().rev().find(of_host).map_or_else(Clock::default, |session| session.clock)
}

fn verdicts(model: &Model<'_>) -> Value {
    let one = |ranked: &Ranked<'_>| {
        let said = ranked.said;
        // The line of the session that it was said in, but for the time of day, which follows below.
        // What it says is told here whether or not it was news at the time.
        let verdict = Verdict { is_news: true, ..said.verdict.clone() };
        let line = lines::opinion(&Opinion::Verdict(verdict), clock(model, said.host));
        let mut value = host(model, said.host);
        value.extend(line);
        value.insert("time".to_owned(), json!(said.last.rfc3339()));
        value.extend(fields(json!({
            "failures": ranked.failures,
            "failures_of_all_sources": ranked.is_of_all_sources,
            "said": said.times,
            "first": said.first.rfc3339(),
            "last": said.last.rfc3339(),
        })));
        Value::Object(value)
    };
    model.verdicts.iter().map(one).collect()
}

fn warnings(model: &Model<'_>) -> Value {
    let one = |(number, at, warning): &(u16, WallNs, Warning)| {
        let opinion = match warning {
            Warning::Pressure(pressure) => Opinion::Pressure(pressure.clone()),
            Warning::Slowness(slowness) => Opinion::Slowness(slowness.clone()),
        };
        let mut value = host(model, *number);
        value.extend(lines::opinion(&opinion, clock(model, *number)));
        value.insert("time".to_owned(), json!(at.rfc3339()));
        Value::Object(value)
    };
    model.sayings.warnings.iter().map(one).collect()
}

fn axis(axis: &Axis) -> Map<String, Value> {
    let (from, _) = axis.seconds();
    let from = WallNs(from.saturating_mul(1_000_000_000));
    fields(json!({ "from": from.rfc3339(), "interval_s": axis.width_s }))
}

fn target(target: Target) -> Map<String, Value> {
    let name = if target.is_bind { "source" } else { "destination" };
    let address = json!({ "address": target.address.ip().to_string(), "port": target.address.port() });
    fields(json!({ "protocol": target.protocol.word(), name: address }))
}

fn timeline(model: &Model<'_>) -> Value {
    let Some(chart) = &model.failures else { return json!({}) };
    let mut value = axis(&chart.axis);
    value.insert("failures".to_owned(), json!(chart.all));
    let one = |(of, sum, values): &(Target, u64, Vec<u64>)| {
        let mut value = target(*of);
        value.extend(fields(json!({ "count": sum, "failures": values })));
        Value::Object(value)
    };
    value.insert("destinations".to_owned(), chart.targets.iter().map(one).collect());
    let (sum, values) = &chart.others;
    value.insert(
        "others".to_owned(),
        json!({ "destinations": chart.more_targets, "count": sum, "failures": values }),
    );
    Value::Object(value)
}

fn ports(model: &Model<'_>) -> Value {
    let mut value = model.ports.as_ref().map(|chart| axis(&chart.axis)).unwrap_or_default();
    value.insert("snapshots".to_owned(), json!(model.snapshots));
    let one = |(index, (number, _, place)): (usize, &(u16, Path, &PortUse))| {
        let mut value = host(model, *number);
        value.extend(lines::place(place, clock(model, *number)));
        value.insert("time".to_owned(), json!(place.at.rfc3339()));
        if place.more_holders.0 > 0 {
            let (number, count) = place.more_holders;
            value.insert("more_holders".to_owned(), json!({ "number": number, "count": count }));
        }
        let line = model.ports.iter().flat_map(|chart| &chart.lines).find(|(line, _)| *line == index);
        if let Some((_, values)) = line {
            let known = |of: fn(&Use) -> u32| {
                values
                    .iter()
                    .map(|value| (value.usable > 0).then(|| of(value)))
                    .map(Value::from)
                    .collect::<Value>()
            };
            value.insert("used_over_time".to_owned(), known(|value| value.used));
            value.insert("usable_over_time".to_owned(), known(|value| value.usable));
        }
        Value::Object(value)
    };
    value.insert("places".to_owned(), model.places.iter().enumerate().map(one).collect());
    Value::Object(value)
}

fn table<'a, K>(top: &Top<'a, K>, of: impl Fn(&Sum<'a, K>) -> Map<String, Value>) -> Value {
    let one = |sum: &Sum<'a, K>| {
        let mut value = of(sum);
        value.extend(fields(json!({
            "count": sum.count,
            "processes": sum.processes,
            "first": sum.first.rfc3339(),
            "last": sum.last.rfc3339(),
        })));
        Value::Object(value)
    };
    json!({
        "rows": top.rows.iter().map(one).collect::<Vec<_>>(),
        "others": { "rows": top.more_rows, "count": top.more },
    })
}

fn settings(model: &Model<'_>) -> Value {
    let namespace = |first: &First| {
        let mut value = host(model, first.host);
        value.insert("time".to_owned(), json!(first.at.rfc3339()));
        value.extend(lines::namespace(&first.namespace));
        Value::Object(value)
    };
    let change = |change: &Change| {
        let mut value = host(model, change.host);
        let line = lines::line(&Item::Sysctl(change.change.clone()));
        value.extend(line);
        value.insert("time".to_owned(), json!(change.at.rfc3339()));
        if change.cut_bytes > 0 {
            value.insert("cut_bytes".to_owned(), json!(change.cut_bytes));
        }
        Value::Object(value)
    };
    json!({
        "namespaces": model.settings.namespaces.iter().map(namespace).collect::<Vec<_>>(),
        "changes": model.settings.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

fn searches(model: &Model<'_>) -> Value {
    let searches = Searches {
        rows: model.searches.iter().map(|row| (*row).clone()).collect(),
        other: *model.other_searches,
        unmeasured: model.unmeasured_searches,
    };
    let line = lines::line(&Item::Searches(searches));
    Value::Object(line)
}

/// With the rows of its summary as they were.
fn session(model: &Model<'_>, session: &Session, output: &mut dyn Write) -> io::Result<()> {
    let mut head = Map::new();
    if let Some(start) = &session.start {
        let line = lines::line(&Item::Start(start.clone()));
        head.extend(line.into_iter().filter(|(name, _)| name != "schema"));
    } else {
        head.extend(host(model, session.host));
    }
    head.insert("ended".to_owned(), json!(session.end.is_some()));
    head.insert("totals".to_owned(), ledger(&session.ledger(model.window)));
    let mut bytes = Vec::new();
    value(&Value::Object(head), &mut bytes)?;
    // The summary goes inside.
    output.write_all(bytes.strip_suffix(b"}").unwrap_or(&bytes))?;
    if let Some((_, other)) = session.summed {
        write!(output, ",\"summary\":{{\"rows\":[")?;
        for (index, some) in session.rows.chunks(CHUNK).enumerate() {
            if index > 0 {
                write!(output, ",")?;
            }
            output.write_all(&lines::rows(some, session.clock))?;
        }
        write!(output, "],\"other\":{other}}}")?;
    }
    write!(output, "}}")
}
