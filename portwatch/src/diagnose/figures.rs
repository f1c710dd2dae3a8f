//! Numbers as sentences have them.
//!
//! In: counts, times. Out: words. Must not know: what they are about.

use std::time::Duration;

/// `28232` as `28,232`.
pub(crate) fn grouped(count: impl Into<u64>) -> String {
    let digits = count.into().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 port`, `28,232 ports`.
pub(crate) fn counted(count: impl Into<u64>, noun: &str) -> String {
    let count = count.into();
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// `part` of `whole` in thousandths; nothing is no part of nothing.
pub(super) fn permille(part: u32, whole: u32) -> u16 {
    let share = (u64::from(part) * 1000).checked_div(u64::from(whole)).unwrap_or(0);
    u16::try_from(share.min(1000)).unwrap_or(1000)
}

/// So many a minute as a rate in a second; below ten with tenths.
pub(super) fn per_minute(count: impl Into<u64>) -> String {
    let count = count.into();
    let tenths = (count.min(600) * 10 + 30) / 60;
    if count < 600 { format!("{}.{}", tenths / 10, tenths % 10) } else { grouped(count / 60) }
}

/// A time in its two largest units.
pub(crate) fn lasting(time: Duration) -> String {
    let (hours, minutes, seconds) = (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{} h {minutes} min", grouped(hours)),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, grouped, lasting, per_minute, permille};
    use std::time::Duration;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0_u32, "0"),
            (999, "999"),
            (1000, "1,000"),
            (28_232, "28,232"),
            (4_000_000_000, "4,000,000,000"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1_u32, "port"), counted(2_u32, "port")), ("1 port".into(), "2 ports".into()));
    }

    #[test]
    fn rates_below_ten_have_tenths() {
        for (count, text) in
            [(0_u32, "0.0"), (5, "0.1"), (100, "1.7"), (599, "10.0"), (600, "10"), (28_232, "470")]
        {
            assert_eq!(per_minute(count), text, "{count} a minute");
        }
    }

    #[test]
    fn shares_survive_odd_input() {
        assert_eq!((permille(1, 4), permille(1, 0), permille(5, 4)), (250, 0, 1000));
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [(9, "9 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")] {
            assert_eq!(lasting(Duration::from_secs(seconds)), text);
        }
    }
}
