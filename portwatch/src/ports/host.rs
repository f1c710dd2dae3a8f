//! The host's own network namespace: that of process 1, as far as this process may look there.
//!
//! Out: which it is, and its range. Must not know: what they are compared with.

use std::path::Path;

use super::netns::{Netns, netns_id, own_id, places};
use super::settings::Settings;
use crate::event::{NetnsId, PortRange, Tgid};

/// What is known of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Host {
    /// Which. None without the right to look at process 1 (root, or `CAP_SYS_PTRACE`).
    pub id: Option<NetnsId>,
    /// `ip_local_port_range` there. None as above, or without the right to enter it.
    pub range: Option<PortRange>,
}

/// Whether to look at what is wanted, all if none, and at the host's own, takes entering a namespace that this process is
/// not in.
#[must_use]
pub fn enters_another(wanted: Option<NetnsId>) -> bool {
    let own = own_id();
    let host = netns_id(&Netns::Process(Tgid(1))).ok().flatten();
    wanted.is_none() || wanted != own || host.is_some_and(|host| own != Some(host))
}

/// Looks at it. Where pid 1 is that of a container, so is its namespace.
#[must_use]
pub fn host() -> Host {
    let place = |netns| places(&netns).ok().and_then(|found| found.places.into_iter().next());
    let Some(host) = place(Netns::Process(Tgid(1))) else { return Host::default() };
    // Nobody needs rights to be where he is.
    let own = place(Netns::Own).filter(|own| own.id() == host.id());
    let id = host.id();
    let settings = own.unwrap_or(host).within(|| Settings::read(Path::new("/proc/sys/net")));
    Host { id: Some(id), range: settings.ok().and_then(Result::ok).map(|settings| settings.range) }
}
