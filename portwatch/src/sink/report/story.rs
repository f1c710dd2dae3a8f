//! What happened in one sentence, and what is missing in as many as it takes.
//!
//! In: the model. Out: sentences for people; what strangers chose is escaped. Must not know: whether they stand on a
//! terminal or in a page.

use super::NAMED_HOSTS as HOSTS;
use super::dial::Dial;
use super::model::Model;
use super::session::Session;
use super::wall::WallNs;
use crate::diagnose::{Cause, counted, grouped, lasting};
use crate::event::{LossReason, Missing, MissingWhy};
use crate::sink::words::{full_tables, reason_words, unanswered};
use crate::term::clean;

/// What happened.
pub(super) fn sentence(model: &Model<'_>, dial: &Dial) -> String {
    let hosts = hosts(model);
    let when = within(model, dial);
    let failures = model.ledger.failures;
    if failures == 0 {
        let warnings = match model.sayings.warnings.len() as u64 + model.sayings.warnings_left_out {
            0 => String::new(),
            count => format!(", but ports ran short: there were {}", counted(count, "warning")),
        };
        // What is missing may have had some.
        let is_known = model.ledger.is_exact && model.gaps.all.is_empty();
        let none = if is_known { "No call failed" } else { "No failure is recorded" };
        return format!("{none}{hosts}{when}{warnings}.");
    }
    let at_least = if model.ledger.is_exact { "" } else { "At least " };
    let text = format!("{at_least}{} failed{hosts}{when}.", counted(failures, "call"));
    let why = model
        .causes
        .rows
        .first()
        .map(|most| format!("{} failed because {}", share(most.count, failures), plainly(most.of.0)));
    let who = model.programs.rows.first().map(|most| {
        let name = match (most.of.comm.0.is_empty(), most.processes) {
            (true, 1) => format!("one process (pid {})", most.most.key.tgid.0),
            (false, 1) => format!("{} (pid {})", clean(&most.of.comm.0), most.most.key.tgid.0),
            (_, several) => format!("{} ({} processes)", clean(&most.of.comm.0), grouped(several as u64)),
        };
        format!("{} were by {name}", share(most.count, failures))
    });
    let target = model.destinations.rows.first().map(|most| {
        let word = if most.of.starts_with("bind ") { "of" } else { "to" };
        format!("{} were {word} {}", share(most.count, failures), most.of)
    });
    let rest: Vec<String> = [why, who, target].into_iter().flatten().collect();
    let rest = rest.join("; ");
    let mut letters = rest.chars();
    match letters.next() {
        Some(first) => format!("{text} {}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}

/// Where it happened: ` on HOST`, or nothing where no host is known.
pub(super) fn hosts(model: &Model<'_>) -> String {
    match model.hosts {
        [one] if !one.0.is_empty() => format!(" on {}", clean(&one.0)),
        [] | [_] => String::new(),
        several if several.len() > HOSTS => format!(" on more than {HOSTS} hosts"),
        several => format!(" on {} hosts", several.len()),
    }
}

/// Of all, in words; those that are nearly all or nothing are not called all or nothing.
fn share(part: u64, whole: u64) -> String {
    match u128::from(part) * 100 / u128::from(whole.max(1)) {
        _ if part >= whole => "all".to_owned(),
        0 => "less than 1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

fn within(model: &Model<'_>, dial: &Dial) -> String {
    match (model.window, model.span) {
        (Some(window), _) => {
            let at = |time: Option<jiff::Timestamp>, word: &str| {
                time.map(|time| format!(" {word} {}", dial.full(WallNs::from(time)))).unwrap_or_default()
            };
            format!("{}{}", at(window.from, "from"), at(window.to, "to"))
        }
        _ if !model.ledger.watched.is_zero() => format!(" within {}", lasting(model.ledger.watched)),
        _ => String::new(),
    }
}

/// Why calls failed, in a clause.
pub(super) fn plainly(cause: Cause) -> &'static str {
    match cause {
        Cause::RangeExhausted => "no local port was free for that destination",
        Cause::TupleInUse => "that very connection existed already",
        Cause::NoSourceAddress => "there was no address to send from",
        Cause::AddressNotLocal => "the host did not have the address that was asked for",
        Cause::BindRangeExhausted => "no local port was free for bind()",
        Cause::PortTaken => "the port that was asked for was taken",
        Cause::UdpRangeExhausted => "no local port was free for UDP",
        Cause::Other => "of something else than a shortage of ports",
        Cause::Unknown => "of something that the kernel does not tell",
    }
}

/// What is missing, or not as exact as it should be; nothing where all facts are there.
pub(super) fn missing(model: &Model<'_>, dial: &Dial) -> Vec<String> {
    let mut lines: Vec<String> = model
        .gaps
        .all
        .iter()
        // Told of the session below, with what follows from it.
        .filter(|gap| match gap.missing.why {
            MissingWhy::NoStart => model.sessions.iter().all(|session| session.start.is_some()),
            MissingWhy::NoEnd => false,
            _ => true,
        })
        .map(|gap| self::gap(&gap.missing, gap.times))
        .collect();
    if model.gaps.further > 0 {
        lines.push(format!("{} of other kinds", counted(model.gaps.further, "further gap")));
    }
    lines.extend(model.sessions.iter().flat_map(|session| incomplete(model, session, dial)));
    for (reason, count) in &model.ledger.lost {
        lines.push(match reason {
            LossReason::SkippedRun => {
                format!(
                    "the kernel skipped {} of the programs: causes may be unknown",
                    counted(*count, "run")
                )
            }
            reason => format!(
                "{} of failures lost ({}); they are in all counts, but not in what is told of single calls",
                counted(*count, "detail"),
                reason_words(*reason)
            ),
        });
    }
    let cut = model.sessions.iter().filter(|session| session.is_cut).count();
    if cut > 0 {
        let sessions = counted(cut as u64, "session");
        lines.push(format!(
            "hooks of {sessions}, and what these could not see, had no room here and are not all shown"
        ));
    }
    let of_all_time = if model.window.is_some() { " of the whole time" } else { "" };
    if let Some(missed @ 1..) = model.ledger.possibly_missed {
        lines.push(format!(
            "at most {} can be missing in all numbers{of_all_time}",
            counted(missed, "failure")
        ));
    }
    if model.ledger.sysctls_lost > 0 {
        let changes = counted(model.ledger.sysctls_lost, "change");
        lines.push(format!("at most {changes} of settings can be missing{of_all_time}"));
    }
    lines.extend(unanswered(model.ledger.lookups_unanswered).map(|line| format!("{line}{of_all_time}")));
    lines.extend(full_tables(model.ledger.no_room).into_iter().map(|line| format!("{line}{of_all_time}")));
    if model.untimed > 0 {
        lines.push(format!(
            "of {} it is not recorded when they were: the time line is without them",
            counted(model.untimed, "failure")
        ));
    }
    if model.window.is_some() {
        let precision = model.precision.as_secs_f64();
        lines.push(format!(
            "only a part of the time is shown: counts at its edges are exact to {precision:.1} s, and how long searches took \
             is of all the time"
        ));
    }
    lines
}

/// What a session lacks.
fn incomplete(model: &Model<'_>, session: &Session, dial: &Dial) -> Vec<String> {
    let mut lines = Vec::new();
    let host = model.host(session.host).filter(|host| !host.0.is_empty());
    let host = host.map(|host| format!(" on {}", clean(&host.0))).unwrap_or_default();
    let which = match &session.start {
        Some(start) => format!("the session{host} of {}", dial.full(WallNs::of(start.at, session.clock))),
        None => format!("a session{host}"),
    };
    if session.start.is_none() {
        lines.push(format!(
            "{which} has no start: its host and filters are not known, and times of day may be wrong"
        ));
    }
    if session.end.is_none() {
        let known = match (session.summed, session.counted_until) {
            (Some(_), _) => "its counts are exact".to_owned(),
            (None, Some(_)) => {
                "its counts are those of the last interval, and what was seen since".to_owned()
            }
            (None, None) => "its counts are those of what was seen".to_owned(),
        };
        let known = match (model.window, session.watched(model.window)) {
            (Some(_), Some((_, heard))) => {
                format!("what is known of it in this time ends at {}", dial.full(heard))
            }
            (Some(_), None) => "nothing of it is in this time".to_owned(),
            (None, _) => known,
        };
        lines.push(format!("{which} has no end: its recorder was killed, or goes on; {known}"));
    }
    lines
}

fn gap(missing: &Missing, times: u64) -> String {
    let Missing { why, file, lines, bytes } = missing;
    let what = match why {
        MissingWhy::NotWritten(said) => {
            format!("{} could not be written ({})", amount(*lines, times), clean(said.as_bytes()))
        }
        MissingWhy::CutOff => {
            "the file ends in the middle: its recorder was killed, or it was cut; what was after that is missing".to_owned()
        }
        MissingWhy::Damaged => format!("{} of the file are damaged and were skipped", counted(*bytes, "byte")),
        MissingWhy::TooLarge => format!("{} too large to be read, and skipped", amount(*lines, times)),
        MissingWhy::Malformed => format!("{} not as they should be, and skipped", amount(*lines, times)),
        MissingWhy::UnknownType => {
            format!("{} of types that this version of portwatch does not know were skipped", amount(*lines, times))
        }
        MissingWhy::RowsOfSnapshot => format!("rows of {} are missing", counted(times, "snapshot")),
        MissingWhy::Unreadable(said) => {
            format!("the file cannot be read on ({}); what follows is missing", clean(said.as_bytes()))
        }
        MissingWhy::NoStart => "there is no start: the host and times of day are not known".to_owned(),
        MissingWhy::NoEnd => "there is no end".to_owned(),
        MissingWhy::EarlierParts => "earlier parts made room, or are not here".to_owned(),
        MissingWhy::Part => format!("{} between others missing", counted(times, "part")),
        MissingWhy::NewerSchema(schema) => {
            format!("written by a newer portwatch (schema {schema}): what it means may have changed")
        }
        MissingWhy::Other(word) => format!(
            "{} missing for a reason that this version of portwatch does not know ({})",
            amount(*lines, times),
            clean(word.as_bytes())
        ),
    };
    match file {
        Some(file) => format!("{}: {what}", clean(&file.0)),
        None => what,
    }
}

/// Lines, where they could be counted.
fn amount(lines: u64, times: u64) -> String {
    if lines > 0 { counted(lines, "line") } else { counted(times, "piece") }
}
