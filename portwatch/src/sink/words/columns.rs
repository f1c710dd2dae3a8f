//! Aligned columns that grow with what they have to hold.

/// Which edge of a column its texts touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sink) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Widths of columns, in characters. A column becomes as wide as the widest text it has held, so that only the line
/// that is too wide for those before it stands out.
#[derive(Debug, Clone)]
pub(in crate::sink) struct Columns<const N: usize> {
    columns: [(Align, usize); N],
}

impl<const N: usize> Columns<N> {
    /// Columns with the widths that are usual.
    pub(in crate::sink) fn new(columns: [(Align, usize); N]) -> Self {
        Self { columns }
    }

    /// Makes room for these texts.
    pub(in crate::sink) fn fit(&mut self, texts: &[String; N]) {
        for ((_, width), text) in self.columns.iter_mut().zip(texts) {
            *width = (*width).max(text.chars().count());
        }
    }

    /// One line, without blanks at its end.
    pub(in crate::sink) fn line(&mut self, texts: &[String; N]) -> String {
        self.fit(texts);
        let cell = |((align, width), text): (&(Align, usize), &String)| match align {
            Align::Left => format!("{text:<width$}"),
            Align::Right => format!("{text:>width$}"),
        };
        let cells: Vec<String> = self.columns.iter().zip(texts).map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Align, Columns};

    #[test]
    fn a_column_stays_as_wide_as_it_had_to_become() {
        let mut columns = Columns::new([(Align::Right, 3), (Align::Left, 4), (Align::Left, 1)]);
        let mut line = |texts: [&str; 3]| columns.line(&texts.map(str::to_owned));
        assert_eq!(line(["1", "ab", "x"]), "  1  ab    x");
        assert_eq!(line(["1", "abcdefgh", "x"]), "  1  abcdefgh  x");
        assert_eq!(line(["1234", "ab", ""]), "1234  ab");
        assert_eq!(line(["1", "größe", "x"]), "   1  größe     x");
    }
}
