//! What the guest's first process tells on its own line to the outside.

/// Written before the script starts.
const UP: &str = "portwatch-guest: up";
/// Written after the script has ended, followed by its exit status.
const EXIT: &str = "portwatch-guest: exit ";

/// How far the guest has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was told yet.
    Booting,
    /// The script runs.
    Up,
    /// The script has ended.
    Exit(u8),
}

/// Reads what was told so far; its last line may not be complete.
pub(super) fn read(told: &str) -> Verdict {
    let mut verdict = Verdict::Booting;
    for line in told.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let line = line.trim_end();
        if line == UP {
            verdict = Verdict::Up;
        } else if let Some(status) = line.strip_prefix(EXIT).and_then(|status| status.parse().ok()) {
            verdict = Verdict::Exit(status);
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complete_line_counts() {
        assert_eq!(read(""), Verdict::Booting);
        assert_eq!(read("portwatch-guest: up"), Verdict::Booting);
        assert_eq!(read("portwatch-guest: up\r\n"), Verdict::Up);
        assert_eq!(read("portwatch-guest: up\r\nportwatch-guest: exit 1"), Verdict::Up);
        assert_eq!(read("portwatch-guest: up\r\nportwatch-guest: exit 13\r\n"), Verdict::Exit(13));
    }
}
