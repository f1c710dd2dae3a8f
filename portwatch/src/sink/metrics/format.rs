//! The two formats of an exposition.
//!
//! In: an exposition as OpenMetrics. Out: the same in the older text format of Prometheus, which `curl` and older readers
//! are given. Must not know: what the metrics mean.

/// What a reader is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

impl Format {
    /// What somebody wants whose request has this `Accept`: OpenMetrics where that is named, otherwise text.
    #[must_use]
    pub fn wanted(accept: Option<&str>) -> Self {
        let is_open = |range: &str| {
            let mut words = range.split(';').map(str::trim);
            words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"))
                && words.all(|parameter| parameter != "q=0")
        };
        if accept.unwrap_or_default().split(',').any(is_open) { Self::OpenMetrics } else { Self::Text }
    }

    /// For `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn of(self, exposition: &str) -> String {
        match self {
            Self::OpenMetrics => exposition.to_owned(),
            Self::Text => text(exposition),
        }
    }
}

/// What is a family there is a metric here: counters have their suffix in HELP and TYPE, too. Units and the end are
/// comments that nobody needs.
fn text(exposition: &str) -> String {
    let mut text = String::with_capacity(exposition.len());
    let mut help = "";
    for line in exposition.split_inclusive('\n') {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), ..) => help = line,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind.trim_end() == "counter" { "_total" } else { "" };
                let said = help.splitn(4, ' ').nth(3).unwrap_or("\n");
                text.push_str(&format!("# HELP {name}{suffix} {said}# TYPE {name}{suffix} {kind}"));
            }
            (Some("#"), ..) => {}
            // A sample: what stands in labels begins no line, as their line feeds are escaped.
            _ => text.push_str(line),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Format, text};

    #[test]
    fn openmetrics_is_given_to_those_who_name_it() {
        let cases = [
            (None, Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Text),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                Format::OpenMetrics,
            ),
            (Some("text/plain, Application/OpenMetrics-Text; version=1.0.0"), Format::OpenMetrics),
            (Some("application/openmetrics-text; q=0"), Format::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::wanted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn text_names_counters_with_their_suffix_and_has_no_units_and_no_end() {
        let open = "# HELP a_seconds What a is.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total{x=\"# HELP b\\n# EOF\"} 1.5\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let expected = "# HELP a_seconds_total What a is.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{x=\"# HELP b\\n# EOF\"} 1.5\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(text(open), expected);
    }
}
