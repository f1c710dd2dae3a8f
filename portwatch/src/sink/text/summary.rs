//! The summary: processes × destinations, and what the causes mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::diagnose::{Cause, cause};
use crate::event::{BootNs, End, Errno, NetnsId, Row, Summary, Tgid};
use crate::sink::words::columns::{Align, Columns};
use crate::sink::words::{Group, GroupBy, full_tables, plural, processes, reason_words, unanswered, wanted};
use crate::term::Paint;

/// Rows that are shown; all are in JSON.
const SHOWN_ROWS: usize = 40;

/// What one row shows: a program that starts a process for each attempt is one, where rows are by process.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    who: Group,
    netns: NetnsId,
    wanted: String,
    errno: Errno,
    cause: Cause,
}

struct Sum {
    count: u64,
    processes: BTreeSet<(Tgid, BootNs)>,
    first: BootNs,
    last: BootNs,
}

/// The ledger in a sentence.
pub(super) fn total(end: &End) -> String {
    let seconds = end.watched.as_secs_f64();
    if end.failures == 0 {
        return format!("no failures in {seconds:.1} s{}{}{}", no_room(end), lost_changes(end), untold(end));
    }
    let mut text = format!("{} in {seconds:.1} s: {} shown", plural(end.failures, "failure"), end.delivered);
    // Writing to a String cannot fail, here and below.
    if let storm @ 1.. = end.suppressed.saturating_sub(end.beyond_count) {
        let _ = write!(text, ", {storm} suppressed (more of a kind than --detail shows)");
    }
    if end.beyond_count > 0 {
        let _ = write!(text, ", {} after --count was reached", end.beyond_count);
    }
    for (reason, count) in &end.lost {
        let _ = write!(text, ", {count} lost ({})", reason_words(*reason));
    }
    match (end.skipped_runs, end.possibly_missed) {
        (Some(runs @ 1..), Some(0)) => {
            let _ = write!(
                text,
                "\nnote: the kernel skipped {} of the programs; other programs saw all that failed there",
                plural(runs, "run")
            );
        }
        (Some(runs @ 1..), Some(missed)) => {
            let _ = write!(
                text,
                "\nnote: the kernel skipped {} of the programs, for calls that failed or succeeded: causes may be \
                 unknown, and at most {} can be missing here",
                plural(runs, "run"),
                plural(missed, "failure")
            );
        }
        _ => {}
    }
    text.push_str(&no_room(end));
    text.push_str(&lost_changes(end));
    text.push_str(&untold(end));
    text
}

/// Settings that may have been changed unseen.
fn lost_changes(end: &End) -> String {
    if end.sysctls_lost == 0 {
        return String::new();
    }
    format!(
        "\nnote: at most {} of settings can be missing above: they came faster than is told, or the kernel skipped the \
         program",
        plural(end.sysctls_lost, "change")
    )
}

/// Processes of which it is not told who they are.
fn untold(end: &End) -> String {
    unanswered(end.lookups_unanswered).map(|line| format!("\nnote: {line}")).unwrap_or_default()
}

/// What had no room, a line each.
fn no_room(end: &End) -> String {
    full_tables(end.no_room).into_iter().map(|line| format!("\nnote: {line}")).collect()
}

/// The table, and a line for each cause in it.
pub(super) fn table(
    summary: &Summary,
    by: GroupBy,
    paint: Paint,
    time_of_day: impl Fn(BootNs) -> String,
) -> String {
    let mut text = String::new();
    if summary.rows.is_empty() && summary.other == 0 {
        return text;
    }
    let sums = sums(&summary.rows, by);
    let rows: Vec<[String; 8]> = sums.iter().take(SHOWN_ROWS).map(|sum| cells(sum, &time_of_day)).collect();
    let mut usual = [8, 14, 21, 13, 15, 10, 12, 12].map(|width| (Align::Left, width));
    usual[0].0 = Align::Right;
    let mut columns = Columns::new(usual);
    rows.iter().for_each(|row| columns.fit(row));
    let who = if by == GroupBy::Destination { "PROCESSES".to_owned() } else { by.word().to_uppercase() };
    let heading =
        ["COUNT", &who, "DESTINATION", "ERRNO", "CAUSE", "NETNS", "FIRST", "LAST"].map(str::to_owned);
    let _ = writeln!(text, "\n{}", paint.faint(&columns.line(&heading)));
    for row in &rows {
        let _ = writeln!(text, "{}", columns.line(row));
    }
    if let Some(hidden) = sums.len().checked_sub(SHOWN_ROWS + 1) {
        let _ = writeln!(text, "… and {}; --json has all", plural(hidden as u64 + 1, "more row"));
    }
    if summary.other > 0 {
        let _ =
            writeln!(text, "{} more, of processes and destinations beyond the table's bound", summary.other);
    }
    let _ = writeln!(text);
    for cause in sums.iter().map(|(group, _)| group.cause).collect::<BTreeSet<_>>() {
        let _ = writeln!(text, "{}: {}", paint.strong(cause.name()), cause.sentence());
    }
    text
}

fn sums(rows: &[Row], by: GroupBy) -> Vec<(Key, Sum)> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let group = Key {
            who: by.group(&row.process.comm, &row.process.details, &row.fault),
            netns: row.netns,
            wanted: wanted(&row.fault),
            errno: row.fault.errno,
            cause: cause(&row.fault),
        };
        let sum = sums.entry(group).or_insert_with(|| Sum {
            count: 0,
            processes: BTreeSet::new(),
            first: row.first,
            last: row.last,
        });
        sum.count = sum.count.saturating_add(row.count);
        sum.processes.insert((row.process.tgid, row.process.start));
        sum.first = sum.first.min(row.first);
        sum.last = sum.last.max(row.last);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.count));
    sums
}

fn who(of: &Group, identities: &BTreeSet<(Tgid, BootNs)>) -> String {
    let count = identities.len();
    match (of, identities.first()) {
        (Group::Process(_), Some((Tgid(0), _))) if count == 1 => "(unknown)".to_owned(),
        (Group::Process(_), Some((tgid, _))) if count == 1 => format!("{} (pid {})", of.name(), tgid.0),
        (Group::Destination(_), _) => processes(count),
        _ => format!("{} ({})", of.name(), processes(count)),
    }
}

fn cells((group, sum): &(Key, Sum), time_of_day: &impl Fn(BootNs) -> String) -> [String; 8] {
    [
        sum.count.to_string(),
        who(&group.who, &sum.processes),
        group.wanted.clone(),
        group.errno.name(),
        group.cause.name().to_owned(),
        group.netns.0.to_string(),
        time_of_day(sum.first),
        time_of_day(sum.last),
    ]
}
