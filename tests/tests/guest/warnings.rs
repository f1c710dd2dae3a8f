//! `trace --warn`: told while it watches, told when it is over, and the exit code for scripts.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portwatch_tests::contract;
use portwatch_tests::netns::Netns;
use portwatch_tests::portwatch::command;
use socket2::SockRef;

const SERVICE: &str = "127.0.0.1:8080";

/// A session whose lines can be waited for.
struct Session {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Session {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, said: String::new() }
    }

    /// Reads until a line has this; that line.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let from = self.said.len();
            assert!(
                self.stdout.read_line(&mut self.said).unwrap() > 0,
                "it ended without {words}: {}",
                self.said
            );
            if self.said[from..].contains(words) {
                return self.said[from..].to_owned();
            }
        }
    }

    /// Interrupts it; its exit code, and all that it said.
    fn end(mut self) -> (Option<i32>, String) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        self.stdout.read_to_string(&mut self.said).unwrap();
        (self.child.wait().unwrap().code(), self.said)
    }
}

/// So many of twenty ports, which are free again at once when these are gone.
fn held(ports: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let connection = TcpStream::connect(SERVICE).unwrap();
        SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        connection
    };
    (0..ports).map(connect).collect()
}

#[test]
fn a_warning_is_told_while_it_lasts_and_when_it_is_over() {
    for (form, warning, recovered) in [
        (&["--json"][..], "\"type\":\"warning\"", "\"type\":\"recovered\""),
        (&[], "warning: ", "recovered: "),
    ] {
        let _netns = Netns::with_ports(40000, 40019).unwrap();
        let _listener = TcpListener::bind(SERVICE).unwrap();
        let mut session = Session::start(&[&["trace", "--warn", "60%", "--fail-on", "warn"], form].concat());
        // 12 of 20 are 60 %. Below half of them nothing is near, however fast it grew.
        let mut connections = held(12);
        let told = session.wait_for(warning);
        connections.truncate(9);
        let over = session.wait_for(recovered);
        let (code, said) = session.end();
        if form.is_empty() {
            assert!(told.contains("60% of the ports from 127.0.0.1 to 127.0.0.1:8080"), "{told}");
            assert!(over.contains("(9 of 20)"), "{over}");
        } else {
            let lines = contract::checked(&said).unwrap();
            let of = |kind| lines.iter().filter(move |line| line["type"] == kind).collect::<Vec<_>>();
            let (told, over) = (of("warning"), of("recovered"));
            assert_eq!((told.len(), over.len()), (1, 1), "{said}");
            let (told, over) = (told[0], over[0]);
            assert_eq!((&told["used"], &told["usable"]), (&12.into(), &20.into()), "{told}");
            assert_eq!((&over["used"], &over["usable"]), (&9.into(), &20.into()), "{over}");
            assert_eq!(told["destination"], over["destination"], "{told} {over}");
        }
        // That it is over again does not undo that it was told.
        assert_eq!(code, Some(3), "{said}");
    }
}

#[test]
fn the_exit_code_tells_whether_there_was_a_warning_if_that_is_asked_for() {
    for (args, warned, code) in [
        (&["--warn", "60%", "--fail-on", "warn"][..], true, 3),
        (&["--warn", "60%"], true, 0),
        (&["--warn", "70%", "--fail-on", "warn"], false, 0),
    ] {
        let _netns = Netns::with_ports(40000, 40019).unwrap();
        let _listener = TcpListener::bind(SERVICE).unwrap();
        let _held = held(12);
        let mut session = Session::start(&[&["trace", "--json"], args].concat());
        session.wait_for("\"type\":\"snapshot\"");
        // The opinion on a snapshot follows it.
        if warned {
            session.wait_for("\"type\":\"warning\"");
        } else {
            session.wait_for("\"type\":\"snapshot\"");
        }
        let (ended, said) = session.end();
        assert_eq!((ended, said.contains("\"type\":\"warning\"")), (Some(code), warned), "{args:?}: {said}");
    }
}
