//! What a guest recorded, read on this host.
//!
//! In: what the tests printed in a guest, with a capture among it, what was shown live, and the report that was made there.
//! Out: whether this host tells the same, byte by byte. Must not know: what any of it means.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::process::capture_stdout;

/// Begins the lines that are for us.
const OURS: &str = "story ";
/// As in the guest: a report names its files.
const FILE: &str = "storm.jsonl.zst";

/// What a guest printed of one capture.
struct Story<'a> {
    capture: Vec<u8>,
    /// What was shown live: the summary, the last verdict, the last ports.
    live: Vec<(&'a str, &'a str)>,
    /// As it was made in the guest.
    report: String,
}

impl<'a> Story<'a> {
    /// None where nothing of it was printed.
    fn read(output: &'a str) -> Result<Option<Self>> {
        let ours = || output.lines().filter_map(|line| line.trim_end().strip_prefix(OURS)?.split_once(' '));
        let named = |name: &str| ours().find(|(kind, _)| *kind == name).map(|(_, text)| text);
        let Some(capture) = named("capture") else { return Ok(None) };
        let report = named("report").context("the guest printed no report")?;
        let live = ["summary", "verdict", "ports"].map(|kind| {
            named(kind).map(|line| (kind, line)).with_context(|| format!("the guest printed no {kind}"))
        });
        Ok(Some(Self {
            capture: bytes(capture).context("the capture that the guest printed is not hexadecimal")?,
            live: live.into_iter().collect::<Result<_>>()?,
            report: serde_json::from_str(report).context("read the report that the guest printed")?,
        }))
    }

    /// What differs, of what this host tells.
    fn differences(&self, replayed: &str, report: &str) -> Vec<String> {
        let mut differences: Vec<_> = self
            .live
            .iter()
            .filter(|(_, live)| !replayed.lines().any(|line| line == *live))
            .map(|(kind, live)| format!("no {kind} is replayed as it was shown: {live}"))
            .collect();
        if self.rows().is_none_or(|rows| !report.contains(rows)) {
            differences.push("the report has not the rows of the summary that was shown".to_owned());
        }
        if report != self.report {
            differences.push(format!("another report than in the guest: {report}"));
        }
        differences
    }

    /// Of the summary, as they were shown.
    fn rows(&self) -> Option<&str> {
        let (_, summary) = self.live.iter().find(|(kind, _)| *kind == "summary")?;
        let (_, rows) = summary.split_once("\"rows\":")?;
        let mut values = serde_json::Deserializer::from_str(rows).into_iter::<Value>();
        values.next()?.ok()?;
        rows.get(..values.byte_offset())
    }
}

/// Reads it; none where the guest recorded nothing.
pub(crate) fn check(program: &Path, output: &str) -> Result<Option<(bool, String)>> {
    let Some(story) = Story::read(output)? else { return Ok(None) };
    let folder = tempfile::tempdir().context("make a folder for a capture")?;
    let file = folder.path().join(FILE);
    fs::write(&file, &story.capture).with_context(|| format!("write {}", file.display()))?;
    let told =
        |args: &[&str]| capture_stdout(Command::new(program).args(args).arg(FILE).current_dir(&folder));
    let (replayed, report) = (told(&["replay", "--json"])?, told(&["report", "--format", "json"])?);
    let differences = story.differences(&replayed, &report);
    let good = differences.is_empty();
    let mut said: String = differences.iter().map(|line| format!("{line}\n")).collect();
    said +=
        &format!("{} bytes of a capture, {} lines replayed\n", story.capture.len(), replayed.lines().count());
    said += if good {
        "test result: ok. 1 passed; 0 failed\n"
    } else {
        "test result: FAILED. 0 passed; 1 failed\n"
    };
    print!("{said}");
    Ok(Some((good, said)))
}

/// Of two digits each.
fn bytes(hex: &str) -> Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2), "an odd number of digits");
    // A sign would be taken for one.
    ensure!(hex.bytes().all(|digit| digit.is_ascii_hexdigit()), "something that is no digit");
    hex.as_bytes()
        .chunks_exact(2)
        .map(|digits| match std::str::from_utf8(digits).map(|digits| u8::from_str_radix(digits, 16)) {
            Ok(Ok(byte)) => Ok(byte),
            _ => bail!("not two digits: {digits:?}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Story;

    const SUMMARY: &str = r#"{"type":"summary","rows":[{"count":3,"process":{"comm":"a]"}}],"other":0}"#;
    const ROWS: &str = r#"[{"count":3,"process":{"comm":"a]"}}]"#;

    fn output() -> String {
        format!(
            "test a ... ok\nstory capture 28b5ff\r\nstory summary {SUMMARY}\nstory verdict V 1\nstory ports P\n\
             story report \"{{\\\"rows\\\":{}}}\"\n",
            ROWS.replace('"', "\\\"")
        )
    }

    #[test]
    fn only_what_is_the_same_byte_by_byte_is_the_same() {
        let output = output();
        let story = Story::read(&output).unwrap().unwrap();
        assert_eq!((story.capture.as_slice(), story.rows()), (&[0x28, 0xb5, 0xff][..], Some(ROWS)));
        let (replayed, report) = (format!("{SUMMARY}\nV 1\nP\n"), format!("{{\"rows\":{ROWS}}}"));
        let cases = [
            ("all the same", replayed.clone(), report.clone(), 0),
            ("another count", replayed.replace('3', "4"), report.clone(), 1),
            ("a verdict with more words", replayed.replace("V 1", "V 12"), report.clone(), 1),
            ("no ports", replayed.replace('P', ""), report.clone(), 1),
            ("other rows in the report", replayed.clone(), report.replace('3', "4"), 2),
            ("more in the report", replayed, format!("{report} "), 1),
        ];
        for (what, replayed, report, expected) in cases {
            let differences = story.differences(&replayed, &report);
            assert_eq!(differences.len(), expected, "{what}: {differences:?}");
        }
    }

    #[test]
    fn a_story_that_lacks_something_is_an_error_and_none_is_none() {
        assert!(Story::read("test a ... ok\n").unwrap().is_none());
        let output = output();
        for missing in ["summary", "verdict", "ports", "report"] {
            let output = output.replace(&format!("story {missing}"), "else");
            assert!(Story::read(&output).is_err(), "without its {missing}");
        }
        for capture in ["28b", "28zz", "+1+1", "2é5"] {
            let output = output.replace("28b5ff", capture);
            assert!(Story::read(&output).is_err(), "{capture}");
        }
    }
}
