//! What portwatch shall cost at most.
//!
//! In: figures. Out: for each goal the figure, its limit, and whether it is reached.

use super::figures::{Figure, Figures};

const EMPTY: &str = "empty fexit pair, bare aya loader";

/// A goal.
pub(super) struct Goal {
    /// For people.
    pub(super) name: &'static str,
    /// What is limited.
    pub(super) figure: Figure,
    limit: Limit,
}

enum Limit {
    Fixed(u64),
    /// So many hundredths of another figure of the same measurement.
    Hundredths(u64, Figure),
}

/// All of them. One that is not reached is shown; one that was reached in the committed figures must stay so.
pub(super) const GOALS: [Goal; 6] = [
    Goal {
        name: "a connect that succeeds: at most 1.10 times the empty pair",
        figure: Figure("portwatch", "refused_added"),
        limit: Limit::Hundredths(110, Figure(EMPTY, "refused_added")),
    },
    Goal {
        name: "the same with --holders",
        figure: Figure("portwatch --holders", "refused_added"),
        limit: Limit::Fixed(1500),
    },
    Goal {
        name: "a failure that is shown",
        figure: Figure("portwatch", "failing_added"),
        limit: Limit::Fixed(3000),
    },
    Goal {
        name: "a failure beyond the bound",
        figure: Figure("portwatch, beyond the bound", "failing_added"),
        limit: Limit::Fixed(1000),
    },
    Goal {
        name: "the start: at most a bare aya loader's",
        figure: Figure("portwatch", "start"),
        limit: Limit::Hundredths(100, Figure(EMPTY, "start")),
    },
    Goal {
        name: "memory after a minute, in KiB",
        figure: Figure("portwatch", "memory_later_kib"),
        limit: Limit::Fixed(8 * 1024),
    },
];

impl Goal {
    /// The limit by these figures, or why there is none.
    pub(super) fn limit(&self, figures: &Figures) -> Result<u64, String> {
        match self.limit {
            Limit::Fixed(limit) => Ok(limit),
            Limit::Hundredths(hundredths, of) => figures.get(of).map(|of| of * hundredths / 100),
        }
    }

    /// Whether these figures reach it.
    pub(super) fn is_reached(&self, figures: &Figures) -> bool {
        let measured = figures.get(self.figure);
        measured.and_then(|measured| Ok(measured <= self.limit(figures)?)).unwrap_or(false)
    }
}
