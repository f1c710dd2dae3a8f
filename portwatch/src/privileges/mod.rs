//! Giving up, thread by thread, what is no longer needed once everything is open.
//!
//! In: what a thread still has to do. Out: the same thread, which can do that and little else; what it keeps, and which
//! protection this host does not have. Must not know: what the thread watches, reads or writes. What is missing here is
//! no reason to end: it is said. Why it is built so: docs/decisions/0008-privileges.md.

mod calls;
mod capabilities;
mod files;

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::sys::prctl::set_no_new_privs;

pub use capabilities::Right;

/// What a thread, and those that it starts, still have to do. Everything else is given up.
pub enum Duty<'a> {
    /// Look at processes, at sockets and at the maps of the kernel side.
    Look(Looking),
    /// Read these captures, and folders of them. What could be opened before can be opened after.
    Read(&'a [PathBuf]),
    /// Make, fill and delete files in this folder.
    Record(BorrowedFd<'a>),
    /// Answer who connects to a socket that is open, also about this process itself.
    Answer,
    /// Ask servers of this host that have a Unix socket.
    Ask,
    /// Write to what is open, and wait.
    Write,
}

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Looking {
    /// Whether network namespaces are entered that this process is not in.
    pub enters_namespaces: bool,
    /// Whether bpf(2) answers this thread about objects that are open, with the privileges that it has when this is called;
    /// none where there are no such objects.
    pub maps: Option<fn() -> bool>,
    /// Whether a command was started that is told to end.
    pub ends_command: bool,
}

/// What a thread has come to.
#[derive(Debug)]
pub struct Confined {
    /// Capabilities that it keeps.
    pub kept: Vec<Right>,
    /// Those that it would have kept, and never had.
    pub lacking: Vec<Right>,
    /// Why it may have others as well.
    pub capabilities: Result<(), String>,
    /// Why it may still gain privileges by executing a file.
    pub no_new_privs: Result<(), String>,
    /// The version of Landlock that holds, none for one that looks at other processes, which Landlock forbids; or why none
    /// does.
    pub landlock: Result<Option<u8>, String>,
    /// Why it may make any system call.
    pub seccomp: Result<(), String>,
}

/// What is called by each thread that was confined; tests try what is forbidden. Nobody else sets it.
pub static CONFINED: OnceLock<fn(&'static str)> = OnceLock::new();

/// Confines the calling thread, and those that it will start, to `duty`. There is no way back.
pub fn confine(duty: &Duty<'_>) -> Confined {
    let no_new_privs = set_no_new_privs().map_err(|error| error.to_string());
    let kept = capabilities::keep(&duty.capabilities(), duty.maps());
    let landlock = files::restrict(duty);
    let seccomp = calls::allow(duty);
    let ([kept, lacking], capabilities) = match kept {
        Ok(rights) => (rights, Ok(())),
        Err(error) => (Default::default(), Err(error)),
    };
    let confined = Confined { kept, lacking, capabilities, no_new_privs, landlock, seccomp };
    confined.log(duty.name());
    if let Some(try_what_is_forbidden) = CONFINED.get() {
        try_what_is_forbidden(duty.name());
    }
    confined
}

impl Duty<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Look(_) => "look",
            Self::Read(_) => "read",
            Self::Record(_) => "record",
            Self::Answer => "answer",
            Self::Ask => "ask",
            Self::Write => "write",
        }
    }

    fn maps(&self) -> Option<fn() -> bool> {
        if let Self::Look(look) = self { look.maps } else { None }
    }
}

impl Confined {
    fn log(&self, duty: &str) {
        let Self { kept, capabilities, no_new_privs, landlock, seccomp, .. } = self;
        let names: Vec<_> = kept.iter().map(|kept| kept.name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        log::debug!("a thread that is to {duty} keeps of its capabilities: {names}");
        if let Ok(Some(version)) = landlock {
            log::debug!("a thread that is to {duty} is held by Landlock, version {version}");
        }
        let missing = [
            ("no_new_privs", no_new_privs.as_ref().err()),
            ("giving up capabilities", capabilities.as_ref().err()),
            ("Landlock", landlock.as_ref().err()),
            ("seccomp", seccomp.as_ref().err()),
        ];
        for (what, why) in missing {
            if let Some(why) = why {
                log::debug!("a thread that is to {duty} goes on without {what}: {why}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
