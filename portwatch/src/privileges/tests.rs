//! In threads of their own, as there is no way back.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::{Confined, Duty, Looking, confine};

const LOOKING: Looking = Looking { enters_namespaces: false, maps: None, ends_command: false };

/// What `work` returns in a thread that was confined to `duty`; none, said, where this host does not confine it.
fn within<T: Send>(duty: &Duty<'_>, work: impl FnOnce(&Confined) -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let confined = scope.spawn(move || {
            let confined = confine(duty);
            if let Err(why) = &confined.seccomp {
                println!("skipped: no seccomp here: {why}");
                return None;
            }
            Some(work(&confined))
        });
        confined.join().unwrap()
    })
}

fn is_denied<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[test]
fn whoever_looks_reads_and_lists_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "text").unwrap();
    within(&Duty::Look(LOOKING), |_| {
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(fs::read_link("/proc/self/exe").is_ok());
        let denied = [
            ("write a file", is_denied(fs::write(&path, "other"))),
            ("append to one", is_denied(File::options().append(true).open(&path))),
            ("make one", is_denied(File::create(folder.path().join("new")))),
            ("remove one", is_denied(fs::remove_file(&path))),
            ("execute one", is_denied(Command::new("/bin/true").status())),
            ("open a TCP socket", is_denied(TcpStream::connect("127.0.0.1:9"))),
            ("open a UDP socket", is_denied(UdpSocket::bind("127.0.0.1:0"))),
        ];
        for (what, denied) in denied {
            assert!(denied, "{what}");
        }
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
}

#[test]
fn whoever_looks_starts_threads_that_are_confined_too() {
    within(&Duty::Look(LOOKING), |_| {
        let denied = thread::spawn(|| is_denied(Command::new("/bin/true").status())).join().unwrap();
        assert!(denied);
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line} is not in {status}");
        }
    });
}

#[test]
fn whoever_records_stays_in_its_folder() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = elsewhere.path().join("other");
    fs::write(&other, "text").unwrap();
    let opened = File::open(folder.path()).unwrap();
    within(&Duty::Record(opened.as_fd()), |confined| {
        let part = folder.path().join("part");
        fs::write(&part, "lines").unwrap();
        mkdirat(&opened, "sealed", Mode::S_IRWXU).unwrap();
        linkat(&opened, "part", &opened, "sealed/part", AtFlags::empty()).unwrap();
        renameat(&opened, "part", &opened, "whole").unwrap();
        unlinkat(&opened, "whole", UnlinkatFlags::NoRemoveDir).unwrap();
        assert!(is_denied(Command::new("/bin/true").status()));
        assert!(is_denied(TcpListener::bind("127.0.0.1:0")));
        let Ok(Some(_)) = confined.landlock else {
            println!("skipped: no Landlock here: {:?}", confined.landlock);
            return;
        };
        assert!(is_denied(fs::write(&other, "lines")));
        assert!(is_denied(fs::read(&other)));
        assert!(is_denied(fs::write(elsewhere.path().join("new"), "lines")));
    });
    assert_eq!(fs::read_to_string(&other).unwrap(), "text");
}

#[test]
fn whoever_reads_captures_reads_these_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let [capture, other] = ["capture", "other"].map(|name| folder.path().join(name));
    fs::write(&capture, "lines").unwrap();
    fs::write(&other, "text").unwrap();
    within(&Duty::Read(&[capture.clone(), "/nowhere".into()]), |confined| {
        assert_eq!(fs::read_to_string(&capture).unwrap(), "lines");
        assert!(is_denied(fs::write(&capture, "other")));
        assert!(is_denied(UdpSocket::bind("127.0.0.1:0")));
        assert!(confined.kept.is_empty(), "{:?}", confined.kept);
        match confined.landlock {
            Ok(Some(_)) => assert!(is_denied(fs::read(&other))),
            _ => println!("skipped: no Landlock here: {:?}", confined.landlock),
        }
    });
}

#[test]
fn whoever_asks_connects_to_unix_sockets_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    within(&Duty::Ask, |confined| {
        assert!(confined.kept.is_empty(), "{:?}", confined.kept);
        assert!(UnixStream::connect(&socket).is_ok());
        let denied = [
            ("listen to a Unix socket", is_denied(UnixListener::bind(folder.path().join("other")))),
            ("open a TCP socket", is_denied(TcpStream::connect("127.0.0.1:9"))),
            ("open a UDP socket", is_denied(UdpSocket::bind("127.0.0.1:0"))),
            ("open a file", is_denied(File::open("/dev/null"))),
            ("list a folder", is_denied(fs::read_dir(folder.path()))),
            ("execute a file", is_denied(Command::new("/bin/true").status())),
        ];
        for (what, denied) in denied {
            assert!(denied, "{what}");
        }
    });
    drop(listener);
}

#[test]
fn whoever_writes_keeps_nothing() {
    within(&Duty::Write, |confined| {
        assert!(confined.kept.is_empty(), "{:?}", confined.kept);
        assert!(is_denied(File::open("/dev/null")));
        let status = Path::new("/proc/thread-self/status");
        assert!(is_denied(fs::read(status)));
    });
}

#[test]
fn capabilities_without_a_reason_go() {
    within(&Duty::Look(LOOKING), |confined| {
        assert_eq!(confined.capabilities, Ok(()));
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let bits = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE, if the thread had them.
        let most = 1 << 2 | 1 << 19;
        for set in ["CapEff:", "CapPrm:"] {
            assert_eq!(bits(set) & !most, 0, "{set} in {status}");
        }
        for set in ["CapInh:", "CapAmb:"] {
            assert_eq!(bits(set), 0, "{set} in {status}");
        }
        assert_eq!(bits("CapEff:").count_ones() as usize, confined.kept.len(), "{status}");
    });
}
