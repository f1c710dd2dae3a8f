//! Landlock: which files a thread may reach from now on.
//!
//! Those that are open stay open. Who is held by Landlock may not look into processes that are not, whatever its
//! capabilities (security/landlock/task.c, hook_ptrace_access_check): executables, descriptors and namespaces in /proc. So
//! threads that look at processes are left alone; for them it is `calls` that lets nothing be written.

use std::path::Path;

use landlock::BitFlags;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, PathBeneath,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};

use super::Duty;

/// The newest version that was tried. Of older ones that there is as much as they know.
const VERSION: ABI = ABI::V6;

/// Holds this thread to the files of its duty: which version does; none where it is not to be held.
pub(super) fn restrict(duty: &Duty<'_>) -> Result<Option<u8>, String> {
    let restricted = match duty {
        Duty::Look(_) => return Ok(None),
        Duty::Read(paths) => to_read(paths.iter().map(AsRef::as_ref)),
        Duty::Record(folder) => {
            nothing().and_then(|rules| rules.add_rule(PathBeneath::new(folder, recording())))
        }
        Duty::Answer => to_read([Path::new("/proc/self")].into_iter()),
        // It knows nothing of who connects to a socket that has a file.
        Duty::Ask | Duty::Write => nothing(),
    };
    let status = restricted.and_then(RulesetCreated::restrict_self).map_err(|error| error.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotImplemented) => {
            Err("this kernel has none (it is there from 5.13 on, if it was built with it)".to_owned())
        }
        (RulesetStatus::NotEnforced, _) => {
            Err("it is not among the security modules that were chosen at boot (`lsm=`)".to_owned())
        }
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(u8::try_from((effective_abi as i32).min(VERSION as i32)).ok())
        }
        (_, other) => Err(format!("{other:?}")),
    }
}

/// No file, no connection, and nobody outside to signal.
fn nothing() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()
}

fn to_read<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<RulesetCreated, RulesetError> {
    // What is not there is said when it is read.
    nothing()?.add_rules(path_beneath_rules(paths, AccessFs::ReadFile | AccessFs::ReadDir))
}

/// What recording does in its folder: parts come and go, sealed copies have folders of their own, into which parts are
/// linked.
fn recording() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer
}
