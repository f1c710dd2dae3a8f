//! Who starts the command: a process that was forked at first, and has kept what the others give up.
//!
//! The command shall be able to do what the user could, and nobody who watches shall be able to start anything. So the
//! launcher runs this one command and no other, with variables whose names begin as portwatch's do, and reads nothing
//! else. In: by a socket, variables and lines. Out: how the command ended. It ends when portwatch does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{ForkResult, Pid, dup2_stdout, fork, setpgid};

/// How long a command may run until it is killed.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks whether it has ended: at first, and the longest.
const LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(320)];
/// How names of variables begin; another name could change what the shell does.
const PREFIX: &[u8] = b"PORTWATCH_";

/// A snapshot has a hundred rows, each with a few processes, whose command lines are cut.
const MOST_BYTES: u32 = 64 << 20;

/// The way to it.
#[derive(Debug)]
pub struct Launcher {
    socket: UnixStream,
    /// How long a command may run.
    pub(super) limit: Duration,
}

impl Launcher {
    /// Forks one that runs `/bin/sh -c COMMAND`.
    ///
    /// # Errors
    /// When there can be no further process.
    ///
    /// # Safety
    /// There must be no other thread: a lock that it holds would be held in the launcher for ever.
    pub unsafe fn fork(command: &OsStr) -> io::Result<Self> {
        let (socket, far) = UnixStream::pair()?;
        // SAFETY: the caller's promise.
        if let ForkResult::Parent { .. } = unsafe { fork() }? {
            return Ok(Self { socket, limit: LIMIT });
        }
        drop(socket);
        // What a terminal sends to portwatch is not for it; who reads portwatch's results need not wait for it.
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        let _ = dup2_stdout(io::stderr());
        let _ = prctl::set_name(c"portwatch-exec");
        let code = i32::from(serve(&far, command, LIMIT).is_err());
        leave(code)
    }

    /// The same by a thread.
    #[cfg(test)]
    pub(super) fn beside(command: OsString, limit: Duration) -> Self {
        let (socket, far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || serve(&far, &command, limit));
        Self { socket, limit }
    }

    /// Has it run: how it ended; none if it had to be killed, with all that it started and that did not leave its process
    /// group.
    pub(super) fn run(
        &self,
        environment: &[(&'static str, OsString)],
        lines: &[u8],
    ) -> io::Result<Option<ExitStatus>> {
        let of = |(name, value): &(&str, OsString)| [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat();
        let environment: Vec<u8> = environment.iter().flat_map(of).collect();
        for part in [environment.as_slice(), lines] {
            send(&self.socket, part)?;
        }
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::other("the process that starts it has ended"),
            _ => error,
        };
        let [kind] = receive_exactly(&self.socket).map_err(gone)?;
        match Answer::of(kind) {
            Answer::Ended => {
                let status = i32::from_le_bytes(receive_exactly(&self.socket)?);
                Ok(Some(ExitStatus::from_raw(status)))
            }
            Answer::Killed => Ok(None),
            Answer::Refused => {
                Err(io::Error::other(String::from_utf8_lossy(&receive(&self.socket)?).into_owned()))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Ended,
    Killed,
    Refused,
}

impl Answer {
    fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Ended,
            1 => Self::Killed,
            _ => Self::Refused,
        }
    }
}

#[expect(clippy::exit, reason = "it must not go on as a second portwatch")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

/// Answers until nobody asks any more.
fn serve(mut socket: &UnixStream, command: &OsStr, limit: Duration) -> io::Result<()> {
    loop {
        socket.set_read_timeout(None)?;
        let environment = receive(socket)?;
        let lines = receive(socket)?;
        let ended =
            start(command, &environment, &lines).and_then(|mut child| wait(&mut child, socket, limit));
        match ended {
            Ok(Ended::By(status)) => {
                socket.write_all(&[Answer::Ended as u8])?;
                socket.write_all(&status.into_raw().to_le_bytes())?;
            }
            Ok(Ended::Killed) => socket.write_all(&[Answer::Killed as u8])?,
            Ok(Ended::Alone) => return Ok(()),
            Err(error) => {
                socket.write_all(&[Answer::Refused as u8])?;
                send(socket, error.to_string().as_bytes())?;
            }
        }
    }
}

fn start(command: &OsStr, environment: &[u8], lines: &[u8]) -> io::Result<Child> {
    // Nothing has to be written while it runs, whether it reads or not; and all is there should this process end.
    let mut input = File::from(memfd_create("portwatch-failure", MFdFlags::MFD_CLOEXEC)?);
    input.write_all(lines)?;
    input.rewind()?;
    // Standard output is for results.
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    let variables = environment.split(|byte| *byte == 0).filter(|variable| variable.starts_with(PREFIX));
    let variables = variables.filter_map(|variable| {
        let at = memchr::memchr(b'=', variable)?;
        Some((OsStr::from_bytes(&variable[..at]), OsStr::from_bytes(&variable[at + 1..])))
    });
    Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .envs(variables)
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .process_group(0)
        .spawn()
}

enum Ended {
    By(ExitStatus),
    Killed,
    /// Portwatch has ended, and left it alone.
    Alone,
}

fn wait(child: &mut Child, mut socket: &UnixStream, limit: Duration) -> io::Result<Ended> {
    let (since, [mut pause, longest]) = (Instant::now(), LOOKS);
    while since.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::By(status));
        }
        // Nobody asks before there is an answer: what can be read is the end.
        socket.set_read_timeout(Some(pause))?;
        if let Ok(0) = socket.read(&mut [0]) {
            return Ok(Ended::Alone);
        }
        pause = (2 * pause).min(longest);
    }
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    killpg(group, Signal::SIGKILL)?;
    child.wait().map(|_| Ended::Killed)
}

fn send(mut socket: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    socket.write_all(&length.to_le_bytes())?;
    socket.write_all(bytes)
}

fn receive(socket: &UnixStream) -> io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(receive_exactly(socket)?);
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    socket.take(length.into()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn receive_exactly<const LENGTH: usize>(mut socket: &UnixStream) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
}
