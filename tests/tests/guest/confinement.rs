//! What is left to portwatch once it runs.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use caps::Capability;
use portwatch_tests::kernel_is_since;
use portwatch_tests::netns::Netns;
use portwatch_tests::portwatch::{Watching, command};

/// What those keep that look at processes, and at nothing else.
const OF_PROCESSES: [Capability; 2] = [Capability::CAP_SYS_PTRACE, Capability::CAP_DAC_READ_SEARCH];

/// What a line of /proc/PID/task/TID/status says.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap_or_default()
}

fn set(status: &str, name: &str) -> u64 {
    u64::from_str_radix(field(status, name), 16).unwrap()
}

/// What doctor says is kept.
fn named() -> u64 {
    let output = command(&["doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let kept = said.lines().filter_map(|line| line.split("keeps ").nth(1)?.split(' ').next());
    let kept: Vec<Capability> = kept.map(|name| name.parse().unwrap()).collect();
    assert!(kept.len() >= 3, "{said}");
    kept.iter().fold(0, |bits, capability| bits | capability.bitmask())
}

/// Looks at each thread of this process; their names.
fn assert_confined(pid: u32, named: u64) -> Vec<String> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap();
        // Threads that look at the ports come and go.
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        threads.push(field(&status, "Name").to_owned());
        assert_eq!((field(&status, "NoNewPrivs"), field(&status, "Seccomp")), ("1", "2"), "{status}");
        for empty in ["CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(set(&status, empty), 0, "{empty} in {status}");
        }
        let is_one_of = |names: &[&str]| names.iter().any(|name| name.starts_with(field(&status, "Name")));
        let is_first = thread.file_name().to_str() == Some(&pid.to_string());
        let kept = if is_first || is_one_of(&["portwatch-survey", "portwatch-netns"]) {
            named
        } else if is_one_of(&["portwatch-lookup"]) {
            named & OF_PROCESSES.iter().fold(0, |bits, capability| bits | capability.bitmask())
        } else {
            0
        };
        for held in ["CapEff", "CapPrm"] {
            assert_eq!(set(&status, held), kept, "{held} in {status}");
        }
    }
    threads
}

/// Each command that watches, with what tells on which output that it does.
fn commands(folder: &str) -> [Vec<&str>; 5] {
    let record = vec!["record", "--keep", "1h", "--json", "-o", folder];
    let serve = vec!["serve", "--listen", "0"];
    let named = vec!["trace", "--json", "--kubernetes"];
    [
        vec!["trace", "--json"],
        named,
        record,
        serve,
        vec!["ports", "--netns", "all", "--watch", "1s", "--json"],
    ]
}

#[test]
fn each_thread_keeps_what_doctor_names_or_nothing() {
    let named = named();
    let folder = tempfile::tempdir().unwrap();
    for args in commands(folder.path().to_str().unwrap()) {
        let mut command = command(&args);
        let threads = if args[0] == "ports" {
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
            std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
            let threads = assert_confined(child.id(), named);
            child.kill().unwrap();
            child.wait().unwrap();
            threads
        } else {
            let watching = Watching::start_as(command).unwrap();
            let threads = assert_confined(u32::try_from(watching.pid().as_raw()).unwrap(), named);
            assert!(watching.end().unwrap().status.success());
            threads
        };
        println!("{args:?}: {threads:?}");
        // Those that live as long as it does are there when it says that it is ready: none begins with more than it keeps.
        let lasting: &[&str] = match args[0] {
            "record" => &["portwatch-lookup", "portwatch-capture", "portwatch-output"],
            "serve" => &["portwatch-lookup", "portwatch-http"],
            _ => &["portwatch-lookup"],
        };
        for name in lasting {
            assert!(
                threads.iter().any(|thread| *thread == name[..name.len().min(15)]),
                "{name}: {threads:?}"
            );
        }
    }
}

/// portwatch, whose threads try what they gave up.
fn trying(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("ATTEMPTS_BIN").unwrap());
    command.args(args).stdin(Stdio::null());
    command
}

/// Holds what was tried by each duty against what may come of it; the duties.
fn assert_refused(said: &str, landlock: bool) -> Vec<&str> {
    let mut duties = Vec::new();
    for line in said.lines().filter_map(|line| line.strip_prefix("attempt: ")) {
        let [duty, what, came]: [&str; 3] = line.split(": ").collect::<Vec<_>>().try_into().unwrap();
        if !duties.contains(&duty) {
            duties.push(duty);
        }
        let expected: &[&str] = match (duty, what) {
            (_, "fork by clone3") => &["ENOSYS"],
            // It connects to container runtimes; the first descriptor is no socket.
            ("ask", "make a Unix socket") => &["done"],
            ("ask", "connect") => &["ENOTSOCK"],
            // It reads what is in /proc; /etc/passwd need not be there.
            ("look", "read a file elsewhere") => &["done", "ENOENT"],
            ("record" | "read", "read a file elsewhere" | "open a file for writing" | "remove a file")
                if !landlock =>
            {
                continue;
            }
            _ => &["EPERM", "EACCES"],
        };
        assert!(expected.contains(&came), "{line}");
    }
    duties
}

#[test]
fn what_was_given_up_is_refused_and_everything_else_works() {
    let landlock = kernel_is_since(5, 13);
    if !landlock {
        println!("skipped: what Landlock refuses: this kernel has none");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write("/tmp/portwatch-there", "").unwrap();
    let capture = folder.path().join("a");
    let _netns = Netns::new().unwrap();
    for (args, expected) in [
        (vec!["trace", "--json"], &["write", "look"][..]),
        (vec!["trace", "--json", "--kubernetes"], &["write", "look", "ask"]),
        (vec!["record", "--json", "-o", capture.to_str().unwrap()], &["write", "record", "look"]),
    ] {
        let mut child = trying(&args)
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        let said = || fs::read_to_string(folder.path().join("said")).unwrap();
        let since = std::time::Instant::now();
        while !said().contains("portwatch: ready") {
            assert!(since.elapsed() < Duration::from_secs(60), "{}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
        let failed = std::net::UdpSocket::bind("192.0.2.7:53").unwrap_err();
        assert_eq!(failed.kind(), std::io::ErrorKind::AddrNotAvailable);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut stdout).unwrap();
        assert!(child.wait().unwrap().success(), "{}", said());
        assert!(stdout.contains("\"address_not_local\""), "{stdout}");
        let said = said();
        let duties = assert_refused(&said, landlock);
        assert!(expected.iter().all(|duty| duties.contains(duty)), "{duties:?}: {said}");
    }
    for args in
        [vec!["ports"], vec!["replay", capture.to_str().unwrap()], vec!["report", capture.to_str().unwrap()]]
    {
        let output = trying(&args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        let duties = assert_refused(&said, landlock);
        let expected = if args[0] == "ports" { "look" } else { "read" };
        assert!(duties.contains(&expected), "{args:?}: {duties:?}");
    }
    // Without Landlock whoever records could remove it.
    assert!(!landlock || fs::exists("/tmp/portwatch-there").unwrap());
}

#[test]
fn doctor_tells_which_protections_there_are() {
    let output = command(&["doctor"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |what: &str| said.lines().find(|line| line.contains(&format!(" {what} "))).unwrap_or_default();
    for what in ["no_new_privs", "seccomp"] {
        assert!(line(what).starts_with("ok"), "{said}");
    }
    if kernel_is_since(5, 13) {
        assert!(line("Landlock").starts_with("ok"), "{said}");
    } else {
        assert!(line("Landlock").starts_with("note") && line("Landlock").contains("5.13"), "{said}");
    }
}
