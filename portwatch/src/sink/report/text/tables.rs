//! Who, where, which settings, how long searches took.

use std::io::{self, Write};

use super::section;
use crate::diagnose::{counted, grouped};
use crate::event::{Details, LossReason, Text};
use crate::sink::report::dial::Dial;
use crate::sink::report::groups::{Sum, Top};
use crate::sink::report::model::Model;
use crate::sink::words::columns::{Align, Columns};
use crate::sink::words::{GroupBy, plural, processes, reason_words, runs_in, short};
use crate::term::{Paint, clean};

/// Rows of a table.
const ROWS: usize = 10;
/// Characters of a value.
const VALUE: usize = 60;

/// All tables that have a row.
pub(super) fn all(model: &Model<'_>, output: &mut dyn Write, paint: Paint, dial: &Dial) -> io::Result<()> {
    let total = model.ledger.failures;
    let destinations = |output: &mut dyn Write| {
        table(output, paint, total, dial, "destinations", ["DESTINATION", ""], &model.destinations, |sum| {
            [sum.of.clone(), String::new()]
        })
    };
    let by = model.group_by;
    if let Some(groups) = &model.groups {
        let heading = by.word().to_uppercase();
        table(output, paint, total, dial, &format!("{}s", by.word()), [&heading, ""], groups, |sum| {
            let processes = processes(sum.processes);
            [with_host(model, sum.of.0, format!("{} ({processes})", sum.of.1.name())), String::new()]
        })?;
    }
    if by == GroupBy::Destination {
        destinations(output)?;
    }
    table(output, paint, total, dial, "programs", ["PROGRAM", "EXECUTABLE"], &model.programs, |sum| {
        let of = &sum.of;
        let who = match sum.processes {
            1 => format!("{} (pid {})", clean(&of.comm.0), sum.most.key.tgid.0),
            many => format!("{} ({many} processes)", clean(&of.comm.0)),
        };
        let exe = of.exe.map_or_else(|| unread(&sum.most.details).to_owned(), |exe| clean(&exe.0));
        let place = runs_in(&sum.most.details).filter(|_| sum.processes == 1);
        [
            with_host(model, of.host, who),
            place.map_or_else(|| exe.clone(), |place| format!("{exe} in {place}")),
        ]
    })?;
    if by != GroupBy::Destination {
        destinations(output)?;
    }
    table(output, paint, total, dial, "network namespaces", ["NETNS", ""], &model.namespaces, |sum| {
        [with_host(model, sum.of.0, sum.of.1.0.to_string()), String::new()]
    })?;
    table(output, paint, total, dial, "causes", ["CAUSE", "ERRNO"], &model.causes, |sum| {
        [sum.of.0.name().to_owned(), sum.of.1.name()]
    })?;
    for sum in &model.causes.rows {
        writeln!(output, "  {}: {}", sum.of.0.name(), sum.of.0.sentence())?;
    }
    settings(model, output, paint, dial)?;
    searches(model, output, paint)?;
    ledger(model, output, paint)
}

fn with_host(model: &Model<'_>, host: u16, text: String) -> String {
    model.host(host).map(|host| format!("{} on {}", text, clean(&host.0))).unwrap_or(text)
}

fn unread(details: &Details) -> &'static str {
    if details.has_exited() { "(exited)" } else { "-" }
}

#[expect(clippy::too_many_arguments, reason = "a table is what all of these say")]
fn table<'a, K>(
    output: &mut dyn Write,
    paint: Paint,
    total: u64,
    dial: &Dial,
    name: &str,
    [first, second]: [&str; 2],
    top: &Top<'a, K>,
    cells: impl Fn(&Sum<'a, K>) -> [String; 2],
) -> io::Result<()> {
    if top.rows.is_empty() {
        return Ok(());
    }
    section(output, name, paint)?;
    let [right, left] = [Align::Right, Align::Left];
    let mut columns = Columns::new([(right, 10), (right, 5), (left, 20), (left, 12), (left, 12), (left, 0)]);
    let rows = top.rows.iter().take(ROWS).map(|sum| {
        let [one, two] = cells(sum);
        let percent = match u128::from(sum.count) * 100 / u128::from(total.max(1)) {
            0 => "<1%".to_owned(),
            percent => format!("{percent}%"),
        };
        [grouped(sum.count), percent, one, dial.exact(sum.first), dial.exact(sum.last), two]
    });
    let rows: Vec<_> = rows.collect();
    rows.iter().for_each(|row| columns.fit(row));
    let heading = ["FAILURES", "", first, "FIRST", "LAST", second].map(str::to_owned);
    writeln!(output, "{}", paint.faint(&columns.line(&heading)))?;
    rows.iter().try_for_each(|row| writeln!(output, "{}", columns.line(row)))?;
    let hidden = top.rows.iter().skip(ROWS).fold(top.more, |hidden, sum| hidden.saturating_add(sum.count));
    if hidden > 0 {
        let rows = top.rows.len().saturating_sub(ROWS) + top.more_rows;
        let words = if rows == 0 { "others".to_owned() } else { plural(rows as u64, "more row") };
        writeln!(output, "{:>10}         {words}", grouped(hidden))?;
    }
    Ok(())
}

fn settings(model: &Model<'_>, output: &mut dyn Write, paint: Paint, dial: &Dial) -> io::Result<()> {
    if model.settings.namespaces.is_empty() && model.settings.changes.is_empty() {
        return Ok(());
    }
    section(output, "settings", paint)?;
    for first in model.settings.namespaces.iter().take(ROWS) {
        let namespace = &first.namespace;
        let reuse = namespace.settings.tcp_tw_reuse.map(|reuse| format!(", tcp_tw_reuse {reuse}"));
        let netns = with_host(model, first.host, format!("netns {}", namespace.id.0));
        writeln!(
            output,
            "  {netns}: local port range {}, {} of them reserved, {} bound{}",
            namespace.range,
            grouped(namespace.reserved),
            grouped(namespace.bound),
            reuse.unwrap_or_default()
        )?;
    }
    for change in model.settings.changes.iter().take(ROWS) {
        let by = change.change.by.as_ref();
        let by = by.map(|by| format!(", by {} (pid {})", clean(&by.comm.0), by.tgid.0)).unwrap_or_default();
        writeln!(
            output,
            "  {} {}: {} -> {}{by}, netns {}",
            dial.exact(change.at),
            clean(&change.change.key.0),
            change.change.old.as_deref().map_or_else(|| "?".to_owned(), value),
            value(&change.change.new),
            change.change.netns.0
        )?;
    }
    let more = model.settings.changes.len().saturating_sub(ROWS) as u64 + model.settings.changes_left_out;
    if more > 0 {
        writeln!(output, "  … and {}", plural(more, "more change"))?;
    }
    Ok(())
}

fn value(text: &str) -> String {
    let shown: String = text.chars().take(VALUE).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    if text.is_empty() { "(empty)".to_owned() } else { format!("{}{dots}", clean(shown.as_bytes())) }
}

fn searches(model: &Model<'_>, output: &mut dyn Write, paint: Paint) -> io::Result<()> {
    if model.searches.is_empty() {
        return Ok(());
    }
    section(output, "searches for a local port", paint)?;
    for row in model.searches.iter().take(ROWS) {
        writeln!(
            output,
            "  {} searches from {} to {}: {} took 100 µs or longer, {} on average, {} the longest",
            grouped(row.times.count),
            row.source,
            row.destination,
            grouped(row.times.slow),
            short(row.times.average()),
            short(row.times.longest)
        )?;
    }
    let more = model.searches.len().saturating_sub(ROWS) as u64;
    for (count, what) in [
        (more, "more rows"),
        (model.other_searches.count, "searches to further destinations"),
        (model.unmeasured_searches, "searches whose time is not known"),
    ] {
        if count > 0 {
            writeln!(output, "  … and {} {what}", grouped(count))?;
        }
    }
    Ok(())
}

/// What became of the detail of each failure.
fn ledger(model: &Model<'_>, output: &mut dyn Write, paint: Paint) -> io::Result<()> {
    section(output, "what was recorded", paint)?;
    let ledger = &model.ledger;
    let at_least = if ledger.is_exact { "" } else { "at least " };
    let mut line = format!(
        "  {at_least}{}: {} in detail",
        counted(ledger.failures, "failure"),
        grouped(ledger.delivered)
    );
    if ledger.suppressed > 0 {
        line = format!("{line}, {} without, as there was enough of the kind", grouped(ledger.suppressed));
    }
    for (reason, count) in ledger.lost.iter().filter(|(reason, _)| **reason != LossReason::SkippedRun) {
        line = format!("{line}, {} lost ({})", grouped(*count), reason_words(*reason));
    }
    writeln!(output, "{line}")?;
    let limits =
        model.sessions.iter().filter_map(|session| session.start.as_ref()).flat_map(|start| &start.limits);
    let mut limits: Vec<&String> = limits.collect();
    limits.sort_unstable();
    limits.dedup();
    limits.iter().take(ROWS).try_for_each(|limit| writeln!(output, "  note: {}", clean(limit.as_bytes())))?;
    let more = limits.len().saturating_sub(ROWS) as u64;
    if more > 0 {
        writeln!(output, "  … and {}", plural(more, "more note"))?;
    }
    let hosts: Vec<&Text> = model.hosts.iter().filter(|host| !host.0.is_empty()).collect();
    if hosts.len() > 1 {
        let names: Vec<String> = hosts.iter().take(ROWS).map(|host| clean(&host.0)).collect();
        writeln!(output, "  hosts: {}", names.join(", "))?;
    }
    Ok(())
}
