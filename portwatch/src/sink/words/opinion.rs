//! What explains a shortage, and whether one is near, as JSON.
//!
//! In: opinions. Out: lines. Must not know: what else stands in a document.

use std::io;

use serde::Serialize as _;
use serde_json::{Map, Serializer, Value, json};

use crate::clock::Clock;
use crate::diagnose::{
    Advice, Diagnosis, Forecast, How, Opinion, Path, Pressure, Sight, Slowness, Standing, Verdict,
};
use crate::event::{BootNs, RecentSearch};
use crate::lines::Visible;

/// Appends the line of an opinion, if it has one.
pub(in crate::sink) fn write(opinion: &Opinion, clock: Clock, out: &mut Vec<u8>) -> io::Result<()> {
    if let Some(line) = line(opinion, clock) {
        line.serialize(&mut Serializer::with_formatter(&mut *out, Visible))?;
        out.push(b'\n');
    }
    Ok(())
}

/// The line of an opinion; none for a verdict that says what the one before did, and for a forecast of a row that does
/// not change.
pub(in crate::sink) fn line(opinion: &Opinion, clock: Clock) -> Option<Value> {
    let (kind, at, path, rest) = match opinion {
        Opinion::Verdict(verdict) if verdict.is_news => {
            ("verdict", verdict.at, &verdict.path, self::verdict(verdict))
        }
        Opinion::Verdict(_) => return None,
        Opinion::Pressure(pressure) => {
            let Pressure { at, path, is_over, .. } = pressure;
            (kind(*is_over), *at, path, signal("ports", self::pressure(pressure)))
        }
        Opinion::Slowness(Slowness { at, path, is_over, search }) => {
            (kind(*is_over), *at, path, signal("search_time", recent_search(search)))
        }
        Opinion::Forecast { at, path, forecast }
            if forecast.growth_per_s.is_some_and(|growth| growth != 0.0) =>
        {
            ("forecast", *at, path, self::forecast(forecast))
        }
        Opinion::Forecast { .. } => return None,
    };
    let mut line = object(json!({ "type": kind }));
    line.extend(place(at, path, clock));
    line.extend(rest);
    Some(Value::Object(line))
}

fn kind(is_over: bool) -> &'static str {
    if is_over { "recovered" } else { "warning" }
}

/// By what it was noticed comes first.
fn signal(name: &str, rest: Map<String, Value>) -> Map<String, Value> {
    let mut fields = object(json!({ "signal": name }));
    fields.extend(rest);
    fields
}

/// When, and what has ports of its own.
fn place(at: BootNs, path: &Path, clock: Clock) -> Map<String, Value> {
    let protocol = if path.is_udp { "udp" } else { "tcp" };
    let mut place = object(json!({
        "time": clock.rfc3339(at),
        "monotonic_ns": at.0,
        "netns": path.netns.0,
        "protocol": protocol,
    }));
    if let Some(source) = path.source {
        place.insert("source".to_owned(), json!(source.to_string()));
    }
    if let Some(destination) = path.destination {
        let endpoint = json!({ "address": destination.ip().to_string(), "port": destination.port() });
        place.insert("destination".to_owned(), endpoint);
    }
    if path.device != 0 {
        place.insert("device".to_owned(), json!(path.device));
    }
    place
}

fn recent_search(RecentSearch { count, slow, average, .. }: &RecentSearch) -> Map<String, Value> {
    let average_ns = u64::try_from(average.as_nanos()).unwrap_or(u64::MAX);
    object(json!({ "count": count, "slow": slow, "average_ns": average_ns }))
}

fn verdict(verdict: &Verdict) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(cause) = verdict.cause {
        fields.insert("cause".to_owned(), json!(cause.name()));
    }
    fields.insert("diagnoses".to_owned(), verdict.diagnoses.iter().map(diagnosis).collect());
    fields
}

fn diagnosis(Diagnosis { rule, evidence, advice }: &Diagnosis) -> Value {
    json!({
        "rule": rule,
        "explains_permille": evidence.weight_permille,
        "sentence": evidence.sentence,
        "fragment": evidence.fragment,
        "advice": advice.iter().map(self::advice).collect::<Vec<_>>(),
    })
}

fn advice(Advice { what, standing }: &Advice) -> Value {
    let (standing, rest) = match standing {
        Standing::Helps { how, gain, cost } => {
            let (kind, how) = match how {
                How::Command(how) => ("command", how.as_str()),
                How::Code(how) => ("code", *how),
                How::Arrangement(how) => ("arrangement", how.as_str()),
            };
            let mut rest = object(json!({ kind: how, "gain": gain }));
            if let Some(cost) = cost {
                rest.insert("cost".to_owned(), json!(cost));
            }
            ("helps", rest)
        }
        Standing::NotHere { why } => ("not_here", object(json!({ "why": why }))),
        Standing::Harms { why } => ("harms", object(json!({ "why": why }))),
    };
    let mut value = object(json!({ "advice": what, "standing": standing }));
    value.extend(rest);
    Value::Object(value)
}

fn pressure(Pressure { sight, forecast, .. }: &Pressure) -> Map<String, Value> {
    let mut fields = self::forecast(forecast);
    let known = match sight {
        Sight::Row => None,
        Sight::LeftOut => Some("at_most"),
        Sight::Gone => Some("gone"),
    };
    fields.extend(known.map(|name| (name.to_owned(), json!(true))));
    fields
}

fn forecast(forecast: &Forecast) -> Map<String, Value> {
    let Forecast {
        used,
        blocked,
        usable,
        growth_per_s,
        ends_per_s,
        full_in,
        levels_off_at,
        time_wait_over_in,
    } = *forecast;
    let mut fields = object(json!({ "used": used, "usable": usable, "ends_per_s": rounded(ends_per_s) }));
    let known = [
        ("blocked", (blocked != used).then(|| Value::from(blocked))),
        ("growth_per_s", growth_per_s.map(rounded)),
        ("full_in_s", full_in.map(|time| rounded(time.as_secs_f64()))),
        ("levels_off_at", levels_off_at.map(Value::from)),
        ("time_wait_over_in_s", time_wait_over_in.map(|time| Value::from(time.as_secs()))),
    ];
    fields.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    fields
}

/// To a tenth.
fn rounded(number: f64) -> Value {
    json!((number * 10.0).round() / 10.0)
}

/// The fields of a `json!` object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
