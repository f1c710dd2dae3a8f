//! `portwatch record` on this very host, where it can be traced at all.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::netns::{Full, Netns, or_skipped};
use portwatch_tests::portwatch::ready_or_skipped;
use serde_json::Value;
use tempfile::TempDir;

/// A recorder that is ready.
struct Recorder {
    child: Child,
    stderr: JoinHandle<String>,
}

/// A folder that nobody else may write.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn portwatch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    command.args(args).stdin(Stdio::null());
    command
}

/// What ends by itself.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = portwatch(args).output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into(), String::from_utf8_lossy(&stderr).into())
}

/// A recorder of what fails in this thread's network namespace; none, with the reason printed, where there can be none.
fn recording(args: &[&str]) -> Option<Recorder> {
    recording_by(portwatch(&["record"]), args)
}

fn recording_by(mut command: Command, args: &[&str]) -> Option<Recorder> {
    let netns = format!("/proc/{}/ns/net", nix::unistd::gettid());
    let mut child = command
        .args(["--netns", &netns])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (said, mut stderr) = ready_or_skipped(&mut child).unwrap()?;
    let rest = move || {
        let mut text = said;
        let _ = stderr.read_to_string(&mut text);
        text
    };
    Some(Recorder { child, stderr: std::thread::spawn(rest) })
}

impl Recorder {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    fn end(self) -> (Option<i32>, String, String) {
        self.signal(Signal::SIGINT);
        self.wait()
    }

    fn wait(mut self) -> (Option<i32>, String, String) {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        (self.child.wait().unwrap().code(), stdout, self.stderr.join().unwrap())
    }
}

/// Four ports, all of them taken, and so many connects that find none.
struct Shortage {
    full: Full,
}

impl Shortage {
    fn new() -> Option<Self> {
        or_skipped(Netns::with_ports(40000, 40003))?;
        Some(Self { full: Full::new("127.0.0.1:8080", 4).unwrap() })
    }

    fn fail(&self, times: usize) {
        for _ in 0..times {
            assert!(TcpStream::connect(self.full.destination).is_err());
        }
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The lines of a capture, as `replay` prints them.
fn replayed(path: &Path) -> Vec<Value> {
    let (code, stdout, stderr) = run(&["replay", "--json", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[test]
fn what_was_recorded_is_replayed_and_reported() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let file = folder.path().join("a.jsonl.zst");
    let Some(recorder) = recording(&["-o", file.to_str().unwrap(), "--json"]) else { return };
    shortage.fail(5);
    std::thread::sleep(Duration::from_millis(500));
    let (code, live, stderr) = recorder.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (_, replayed, _) = run(&["replay", "--json", file.to_str().unwrap()]);
    assert_eq!(replayed, live, "the same bytes as live");
    let lines: Vec<Value> = live.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(of_type(&lines, "failure").len(), 5, "{live}");
    assert!(stderr.contains("portwatch report"), "{stderr}");

    let (code, report, stderr) = run(&["report", "--format", "json", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    let summary = live.lines().find(|line| line.starts_with(r#"{"type":"summary""#)).unwrap();
    let rows = &summary[summary.find("\"rows\":").unwrap()..summary.rfind(",\"other\"").unwrap()];
    assert!(report.contains(rows), "the rows of the summary, byte by byte: {rows}\n{report}");
    let (code, text, stderr) = run(&["report", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    for expected in ["range_exhausted", "127.0.0.1:8080", "5 failures"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let page = folder.path().join("a.html");
    let (code, _, stderr) =
        run(&["report", "--format", "html", "-o", page.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("range_exhausted") && page.contains("default-src 'none'"), "{page}");
}

#[test]
fn by_default_stdout_has_what_explains_failures_and_no_line_for_each() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let shown = |name: &str, option: &[&str]| {
        let recorder = recording(&[&["-o", &file(name)], option].concat())?;
        shortage.fail(3);
        std::thread::sleep(Duration::from_millis(500));
        let (code, stdout, stderr) = recorder.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(of_type(&replayed(Path::new(&file(name))), "failure").len(), 3);
        Some(stdout)
    };
    let Some(brief) = shown("brief", &[]) else { return };
    assert!(brief.contains("  why:   ") && brief.contains("3 failures in"), "{brief}");
    assert!(!brief.contains("TIME ("), "{brief}");
    let printed = shown("print", &["--print"]).unwrap();
    assert!(printed.contains("TIME (") && printed.contains("  why:   "), "{printed}");
    let (_, replayed, _) = run(&["replay", &file("print")]);
    assert_eq!(replayed, printed, "text is replayed as it was");
    assert_eq!(shown("quiet", &["--quiet"]).unwrap(), "");
}

#[test]
fn a_target_that_is_not_safe_is_refused_before_anything_is_attached() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("there"), "precious").unwrap();
    symlink(path("elsewhere"), path("link")).unwrap();
    fs::create_dir(path("open")).unwrap();
    fs::set_permissions(path("open"), Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(path("parts")).unwrap();
    fs::write(path("parts/000001.jsonl.zst"), "precious").unwrap();
    let cases: &[(&str, &[&str], &str)] = &[
        ("there", &[], "--force"),
        ("link", &[], "symbolic link"),
        ("link", &["--force"], "symbolic link"),
        ("open/file", &[], "others may write"),
        ("nowhere/file", &[], "nowhere"),
        ("parts", &[], "folder"),
        ("there", &["--keep", "1h"], "folder"),
    ];
    for (name, options, word) in cases {
        let output = path(name);
        let args = [&["record", "-o", output.to_str().unwrap(), "--duration", "1s"], *options].concat();
        let (code, stdout, stderr) = run(&args);
        assert_eq!(code, Some(1), "{name} {options:?}: {stderr}");
        assert_eq!(stdout, "", "{name}");
        assert!(stderr.contains(word) && stderr.contains(name), "{name} {options:?}: {stderr}");
    }
    assert_eq!(fs::read(path("there")).unwrap(), b"precious");
    assert!(!path("elsewhere").exists());
}

#[test]
fn a_command_is_recorded_while_it_runs_and_keeps_its_stdout() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let file = folder.path().join("c.jsonl.zst");
    let script = "echo from the command; exit 3";
    let Some(recorder) = recording(&["-o", file.to_str().unwrap(), "--", "sh", "-c", script]) else {
        return;
    };
    shortage.fail(0);
    let (code, stdout, stderr) = recorder.wait();
    assert_eq!((code, stdout.as_str()), (Some(0), "from the command\n"), "{stderr}");
    assert!(stderr.contains("exit status: 3") && stderr.contains("no failures"), "{stderr}");
    assert_eq!(of_type(&replayed(&file), "end").len(), 1);

    let file = folder.path().join("d.jsonl.zst");
    let (code, _, stderr) = run(&["record", "-o", file.to_str().unwrap(), "--", "/no/such/program"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("/no/such/program"), "{stderr}");
}

#[test]
fn a_recording_that_is_over_asks_its_command_to_end() {
    let Some(_netns) = or_skipped(Netns::new()) else { return };
    let folder = folder();
    let file = folder.path().join("e.jsonl.zst");
    let since = Instant::now();
    let args = ["-o", file.to_str().unwrap(), "--duration", "500ms", "--", "sleep", "60"];
    let Some(recorder) = recording(&args) else { return };
    let (code, _, stderr) = recorder.wait();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("SIGTERM") && stderr.contains("sleep"), "{stderr}");
    assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
}

#[test]
fn a_flight_recorder_keeps_copies_when_it_is_asked_to_and_after_the_first_failure() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let parts = folder.path().join("parts");
    let args = ["-o", parts.to_str().unwrap(), "--keep", "1h", "--on-failure"];
    let Some(recorder) = recording(&args) else { return };
    let sealed = || {
        let entries = fs::read_dir(&parts).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    recorder.signal(Signal::SIGUSR1);
    wait_until("SIGUSR1 seals a copy", || sealed().len() == 1);
    shortage.fail(3);
    wait_until("the first failure seals a copy", || sealed().len() == 2);
    let (code, _, stderr) = recorder.end();
    assert_eq!(code, Some(0), "{stderr}");
    let lines = replayed(&parts);
    assert_eq!(of_type(&lines, "start").len(), 1, "parts are read as one: {lines:?}");
    assert_eq!(of_type(&lines, "failure").len(), 3, "{lines:?}");
    assert_eq!(of_type(&lines, "missing").len(), 0, "{lines:?}");
    let copies = sealed().into_iter().map(|path| replayed(&path)).collect::<Vec<_>>();
    let failures: usize = copies.iter().map(|lines| of_type(lines, "failure").len()).sum();
    assert_eq!(failures, 3, "one copy has them: {copies:?}");
    assert!(copies.iter().all(|lines| of_type(lines, "missing")[0]["why"] == "no_end"), "{copies:?}");
}

#[test]
fn what_the_disk_refuses_is_counted_said_and_no_reason_to_stop_watching() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let file = folder.path().join("f.jsonl.zst");
    // No file of this process may grow beyond four blocks of 512 bytes.
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 4; exec \"$0\" record \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_portwatch")]).stdin(Stdio::null());
    let Some(recorder) = recording_by(command, &["-o", file.to_str().unwrap(), "--print"]) else { return };
    for _ in 0..4 {
        shortage.fail(50);
        std::thread::sleep(Duration::from_millis(900));
    }
    let (code, stdout, stderr) = recorder.end();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stdout.contains("200 failures in"), "live output goes on: {stdout}");
    assert!(stderr.contains("File too large") && stderr.contains("could not be written"), "{stderr}");
    let (code, _, _) = run(&["replay", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "what is there is whole");
}

#[test]
fn stdout_that_stands_still_does_not_hold_up_the_recording() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let file = folder.path().join("i.jsonl.zst");
    // More than a pipe holds, and nobody reads it.
    let Some(recorder) = recording(&["-o", file.to_str().unwrap(), "--json"]) else { return };
    for _ in 0..20 {
        shortage.fail(100);
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(of_type(&replayed(&file), "failure").len(), 2000, "it is all there while it stands still");
    let (code, stdout, stderr) = recorder.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.lines().filter(|line| line.contains("\"failure\"")).count(), 2000, "{stderr}");
}

#[test]
fn a_flight_recorder_that_is_started_again_goes_on_behind_what_is_there() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let parts = folder.path().join("parts");
    for _ in 0..2 {
        let Some(recorder) = recording(&["-o", parts.to_str().unwrap(), "--keep", "1h"]) else { return };
        shortage.fail(2);
        std::thread::sleep(Duration::from_millis(500));
        let (code, _, stderr) = recorder.end();
        assert_eq!(code, Some(0), "{stderr}");
    }
    let lines = replayed(&parts);
    assert_eq!(of_type(&lines, "failure").len(), 4, "{lines:?}");
    assert_eq!((of_type(&lines, "start").len(), of_type(&lines, "end").len()), (2, 2), "{lines:?}");
    assert_eq!(of_type(&lines, "missing").len(), 0, "{lines:?}");
}

#[test]
fn a_report_never_takes_the_place_of_what_it_is_about() {
    let Some(_netns) = or_skipped(Netns::new()) else { return };
    let folder = folder();
    let file = folder.path().join("j.jsonl.zst");
    let Some(recorder) = recording(&["-o", file.to_str().unwrap(), "--duration", "300ms"]) else { return };
    assert_eq!(recorder.wait().0, Some(0));
    let before = fs::read(&file).unwrap();
    let name = file.to_str().unwrap();
    let (code, _, stderr) = run(&["report", "-o", name, name]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("capture that is to be read"), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), before);
    let output = folder.path().join("report.txt");
    let (code, _, stderr) = run(&["report", "-o", output.to_str().unwrap(), name]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(fs::metadata(&output).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn stdout_that_nobody_reads_does_not_end_the_recording() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let file = folder.path().join("g.jsonl.zst");
    let Some(mut recorder) = recording(&["-o", file.to_str().unwrap(), "--json"]) else { return };
    let (nobody, _) = std::io::pipe().unwrap();
    drop(recorder.child.stdout.replace(std::process::ChildStdout::from(std::os::fd::OwnedFd::from(nobody))));
    shortage.fail(2);
    std::thread::sleep(Duration::from_millis(500));
    shortage.fail(2);
    std::thread::sleep(Duration::from_millis(500));
    let (code, _, stderr) = recorder.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(of_type(&replayed(&file), "failure").len(), 4);
}

#[test]
fn a_command_is_run_at_a_failure_with_what_is_known_of_it() {
    let Some(shortage) = Shortage::new() else { return };
    let folder = folder();
    let (file, told) = (folder.path().join("h.jsonl.zst"), folder.path().join("told"));
    let script =
        format!("{{ env | grep ^PORTWATCH_ | sort; cat; }} > {0}.new; mv {0}.new {0}", told.display());
    let args = ["-o", file.to_str().unwrap(), "--quiet", "--on-failure-exec", &script];
    let Some(recorder) = recording(&args) else { return };
    shortage.fail(3);
    wait_until("the command runs", || told.exists());
    shortage.fail(3);
    let (code, _, stderr) = recorder.end();
    assert_eq!(code, Some(0), "{stderr}");
    let mut text = String::new();
    File::open(&told).unwrap().read_to_string(&mut text).unwrap();
    let destination: SocketAddr = shortage.full.destination;
    for expected in [
        "PORTWATCH_CAUSE=range_exhausted".to_owned(),
        "PORTWATCH_ERRNO=EADDRNOTAVAIL".to_owned(),
        format!("PORTWATCH_PID={}", std::process::id()),
        format!("PORTWATCH_DESTINATION={destination}"),
        r#"{"type":"failure""#.to_owned(),
        r#"{"type":"verdict""#.to_owned(),
    ] {
        assert!(text.lines().any(|line| line.starts_with(&expected)), "{expected}: {text}");
    }
}
