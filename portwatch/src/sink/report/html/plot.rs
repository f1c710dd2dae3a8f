//! Pictures of values over time, as SVG.
//!
//! In: values in intervals of one axis. Out: SVG in two widths, of which the page shows the one that fits, so that letters
//! are as large on a telephone as on a desk. Must not know: where values come from.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::diagnose::grouped;
use crate::sink::report::dial::Dial;
use crate::sink::report::places::Use;
use crate::sink::report::series::Axis;

/// Distances between ticks on the time axis, seconds.
const STEPS_S: [i64; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    604_800,
];
/// Room above and below the values.
const TOP: f64 = 22.0;
const BOTTOM: f64 = 22.0;
/// Of the picture of lines.
const LINES_HEIGHT: f64 = 220.0;
/// How lines are dashed, so that they differ without colour.
pub(super) const DASHES: [&str; 8] = ["none", "7 4", "2 4", "10 3 2 3", "16 5", "4 2", "1 2", "10 3 2 3 2 3"];

/// One of the two widths of a picture.
#[derive(Debug, Clone, Copy)]
struct Size {
    class: &'static str,
    width: f64,
    left: f64,
    right: f64,
    ticks: i64,
}

const SIZES: [Size; 2] = [
    Size { class: "wide", width: 860.0, left: 48.0, right: 26.0, ticks: 8 },
    Size { class: "narrow", width: 360.0, left: 36.0, right: 20.0, ticks: 3 },
];

impl Size {
    fn inside(&self) -> f64 {
        self.width - self.left - self.right
    }

    /// Where on the time axis a second is.
    fn x(&self, axis: &Axis, second: i64) -> f64 {
        let (from, to) = axis.seconds();
        self.left + self.inside() * float(second - from) / float((to - from).max(1))
    }
}

/// What stands on the time axis beside the values.
pub(super) struct Marks<'a> {
    /// Times of day.
    pub(super) dial: &'a Dial,
    /// Seconds at which something was changed, numbered from 1 on.
    pub(super) changes: &'a [i64],
}

/// Bars with both axes.
pub(super) fn bars(title: &str, unit: &str, axis: &Axis, values: &[u64], marks: &Marks<'_>) -> Markup {
    const HEIGHT: f64 = 190.0;
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let (step, top) = scale(most);
    html! {
        @for size in &SIZES {
            svg class=(size.class) viewBox=(view(size, TOP + HEIGHT + BOTTOM)) role="img" aria-label=(title) {
                title { (title) }
                text x="0" y="10" { (unit) }
                @for value in (0..=top).step_by(usize::try_from(step).unwrap_or(1)) {
                    @let y = TOP + HEIGHT * (1.0 - share(value, top));
                    (level(size, y, &compact(value), value == 0))
                }
                (ticks(size, axis, TOP, HEIGHT, marks.dial))
                path class="bars" d=(shape(size, axis, values, top, TOP, HEIGHT)) {}
                (changes(size, axis, TOP, HEIGHT, marks))
            }
        }
    }
}

/// Bars without axes, below the others.
pub(super) fn strip(title: &str, axis: &Axis, values: &[u64]) -> Markup {
    const HEIGHT: f64 = 34.0;
    let most = values.iter().copied().max().unwrap_or(0);
    html! {
        @for size in &SIZES {
            svg class=(size.class) viewBox=(view(size, HEIGHT + 4.0)) role="img" aria-label=(title) {
                title { (title) }
                path class="bars" d=(shape(size, axis, values, most.max(1), 2.0, HEIGHT)) {}
                line class="base" x1=(number(size.left)) x2=(number(size.width - size.right))
                    y1=(number(HEIGHT + 2.0)) y2=(number(HEIGHT + 2.0)) {}
            }
        }
    }
}

/// Lines of shares of usable ports, each with its letter at its end.
pub(super) fn lines(title: &str, axis: &Axis, all: &[&[Use]], marks: &Marks<'_>) -> Markup {
    const HEIGHT: f64 = LINES_HEIGHT;
    html! {
        @for size in &SIZES {
            svg class=(size.class) viewBox=(view(size, TOP + HEIGHT + BOTTOM)) role="img" aria-label=(title) {
                title { (title) }
                text x="0" y="10" { "% of usable ports taken" }
                @for percent in [0_u32, 25, 50, 75, 100] {
                    (level(size, TOP + HEIGHT * (1.0 - f64::from(percent) / 100.0), &format!("{percent} %"), percent == 0))
                }
                line class="full" x1=(number(size.left)) x2=(number(size.width - size.right)) y1=(number(TOP)) y2=(number(TOP)) {}
                (ticks(size, axis, TOP, HEIGHT, marks.dial))
                (changes(size, axis, TOP, HEIGHT, marks))
                @let curves: Vec<_> = all.iter().map(|values| curve(size, axis, values, TOP, HEIGHT)).collect();
                @for (index, (path, ..)) in curves.iter().enumerate().rev() {
                    path class="line" style=(format!("stroke:var(--c{index})")) stroke-dasharray=(dash(index)) d=(path) {}
                }
                @for (index, y) in spread(&curves.iter().map(|(.., y)| *y).collect::<Vec<_>>()).into_iter().enumerate() {
                    text class="letter" style=(format!("fill:var(--c{index})")) x=(number(size.width - size.right + 6.0))
                        y=(number(y + 4.0)) { (letter(index)) }
                }
            }
        }
    }
}

/// The name of a line.
pub(super) fn letter(index: usize) -> char {
    u8::try_from(index).ok().and_then(|index| b'A'.checked_add(index)).map_or('?', char::from)
}

/// Its dashes.
pub(super) fn dash(index: usize) -> &'static str {
    DASHES.get(index).copied().unwrap_or("none")
}

fn view(size: &Size, height: f64) -> String {
    format!("0 0 {} {}", number(size.width), number(height))
}

/// A line across, with what it stands for.
fn level(size: &Size, y: f64, label: &str, is_base: bool) -> Markup {
    html! {
        line class=(if is_base { "base" } else { "grid" }) x1=(number(size.left)) x2=(number(size.width - size.right))
            y1=(number(y)) y2=(number(y)) {}
        text x=(number(size.left - 6.0)) y=(number(y + 4.0)) text-anchor="end" { (label) }
    }
}

/// Times of day below.
fn ticks(size: &Size, axis: &Axis, top: f64, height: f64, dial: &Dial) -> Markup {
    let (from, to) = axis.seconds();
    let wanted = (to - from) / size.ticks;
    let longest = STEPS_S[STEPS_S.len() - 1];
    let step = STEPS_S.into_iter().find(|step| *step >= wanted).unwrap_or((wanted / longest + 1) * longest);
    let first = from.div_euclid(step) * step;
    let seconds =
        (0..=size.ticks + 2).map(|index| first + index * step).filter(|at| (from..=to).contains(at));
    html! {
        @for second in seconds {
            @let x = size.x(axis, second);
            line class="grid" x1=(number(x)) x2=(number(x)) y1=(number(top + height)) y2=(number(top + height + 4.0)) {}
            text x=(number(x)) y=(number(top + height + 17.0)) text-anchor="middle" { (dial.edge(second, step)) }
        }
    }
}

fn changes(size: &Size, axis: &Axis, top: f64, height: f64, marks: &Marks<'_>) -> Markup {
    let (from, to) = axis.seconds();
    let within = marks.changes.iter().zip(1..).filter(|(second, _)| (from..=to).contains(*second));
    html! {
        @for (second, name) in within {
            @let x = size.x(axis, *second);
            line class="change" x1=(number(x)) x2=(number(x)) y1=(number(top - 2.0)) y2=(number(top + height)) {}
            text class="change" x=(number(x)) y=(number(top - 6.0)) text-anchor="middle" { (name) }
        }
    }
}

/// One rectangle for each value that is not 0; the least of them can be seen.
fn shape(size: &Size, axis: &Axis, values: &[u64], most: u64, top: f64, height: f64) -> String {
    let step = size.inside() / float(i64::try_from(axis.len.max(1)).unwrap_or(1));
    let gap = if step > 4.0 { 1.0 } else { 0.0 };
    let mut path = String::new();
    let mut x = size.left;
    for value in values {
        if *value > 0 {
            let tall = (share(*value, most) * height).max(1.0);
            // Writing to a String cannot fail, here and below.
            let _ = write!(
                path,
                "M{} {}v-{}h{}v{}z",
                number(x),
                number(top + height),
                number(tall),
                number(step - gap),
                number(tall)
            );
        }
        x += step;
    }
    path
}

/// The line through all that is known, and where it ends.
fn curve(size: &Size, axis: &Axis, values: &[Use], top: f64, height: f64) -> (String, f64) {
    let step = size.inside() / float(i64::try_from(axis.len.max(1)).unwrap_or(1));
    let (mut path, mut x, mut end) = (String::new(), size.left + step / 2.0, top + height);
    for value in values {
        if value.usable > 0 {
            end = top + height * (1.0 - share(value.permille().min(1000), 1000));
            let begins = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{begins}{} {}", number(x), number(end));
        }
        x += step;
    }
    // One look alone is a short line.
    if !path.is_empty() && !path.contains('L') {
        path.push_str("m-6 0h12");
    }
    (path, end)
}

/// Heights of names beside lines, so far apart that each can be read.
fn spread(ends: &[f64]) -> Vec<f64> {
    const APART: f64 = 13.0;
    let mut order: Vec<usize> = (0..ends.len()).collect();
    order.sort_by(|one, other| ends[*one].total_cmp(&ends[*other]));
    let mut heights = ends.to_vec();
    let mut least = f64::MIN;
    for index in order.iter().copied() {
        heights[index] = heights[index].max(least);
        least = heights[index] + APART;
    }
    // What would stand below the axis moves up again, and what is above it as far as it has to.
    let mut most = TOP + LINES_HEIGHT;
    for index in order.into_iter().rev() {
        heights[index] = heights[index].min(most);
        most = heights[index] - APART;
    }
    heights
}

/// A step of 1, 2 or 5 times a power of ten with at most five of them below the greatest value, and the top.
fn scale(most: u64) -> (u64, u64) {
    let mut step = 1_u64;
    for factor in [2, 5, 10].into_iter().cycle() {
        let power = 10_u64.saturating_pow(step.ilog10());
        if most.div_ceil(step) <= 5 {
            break;
        }
        let Some(next) = power.checked_mul(factor) else { break };
        step = next;
    }
    (step, most.div_ceil(step).saturating_mul(step))
}

/// A number with few digits.
fn compact(value: u64) -> String {
    let tenths = |unit: u64, name: &str| {
        let (whole, tenth) = (value / unit, value % unit * 10 / unit);
        if tenth == 0 {
            format!("{}{name}", grouped(whole))
        } else {
            format!("{}.{tenth}{name}", grouped(whole))
        }
    };
    match value {
        0..10_000 => grouped(value),
        10_000..1_000_000 => tenths(1000, "k"),
        1_000_000..1_000_000_000 => tenths(1_000_000, "M"),
        _ => tenths(1_000_000_000, "G"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture has a few hundred places")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a picture has a few hundred places")]
fn float(value: i64) -> f64 {
    value as f64
}

/// With at most one digit behind the point.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{compact, scale, spread};

    #[test]
    fn lines_differ_without_colour() {
        let dashes: std::collections::BTreeSet<_> = super::DASHES.into_iter().collect();
        assert_eq!(dashes.len(), super::DASHES.len(), "{dashes:?}");
    }

    #[test]
    fn scales_have_few_round_steps_and_hold_the_greatest() {
        for (most, expected) in [
            (1, (1, 1)),
            (4, (1, 4)),
            (6, (2, 6)),
            (11, (5, 15)),
            (99, (20, 100)),
            (1001, (500, 1500)),
            (120_000, (50_000, 150_000)),
        ] {
            assert_eq!(scale(most), expected, "{most}");
        }
        let (step, top) = scale(u64::MAX);
        assert!(step > 0 && top >= u64::MAX / 2);
    }

    #[test]
    fn numbers_on_axes_are_short() {
        for (number, text) in [
            (0, "0"),
            (9999, "9,999"),
            (20_000, "20k"),
            (25_500, "25.5k"),
            (2_000_000, "2M"),
            (u64::MAX, "18,446,744,073.7G"),
        ] {
            assert_eq!(compact(number), text);
        }
    }

    #[test]
    fn names_of_lines_that_end_together_stand_apart() {
        let heights = spread(&[240.0, 240.0, 100.0]);
        assert!((heights[2] - 100.0).abs() < 0.1, "{heights:?}");
        assert!((heights[0] - heights[1]).abs() >= 13.0);
        assert!(heights.iter().all(|height| *height <= 242.0), "{heights:?}");
    }
}
