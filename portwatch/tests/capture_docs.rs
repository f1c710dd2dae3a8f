//! The examples of documents do what they say: they are run, on captures of a small storm.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

#[path = "../examples/storm/mod.rs"]
mod storm;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use portwatch::event::{Item, Text};
use portwatch::lines::Encoder;

use self::storm::Storm;

const FORMAT: &str = "../docs/capture-format.md";
const FLEET: &str = "../docs/fleet.md";
/// What the examples call the file,
const CAPTURE: &str = "capture.jsonl.zst";
/// and those of several hosts.
const HOSTS: [&str; 3] = ["web-1", "web-2", "db-1"];
const FAILURES: u64 = 500;
/// Names a Python that has DuckDB.
const DUCKDB_PYTHON: &str = "DUCKDB_PYTHON";
const SQL: &str = "import duckdb, sys; print(duckdb.sql(sys.stdin.read()))";

/// A block of the document, and what stands behind it as its output.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    /// Of its first line.
    line: usize,
    text: String,
    output: Option<String>,
}

/// All blocks of this language.
fn examples(document: &str, language: &str) -> Vec<Example> {
    let (mut examples, mut lines) = (Vec::<Example>::new(), document.lines().enumerate().peekable());
    // Output stands directly behind its example, or behind one empty line.
    let mut follows = false;
    while let Some((number, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            follows &= line.is_empty();
            continue;
        };
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            text += line;
            text.push('\n');
        }
        let is_output = kind == "text" && std::mem::take(&mut follows);
        match examples.last_mut() {
            Some(example) if is_output => example.output = Some(text),
            _ if kind == language => {
                examples.push(Example { line: number + 1, text, output: None });
                follows = true;
            }
            _ => follows = false,
        }
    }
    examples
}

/// As `portwatch record` would have written it.
fn write_capture(path: &Path, host: &str) {
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let (mut encoder, mut lines, mut file) = (Encoder::default(), Vec::new(), Vec::new());
    for mut item in Storm::of(FAILURES) {
        if let Item::Start(start) = &mut item {
            start.host = Text::of(host);
        }
        encoder.item(&item, &mut lines);
        if matches!(item, Item::Counts(_) | Item::End(_)) {
            file.extend(compressor.compress(&lines).unwrap());
            lines.clear();
        }
    }
    fs::write(path, file).unwrap();
}

/// Runs each example of this language; how many there were.
fn run_all(document: &str, language: &str, command: impl Fn() -> Command) -> usize {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_capture(&folder.path().join(CAPTURE), HOSTS[0]);
    for host in HOSTS {
        let of_host = folder.path().join("captures").join(host);
        fs::create_dir_all(&of_host).unwrap();
        write_capture(&of_host.join("000001.jsonl.zst"), host);
    }
    let examples = examples(&text, language);
    for Example { line, text, output } in &examples {
        let mut command = command();
        command
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        let [said, errors] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(ended.status.success(), "{document}:{line}: {}\n{text}{errors}", ended.status);
        let trimmed =
            |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned();
        assert!(!trimmed(&said).is_empty(), "{document}:{line}: it prints nothing\n{text}{errors}");
        if let Some(output) = output {
            assert_eq!(trimmed(&said), trimmed(output), "{document}:{line}: it prints something else");
        }
    }
    examples.len()
}

fn is_on_path(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file())
}

#[test]
fn each_line_of_shell_in_the_format_runs() {
    if let Some(missing) = ["bash", "zstdcat", "jq"].into_iter().find(|program| !is_on_path(program)) {
        println!("skipped: {missing} is not here: `cargo xtask setup` installs it");
        return;
    }
    let ran = run_all(FORMAT, "sh", || {
        let mut bash = Command::new("bash");
        bash.args(["-e", "-o", "pipefail"]);
        bash
    });
    assert!(ran > 0, "{FORMAT} has no example");
}

#[test]
fn each_query_runs() {
    let Some(python) = std::env::var_os(DUCKDB_PYTHON) else {
        println!("skipped: {DUCKDB_PYTHON} names no Python that has DuckDB: `cargo xtask test` does");
        return;
    };
    for document in [FORMAT, FLEET] {
        let ran = run_all(document, "sql", || {
            let mut command = Command::new(&python);
            command.args(["-c", SQL]);
            command
        });
        assert!(ran > 0, "{document} has no query");
    }
}

#[test]
fn blocks_are_found_with_their_output() {
    let document = "# A\n```sh\nx\ny\n```\n\n```text\n1\n```\n```text\n2\n```\n```sql\nz\n```\nWords.\n```text\n3\n```\n\
                    ```sh\nw\n```\n";
    let example = |line, text: &str, output: Option<&str>| Example {
        line,
        text: text.to_owned(),
        output: output.map(str::to_owned),
    };
    assert_eq!(examples(document, "sh"), [example(2, "x\ny\n", Some("1\n")), example(20, "w\n", None)]);
    assert_eq!(examples(document, "sql"), [example(13, "z\n", None)]);
}
