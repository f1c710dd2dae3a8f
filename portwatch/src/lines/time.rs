//! Times of day as text, many a second.

use crate::clock::Clock;
use crate::event::BootNs;

const NS_PER_S: u64 = 1_000_000_000;

/// Writes [`Clock::rfc3339`], and keeps what a second's instants have in common.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Where the second begins, by the boot clock and an offset; may lie before boot.
    begins: i128,
    /// All up to the point behind its seconds; empty before the first.
    head: Vec<u8>,
}

impl Times {
    /// Appends the time of day at `instant`.
    #[inline]
    pub(super) fn write(&mut self, clock: Clock, instant: BootNs, out: &mut Vec<u8>) {
        let ns = i128::from(instant.0) + i128::from(clock.boot_offset_ns);
        let fraction = match u64::try_from(ns - self.begins) {
            Ok(fraction) if fraction < NS_PER_S && !self.head.is_empty() => fraction,
            _ => self.begin(clock, instant, ns),
        };
        out.push(b'"');
        out.extend_from_slice(&self.head);
        // A digit more, so that none is left out.
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(&digits.format(NS_PER_S + fraction).as_bytes()[1..]);
        out.extend_from_slice(b"Z\"");
    }

    #[cold]
    fn begin(&mut self, clock: Clock, instant: BootNs, ns: i128) -> u64 {
        let fraction = ns.rem_euclid(i128::from(NS_PER_S));
        self.begins = ns - fraction;
        self.head.clear();
        let time = clock.rfc3339(instant);
        self.head.extend(time.bytes().take_while(|byte| *byte != b'.').chain([b'.']));
        u64::try_from(fraction).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Times;
    use crate::clock::Clock;
    use crate::event::BootNs;

    #[test]
    fn times_are_those_of_the_clock_in_any_order() {
        let mut times = Times::default();
        for boot_offset_ns in [0, 1_795_346_749_176_982_780, -1, -1_500_000_000, i64::MAX, i64::MIN] {
            let clock = Clock { boot_offset_ns };
            let instants = [0, 1, 5, 999_999_999, 1_000_000_000, 999_999_998, 45_046_831_900, u64::MAX];
            for instant in instants.map(BootNs) {
                let mut out = Vec::new();
                times.write(clock, instant, &mut out);
                let expected = format!("\"{}\"", clock.rfc3339(instant));
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{boot_offset_ns}");
            }
        }
    }
}
