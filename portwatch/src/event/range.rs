//! A range of ports.
//!
//! In: its ends. Out: what lies in it. Must not know: whose range it is.

use std::fmt;

/// Lowest and highest port of `ip_local_port_range`, of a socket's own range, or of ports that are reserved together;
/// both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// Lowest.
    pub low: u16,
    /// Highest.
    pub high: u16,
}

impl PortRange {
    /// How many ports it has; none where it is upside down.
    #[must_use]
    pub fn width(self) -> u32 {
        (u32::from(self.high) + 1).saturating_sub(self.low.into())
    }

    /// Whether this port lies in it.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }

    /// The ports that it has in common with another one; none may be.
    #[must_use]
    pub fn overlap(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    /// What a socket with this range of its own leaves of the namespace's, this one.
    ///
    /// An end outside of the namespace's range does not count, nor does 0 (`inet_sk_get_local_port_range`,
    /// net/ipv4/inet_connection_sock.c, 6.3 and newer).
    #[must_use]
    pub fn narrowed_by(self, own: Self) -> Self {
        let or = |end, otherwise| if self.contains(end) { end } else { otherwise };
        Self { low: or(own.low, self.low), high: or(own.high, self.high) }
    }
}

/// Lowest and highest port as one word.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::PortRange;

    #[test]
    fn widths_survive_odd_input() {
        for (low, high, width) in [(32768, 60999, 28_232), (5, 5, 1), (9, 5, 0), (0, 65535, 65_536)] {
            assert_eq!(PortRange { low, high }.width(), width, "{low}-{high}");
        }
    }

    #[test]
    fn ranges_that_do_not_meet_have_no_port_in_common() {
        let range = PortRange { low: 100, high: 200 };
        for (low, high, width) in [(0, 99, 0), (0, 100, 1), (150, 160, 11), (200, 300, 1), (201, 300, 0)] {
            assert_eq!(range.overlap(PortRange { low, high }).width(), width, "{low}-{high}");
        }
    }

    #[test]
    fn a_socket_narrows_a_range_from_inside_only() {
        let range = PortRange { low: 32768, high: 60999 };
        let cases = [
            ((40000, 40009), "40000-40009"),
            ((40000, 0), "40000-60999"),
            ((0, 40000), "32768-40000"),
            ((1, 2), "32768-60999"),
            ((1, 65535), "32768-60999"),
        ];
        for ((low, high), left) in cases {
            assert_eq!(range.narrowed_by(PortRange { low, high }).to_string(), left, "{low}-{high}");
        }
    }
}
