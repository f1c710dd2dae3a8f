//! What processes call themselves reaches nobody's terminal, parser or browser as anything but text.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use jiff::tz::TimeZone;
use portwatch::diagnose::{Observer, Warn};
use portwatch::event::Item;
use portwatch::lines::Encoder;
use portwatch::sink::Sink as _;
use portwatch::sink::report::{Format, Report};
use portwatch::sink::text::{Fit, Text};
use portwatch::term::{Paint, clean};
use serde_json::Value;
use tempfile::TempDir;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use hostile::{SEED, names, recording};

/// Processes of one recording; of more a report does not tell one by one.
const PROCESSES: usize = 100;

/// What a terminal makes of bytes.
#[derive(Default)]
struct Terminal {
    /// What it shows.
    text: String,
    /// What it does besides, or hides.
    does: Vec<String>,
}

impl Terminal {
    fn shown(bytes: &[u8]) -> Self {
        let (mut terminal, mut parser) = (Self::default(), vte::Parser::new());
        parser.advance(&mut terminal, bytes);
        // A sequence that has begun would take this with it.
        parser.advance(&mut terminal, b"end");
        assert!(terminal.text.ends_with("end"), "seed {SEED:#x}: a sequence is not ended");
        terminal
    }
}

impl vte::Perform for Terminal {
    fn print(&mut self, character: char) {
        let hidden = matches!(character,
            '\0'..'\u{20}' | '\u{7f}'..'\u{a0}' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
        if hidden {
            self.does.push(format!("hides or turns {character:?}"));
        }
        self.text.push(character);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.text.push('\n'),
            other => self.does.push(format!("executes {other:#x}")),
        }
    }

    fn csi_dispatch(&mut self, params: &vte::Params, intermediates: &[u8], _ignore: bool, action: char) {
        let params: Vec<u16> = params.iter().flatten().copied().collect();
        // Strong, faint, plain again.
        let own = matches!(params.as_slice(), [1, 31] | [2] | [0]);
        if !(own && intermediates.is_empty() && action == 'm') {
            self.does.push(format!("CSI {params:?} {intermediates:?} {action}"));
        }
    }

    fn esc_dispatch(&mut self, _intermediates: &[u8], _ignore: bool, byte: u8) {
        self.does.push(format!("ESC {byte:#x}"));
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _bell: bool) {
        self.does.push(format!("OSC {params:?}"));
    }

    fn hook(&mut self, _params: &vte::Params, _intermediates: &[u8], _ignore: bool, action: char) {
        self.does.push(format!("DCS {action}"));
    }
}

#[test]
fn the_terminal_of_these_tests_notices_what_must_not_come() {
    for bytes in [
        &b"\x1b[2J"[..],
        b"\x1b]0;x\x07",
        b"\x1bPq\x1b\\",
        b"\x1bc",
        b"\r",
        "\u{9b}2J".as_bytes(),
        "\u{202e}".as_bytes(),
    ] {
        assert!(!Terminal::shown(bytes).does.is_empty(), "{bytes:?}");
    }
    let own = Terminal::shown(b"\x1b[1;31mFAILED\x1b[0m\n");
    assert_eq!((own.text.as_str(), own.does.len()), ("FAILED\nend", 0));
}

/// A capture of processes with these names.
fn capture(folder: &Path, names: &[Vec<u8>]) -> PathBuf {
    let (mut encoder, mut lines) = (Encoder::default(), Vec::new());
    recording(names).iter().for_each(|item| encoder.item(item, &mut lines));
    let path = folder.join("names.jsonl.zst");
    let mut compressor = Compressor::new(1).unwrap();
    compressor.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    fs::write(&path, compressor.compress(&lines).unwrap()).unwrap();
    path
}

/// What `portwatch ARGS CAPTURE` prints, on both outputs.
fn printed(args: &[&str], capture: &Path) -> (Vec<u8>, Vec<u8>) {
    let mut portwatch = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    let output = portwatch.args(args).arg(capture).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    (output.stdout, output.stderr)
}

fn recordings() -> Vec<Vec<Vec<u8>>> {
    let names = names();
    assert_eq!(names.len(), 1200);
    names.chunks(PROCESSES).map(<[_]>::to_vec).collect()
}

/// Of which names it is told that they are not there.
fn missing<'a>(names: &'a [Vec<u8>], text: &str) -> Vec<&'a [u8]> {
    names.iter().map(Vec::as_slice).filter(|name| !text.contains(&clean(name))).collect()
}

#[test]
fn a_terminal_shows_each_name_and_does_nothing() {
    let folder = TempDir::new().unwrap();
    for names in recordings() {
        let capture = capture(folder.path(), &names);
        for args in [&["replay"][..], &["replay", "--color", "always"], &["report", "--color", "always"]] {
            let (stdout, stderr) = printed(args, &capture);
            for output in [&stdout, &stderr] {
                assert_eq!(Terminal::shown(output).does, [""; 0], "seed {SEED:#x}: {args:?}");
            }
            if args[0] == "replay" {
                let none: [&[u8]; 0] = [];
                assert_eq!(missing(&names, &Terminal::shown(&stdout).text), none, "seed {SEED:#x}: {args:?}");
            }
        }
    }
}

fn report(items: &[Item], format: Format, paint: Paint) -> Vec<u8> {
    let (mut report, mut observer) = (Report::new(None), Observer::new(Warn::AsRecorded));
    for item in items {
        report.item(item, &observer.see(item)).unwrap();
    }
    let mut written = Vec::new();
    report.write(format, &mut written, paint, &TimeZone::UTC).unwrap();
    written
}

#[test]
fn a_report_of_few_processes_names_each_and_its_terminal_does_nothing() {
    // As many as it has lines for.
    for names in names().chunks(10) {
        let shown = Terminal::shown(&report(&recording(names), Format::Text, Paint::Coloured));
        assert_eq!(shown.does, [""; 0], "seed {SEED:#x}");
        let none: [&[u8]; 0] = [];
        assert_eq!(missing(names, &shown.text), none, "seed {SEED:#x}: {}", shown.text);
    }
}

/// What `portwatch ports` prints of the ports of this process.
fn table(name: &[u8]) -> Vec<u8> {
    let (mut written, mut observer) = (Vec::new(), Observer::new(Warn::FromPermille(800)));
    let fit = Fit { top: None, size: None, watching: false };
    let mut sink = Text::new(&mut written, Paint::Coloured, TimeZone::UTC).fitted(fit);
    let recording = recording(&[name.to_vec()]);
    let snapshot = recording.iter().find(|item| matches!(item, Item::Ports(_))).unwrap();
    sink.item(snapshot, &observer.see(snapshot)).unwrap();
    sink.flush().unwrap();
    drop(sink);
    written
}

#[test]
fn the_table_of_ports_names_each_holder_and_its_terminal_does_nothing() {
    for name in names() {
        let shown = Terminal::shown(&table(&name));
        assert_eq!(shown.does, [""; 0], "seed {SEED:#x}: {name:?}");
        assert!(shown.text.contains(&clean(&name)), "seed {SEED:#x}: {name:?}: {}", shown.text);
    }
}

/// The bytes of a string, which has them in hexadecimal beside it where it is not UTF-8.
fn bytes(object: &Value, name: &str) -> Vec<u8> {
    match object.get(format!("{name}_hex")) {
        Some(hex) => from_hex(hex.as_str().unwrap()),
        None => object[name].as_str().unwrap().into(),
    }
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(byte).collect()
}

#[test]
fn json_gives_back_the_bytes_of_each_name() {
    let folder = TempDir::new().unwrap();
    for names in recordings() {
        let capture = capture(folder.path(), &names);
        let (stdout, _) = printed(&["replay", "--json"], &capture);
        let lines = stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        let failures: Vec<&Value> = lines.iter().filter(|line| line["type"] == "failure").collect();
        assert_eq!(failures.len(), names.len());
        for (failure, name) in failures.iter().zip(&names) {
            let process = &failure["process"];
            assert_eq!(bytes(process, "comm"), *name, "seed {SEED:#x}: {process}");
            assert_eq!(
                bytes(process, "exe"),
                [b"/opt/", name.as_slice()].concat(),
                "seed {SEED:#x}: {process}"
            );
            let last = match process.get("cmdline_hex") {
                Some(hex) => from_hex(hex[2].as_str().unwrap()),
                None => process["cmdline"][2].as_str().unwrap().into(),
            };
            assert_eq!(last, *name, "seed {SEED:#x}: {process}");
        }
        let rows = lines.iter().find(|line| line["type"] == "summary").unwrap()["rows"].as_array().unwrap();
        assert!(rows.iter().zip(&names).all(|(row, name)| bytes(&row["process"], "comm") == *name));
        // A terminal may be what reads it.
        assert_eq!(Terminal::shown(&stdout).does, [""; 0], "seed {SEED:#x}");
        let (stdout, _) = printed(&["report", "--format", "json"], &capture);
        let _: Value = serde_json::from_slice(&stdout).unwrap();
        assert_eq!(Terminal::shown(&stdout).does, [""; 0], "seed {SEED:#x}");
    }
}
