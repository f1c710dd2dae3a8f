//! Capabilities: each has a reason, or goes.
//!
//! They belong to threads (capabilities(7)): what one gives up, those have not that it starts later, and the others still
//! have.

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{AccessFlags, faccessat};

use super::Duty;

/// A capability, and the use there is for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// As in capabilities(7).
    pub name: &'static str,
    /// For what.
    pub why: &'static str,
}

/// A capability that there is a use for.
pub(super) struct Use {
    capability: Capability,
    right: Right,
}

const fn needed(capability: Capability, name: &'static str, why: &'static str) -> Use {
    Use { capability, right: Right { name, why } }
}

const PTRACE: Use = needed(
    Capability::CAP_SYS_PTRACE,
    "CAP_SYS_PTRACE",
    "executables, descriptors and namespaces of other users' processes in /proc",
);
const READ_SEARCH: Use = needed(
    Capability::CAP_DAC_READ_SEARCH,
    "CAP_DAC_READ_SEARCH",
    "the folders of other users' descriptors, /proc/PID/fd, and control groups by their number",
);
const ENTER: Use =
    needed(Capability::CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "entering the network namespaces of containers");
const KILL: Use = needed(
    Capability::CAP_KILL,
    "CAP_KILL",
    "ending the command that runs meanwhile, if it has changed its user",
);
const READ_FILES: Use =
    needed(Capability::CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "captures that belong to another user");
const READS_MAPS: &str = "reading the maps, for which this kernel (before 5.19) wants it";
/// What makes bpf(2) answer, the lesser one first (`bpf_capable()`, include/linux/capability.h).
const MAPS: [Use; 2] = [
    needed(Capability::CAP_BPF, "CAP_BPF", READS_MAPS),
    needed(Capability::CAP_SYS_ADMIN, "CAP_SYS_ADMIN", READS_MAPS),
];

impl Duty<'_> {
    /// What there is a use for; those of maps are found by trying.
    pub(super) fn capabilities(&self) -> Vec<Use> {
        match self {
            Self::Look(look) => {
                let optional = [(ENTER, look.enters_namespaces), (KILL, look.ends_command)];
                let wanted = optional.into_iter().filter(|(_, wanted)| *wanted).map(|(used, _)| used);
                [PTRACE, READ_SEARCH].into_iter().chain(wanted).collect()
            }
            Self::Read(paths) => {
                let is_closed = |path: &std::path::PathBuf| {
                    let flags = nix::fcntl::AtFlags::AT_EACCESS;
                    let access = |wanted| faccessat(nix::fcntl::AT_FDCWD, path, wanted, flags);
                    without_all(|| access(AccessFlags::R_OK).is_err()) && access(AccessFlags::R_OK).is_ok()
                };
                if paths.iter().any(is_closed) { vec![READ_FILES] } else { Vec::new() }
            }
            Self::Record(_) | Self::Answer | Self::Ask | Self::Write => Vec::new(),
        }
    }
}

/// What `asked` answers while no capability is effective. Where that cannot be, nothing needs one.
fn without_all(asked: impl FnOnce() -> bool) -> bool {
    let Ok(before) = caps::read(None, CapSet::Effective) else { return false };
    if caps::clear(None, CapSet::Effective).is_err() {
        return false;
    }
    let answer = asked();
    // They are permitted still.
    let _ = caps::set(None, CapSet::Effective, &before);
    answer
}

/// Gives up all but those of `uses` that this thread has, and what `maps` turns out to need: what is kept, and what there
/// would have been a use for.
pub(super) fn keep(uses: &[Use], maps: Option<fn() -> bool>) -> Result<[Vec<Right>; 2], String> {
    try_to_keep(uses, maps).map_err(|error| error.to_string())
}

fn try_to_keep(uses: &[Use], maps: Option<fn() -> bool>) -> Result<[Vec<Right>; 2], CapsError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    // What a file that is executed could give; a process without this right can neither, and has no_new_privs.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    let (mut kept, lacking): (Vec<&Use>, Vec<&Use>) =
        uses.iter().partition(|used| permitted.contains(&used.capability));
    let set = |kept: &[&Use]| kept.iter().map(|used| used.capability).collect::<CapsHashSet>();
    caps::set(None, CapSet::Effective, &set(&kept))?;
    if let Some(answers) = maps
        && !answers()
        && let Some(used) = MAPS.iter().find(|used| permitted.contains(&used.capability))
    {
        kept.push(used);
        caps::set(None, CapSet::Effective, &set(&kept))?;
    }
    caps::set(None, CapSet::Permitted, &set(&kept))?;
    caps::clear(None, CapSet::Inheritable)?;
    Ok([kept, lacking].map(|uses| uses.into_iter().map(|used| used.right.clone()).collect()))
}
