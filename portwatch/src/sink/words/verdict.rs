//! What explains a shortage and what helps, and whether one is near.
//!
//! In: opinions. Out: lines. What processes chose is escaped here, as sentences have it as it is.

use std::fmt::Write as _;
use std::time::Duration;

use super::{held_by, short, states};
use crate::diagnose::{Advice, Diagnosis, Forecast, How, Path, Pressure, Sight, Slowness, Standing, Verdict};
use crate::event::{BootNs, Occupancy};
use crate::term::{Paint, clean};

/// Shortages that are explained in full at the end.
const EXPLAINED: usize = 5;

/// At once, in the stream: why, who has the ports, what to try first.
pub(in crate::sink) fn in_short(
    verdict: &Verdict,
    row: Option<&Occupancy>,
    time: &str,
    paint: Paint,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{}", paint.strong(&heading(verdict, time)));
    for diagnosis in &verdict.diagnoses {
        let _ = writeln!(text, "  why:   {}", sentence(diagnosis));
    }
    if let Some(row) = row {
        let _ = writeln!(
            text,
            "  ports: {} of {} taken: {}; held by {}",
            row.used,
            row.usable,
            states(row),
            held_by(&row.holders)
        );
    }
    let helps = |advice: &&Advice| matches!(advice.standing, Standing::Helps { .. });
    if let Some(first) = verdict.diagnoses.iter().flat_map(|diagnosis| &diagnosis.advice).find(helps) {
        let _ = writeln!(text, "  try:   {}; more at the end", clean(first.what.as_bytes()));
    }
    text
}

/// Everything that is to be said of some shortages, the first of them; of those that are left out how many.
pub(in crate::sink) fn in_full(
    verdicts: &[Verdict],
    time_of_day: impl Fn(BootNs) -> String,
    paint: Paint,
) -> String {
    let mut text = String::new();
    for verdict in verdicts.iter().take(EXPLAINED) {
        text.push_str(&one_in_full(verdict, &time_of_day(verdict.at), paint));
        text.push('\n');
    }
    if let Some(more @ 1..) = verdicts.len().checked_sub(EXPLAINED) {
        let _ = writeln!(text, "… and {more} more; --json has all");
    }
    text
}

/// Everything that is to be said of one.
pub(in crate::sink) fn one_in_full(verdict: &Verdict, time: &str, paint: Paint) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}", paint.strong(&heading(verdict, time)));
    for diagnosis in &verdict.diagnoses {
        let _ = writeln!(text, "  {}", sentence(diagnosis));
    }
    for (heading, wanted) in GROUPS {
        let all = verdict.diagnoses.iter().flat_map(|diagnosis| &diagnosis.advice);
        let advice: Vec<&Advice> = all.filter(|advice| wanted(&advice.standing)).collect();
        if !advice.is_empty() {
            let _ = writeln!(text, "  {}", paint.faint(heading));
        }
        advice.iter().for_each(|advice| text.push_str(&lines(advice)));
    }
    text
}

/// Why, when, where.
fn heading(verdict: &Verdict, time: &str) -> String {
    let cause = verdict.cause.map_or("ports are short", |cause| cause.name());
    let who = verdict.process.map_or_else(String::new, |tgid| format!(" (last: pid {})", tgid.0));
    format!("{time} {cause} {}{who}", place(&verdict.path))
}

/// A heading, and what stands below it.
pub(in crate::sink) type Group = (&'static str, fn(&Standing) -> bool);

/// Advice by what became of it, each with its heading.
pub(in crate::sink) const GROUPS: [Group; 3] = [
    ("what helps here", |standing| matches!(standing, Standing::Helps { .. })),
    ("what does not help here", |standing| matches!(standing, Standing::NotHere { .. })),
    ("what harms, though it is often advised", |standing| matches!(standing, Standing::Harms { .. })),
];

fn lines(Advice { what, standing }: &Advice) -> String {
    match standing {
        Standing::NotHere { why } | Standing::Harms { why } => {
            format!("    {what}: {}\n", clean(why.as_bytes()))
        }
        Standing::Helps { how, gain, cost } => {
            let how = match how {
                How::Command(how) | How::Arrangement(how) => how.as_str(),
                How::Code(how) => how,
            };
            let mut text = format!("    {what}\n      how:  {}\n", clean(how.as_bytes()));
            let _ = writeln!(text, "      gain: {}", clean(gain.as_bytes()));
            if let Some(cost) = cost {
                let _ = writeln!(text, "      but:  {}", clean(cost.as_bytes()));
            }
            text
        }
    }
}

/// As a sentence of its own.
pub(in crate::sink) fn sentence(diagnosis: &Diagnosis) -> String {
    clean(diagnosis.evidence.sentence.as_bytes())
}

/// A warning, or that its reason is over.
pub(in crate::sink) fn pressure(pressure: &Pressure, time: &str, paint: Paint) -> String {
    let Pressure { path, is_over, sight, forecast, .. } = pressure;
    let at_most = match sight {
        Sight::Row => "",
        Sight::LeftOut => "at most ",
        Sight::Gone => {
            return format!("recovered: {time} the ports {} are gone, as the namespace is", place(path));
        }
    };
    let word = if *is_over { "recovered" } else { "warning" };
    let Forecast { used, blocked, usable, .. } = forecast;
    let percent = u64::from(*blocked) * 100 / u64::from((*usable).max(1));
    let free = match used.saturating_sub(*blocked) {
        0 => String::new(),
        free => format!("; {free} of them, in TIME_WAIT, may be taken over and do not count"),
    };
    let text = format!(
        "{word}: {time} {at_most}{percent}% of the ports {} are taken ({used} of {usable}{free}){}",
        place(path),
        outlook(forecast)
    );
    if *is_over { text } else { paint.strong(&text) }
}

/// A warning that connect() takes long, or that it no longer does.
pub(in crate::sink) fn slowness(slowness: &Slowness, time: &str, paint: Paint) -> String {
    let Slowness { path, is_over, search, .. } = slowness;
    if *is_over {
        return format!("recovered: {time} connect() {} finds its port fast again", place(path));
    }
    let text = format!(
        "warning: {time} connect() {} takes {} on average to find a port ({} of {} searches took 100 µs or longer): as \
         when half of the range is used up there, long before one fails",
        place(path),
        short(search.average),
        search.slow,
        search.count
    );
    paint.strong(&text)
}

/// What is to be expected, if that is worth a line: where half is taken, or all will be within minutes.
pub(in crate::sink) fn forecast(path: &Path, forecast: &Forecast) -> Option<String> {
    const NEAR: Duration = Duration::from_secs(600);
    let is_half = forecast.used * 2 >= forecast.usable;
    let outlook = outlook(forecast);
    let is_near = forecast.full_in.is_some_and(|time| time < NEAR);
    (!outlook.is_empty() && (is_half || is_near)).then(|| format!("{}{outlook}", place(path)))
}

/// Clauses to append.
fn outlook(forecast: &Forecast) -> String {
    let mut text = String::new();
    if let Some(growth) = forecast.growth_per_s.filter(|growth| growth.abs() >= 0.1) {
        let (verb, growth) = if growth > 0.0 { ("grows by", growth) } else { ("shrinks by", -growth) };
        let _ = write!(text, "; {verb} {growth:.1}/s");
    }
    match forecast.full_in {
        Some(Duration::ZERO) => text.push_str("; none is left"),
        Some(time) => _ = write!(text, "; at this rate none is left in {}", lasting(time)),
        None => {}
    }
    if let Some(level) = forecast.levels_off_at {
        let _ = write!(text, "; levels off at about {level}, where as many leave TIME_WAIT as enter it");
    }
    if let Some(time) = forecast.time_wait_over_in {
        let _ = write!(text, "; those in TIME_WAIT now are gone in {}", lasting(time));
    }
    text
}

fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// From where to where.
pub(in crate::sink) fn place(path: &Path) -> String {
    let protocol = if path.is_udp { "of UDP " } else { "" };
    let device = if path.device == 0 { String::new() } else { format!(" (interface {})", path.device) };
    let netns = path.netns.0;
    match (path.source, path.destination) {
        (Some(source), Some(destination)) => {
            format!("{protocol}from {source} to {destination}{device} in netns {netns}")
        }
        (Some(source), None) => format!("{protocol}for bind() to {source} in netns {netns}"),
        (None, Some(destination)) => format!("{protocol}to {destination}{device} in netns {netns}"),
        (None, None) => format!("{protocol}wherever a socket goes in netns {netns}"),
    }
}

#[cfg(test)]
mod tests;
