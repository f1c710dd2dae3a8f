//! A report for a terminal.
//!
//! In: the model. Out: lines, in the order in which somebody asks: what, why, what helps, when, who, where; what is missing.

mod tables;

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::dial::Dial;
use super::model::{FailureChart, Model, PortChart};
use super::said::Warning;
use super::series::Axis;
use super::wall::WallNs;
use super::{places::Use, story};
use crate::diagnose::{Path, counted, grouped, lasting};
use crate::sink::words::{held_by, plural, states, verdict};
use crate::term::{Paint, clean};

/// Verdicts that are told in full, and warnings that are shown.
const VERDICTS: usize = 5;
const WARNINGS: usize = 10;
/// Characters of a line over time.
const WIDTH: usize = 60;
/// Eighths of a line's height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The whole of it.
pub(super) fn write(
    model: &Model<'_>,
    output: &mut dyn Write,
    paint: Paint,
    zone: &TimeZone,
) -> io::Result<()> {
    let span = model.span.map(|(from, to)| [from, to]);
    let dial = Dial::new(zone, span.into_iter().flatten());
    writeln!(output, "{}", paint.strong(&story::sentence(model, &dial)))?;
    for line in recorded(model, &dial) {
        writeln!(output, "{}", paint.faint(&line))?;
    }
    let missing = story::missing(model, &dial);
    if !missing.is_empty() {
        section(output, "what is missing here", paint)?;
        missing.iter().try_for_each(|line| writeln!(output, "  ! {line}"))?;
    }
    verdicts(model, output, paint, &dial)?;
    if let Some(chart) = &model.failures {
        failures(chart, output, paint, &dial)?;
    }
    if let Some(chart) = &model.ports {
        ports(model, chart, output, paint, &dial)?;
    }
    tables::all(model, output, paint, &dial)
}

fn section(output: &mut dyn Write, name: &str, paint: Paint) -> io::Result<()> {
    writeln!(output, "\n{}", paint.faint(&name.to_uppercase()))
}

/// Where, when and how it was recorded.
fn recorded(model: &Model<'_>, dial: &Dial) -> Vec<String> {
    let mut lines = Vec::new();
    for session in model.sessions.iter().take(3) {
        if let Some(start) = &session.start {
            let lasted = session.ledger(model.window).watched;
            lines.push(format!(
                "host {}, kernel {}, watched from {} for {}",
                clean(&start.host.0),
                clean(start.kernel.as_bytes()),
                dial.full(WallNs::of(start.at, session.clock)),
                lasting(lasted)
            ));
        }
    }
    let more = model.sessions.len().saturating_sub(3) as u64 + model.sessions_left_out;
    if more > 0 {
        lines.push(format!("and {}", plural(more, "more session")));
    }
    match model.files {
        [] => {}
        [file] => lines.push(format!("from {}", clean(&file.0))),
        [first, rest @ ..] => {
            lines.push(format!("from {} and {}", clean(&first.0), plural(rest.len() as u64, "more file")));
        }
    }
    lines
}

fn verdicts(model: &Model<'_>, output: &mut dyn Write, paint: Paint, dial: &Dial) -> io::Result<()> {
    let told = model.told();
    if !told.is_empty() {
        section(output, "why, and what helps", paint)?;
    }
    for ranked in told.iter().take(VERDICTS) {
        let said = ranked.said;
        write!(output, "{}", verdict::one_in_full(&said.verdict, &dial.second(said.last), paint))?;
        let failed = Model::failed_so(ranked).map(|failed| format!("{failed}; ")).unwrap_or_default();
        let times = plural(said.times, "snapshot");
        let when = match said.times {
            1 => String::new(),
            _ => format!(" from {} to {}", dial.second(said.first), dial.second(said.last)),
        };
        writeln!(output, "  {}\n", paint.faint(&format!("{failed}seen in {times}{when}")))?;
    }
    let more = told.len().saturating_sub(VERDICTS) as u64 + model.sayings.verdicts_left_out;
    if more > 0 {
        writeln!(output, "  … and {}; --format json has more", plural(more, "more verdict"))?;
    }
    let warnings = &model.sayings.warnings;
    for (_, at, warning) in warnings.iter().take(WARNINGS) {
        let time = dial.second(*at);
        let line = match warning {
            Warning::Pressure(pressure) => verdict::pressure(pressure, &time, Paint::Plain),
            Warning::Slowness(slowness) => verdict::slowness(slowness, &time, Paint::Plain),
        };
        writeln!(output, "  {line}")?;
    }
    let more = warnings.len().saturating_sub(WARNINGS) as u64 + model.sayings.warnings_left_out;
    if more > 0 {
        writeln!(output, "  … and {}", plural(more, "more warning"))?;
    }
    Ok(())
}

fn failures(chart: &FailureChart, output: &mut dyn Write, paint: Paint, dial: &Dial) -> io::Result<()> {
    section(output, "failures over time", paint)?;
    let step = chart.axis.len.div_ceil(WIDTH).max(1);
    let width_s = chart.axis.width_s.saturating_mul(i64::try_from(step).unwrap_or(1));
    let sum = |part: &[u64]| part.iter().fold(0_u64, |sum, value| sum.saturating_add(*value));
    let sums = |values: &[u64]| -> Vec<u64> { values.chunks(step).map(sum).collect() };
    let all = sums(&chart.all);
    let most = all.iter().copied().max().unwrap_or(0);
    let line = |values: &[u64]| values.iter().map(|value| bar(*value, most)).collect::<String>();
    writeln!(output, "  {}  all; {} at most in {}", line(&all), grouped(most), seconds(width_s))?;
    for (target, sum, values) in &chart.targets {
        writeln!(output, "  {}  {target} {}", line(&sums(values)), grouped(*sum))?;
    }
    if chart.others.0 > 0 {
        writeln!(output, "  {}  others {}", line(&sums(&chart.others.1)), grouped(chart.others.0))?;
    }
    edges(&chart.axis, all.len(), output, dial)
}

fn ports(
    model: &Model<'_>,
    chart: &PortChart,
    output: &mut dyn Write,
    paint: Paint,
    dial: &Dial,
) -> io::Result<()> {
    section(output, "local ports in use", paint)?;
    let step = chart.axis.len.div_ceil(WIDTH).max(1);
    let mut len = 0;
    for (index, values) in &chart.lines {
        let Some((host, path, place)) = model.places.get(*index) else { continue };
        let cells: Vec<char> = values.chunks(step).map(use_bar).collect();
        len = cells.len();
        let row = &place.fullest;
        let full = u64::from(row.used) * 100 / u64::from(row.usable.max(1));
        let host = model.host(*host).map(|host| format!("{}: ", clean(&host.0))).unwrap_or_default();
        writeln!(output, "  {}  {full}% {host}{}", cells.iter().collect::<String>(), verdict::place(path))?;
    }
    edges(&chart.axis, len, output, dial)?;
    section(output, "who held them when most were taken", paint)?;
    for (host, path, place) in model.places.iter().take(WARNINGS) {
        held(model, (*host, path), place, output, dial)?;
    }
    if let Some(further) = model.further_places(WARNINGS) {
        writeln!(output, "  … and {further}")?;
    }
    Ok(())
}

fn held(
    model: &Model<'_>,
    (host, path): (u16, &Path),
    place: &super::places::PortUse,
    output: &mut dyn Write,
    dial: &Dial,
) -> io::Result<()> {
    let row = &place.fullest;
    let more = match place.more_holders {
        (0, _) => String::new(),
        (number, ports) => format!(", and {} {}", counted(number as u64, "smaller one"), grouped(ports)),
    };
    let host = model.host(host).map(|host| format!("{}: ", clean(&host.0))).unwrap_or_default();
    writeln!(
        output,
        "  {host}{} of {} {} at {}: {}\n    held by {}{more}",
        grouped(row.used),
        grouped(row.usable),
        verdict::place(path),
        dial.second(place.at),
        states(row),
        held_by(&row.holders)
    )
}

/// The times at both ends of a line of so many characters.
fn edges(axis: &Axis, len: usize, output: &mut dyn Write, dial: &Dial) -> io::Result<()> {
    let (from, to) = axis.seconds();
    let (from, to) = (dial.edge(from, axis.width_s), dial.edge(to, axis.width_s));
    let gap = len.saturating_sub(from.chars().count() + to.chars().count()).max(1);
    writeln!(output, "  {from}{:gap$}{to}", "")
}

/// Nothing is blank, and the least of something shows.
fn bar(value: u64, most: u64) -> char {
    let eighths = (u128::from(value) * 8).div_ceil(u128::from(most.max(1)));
    match usize::try_from(eighths) {
        Ok(0) => ' ',
        Ok(eighths) => BARS.get(eighths - 1).copied().unwrap_or('█'),
        Err(_) => '█',
    }
}

/// The fullest of some intervals; a dot where nobody looked.
fn use_bar(values: &[Use]) -> char {
    let known = values.iter().filter(|value| value.usable > 0).map(|value| value.permille()).max();
    known.map_or('·', |permille| bar(permille.max(1), 1000))
}

fn seconds(width_s: i64) -> String {
    lasting(std::time::Duration::from_secs(u64::try_from(width_s).unwrap_or(0)))
}
