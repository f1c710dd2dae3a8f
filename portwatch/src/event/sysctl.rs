//! Settings of the kernel that decide about local ports, and what became of them.

use super::{BootNs, NetnsId, Process, Text};

/// A setting, by its path below /proc/sys; `*` stands for a folder, that of an interface or of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Setting(&'static str);

/// Stands for the folder in which a setting is: its name is all that tells one of the same name from another.
const FOLDER: &str = "*";

impl Setting {
    /// Those whose changes are told. A kernel may lack some: `tcp_tw_reuse_delay` (6.14), `ip_autobind_reuse` (5.7),
    /// `ip_local_port_step_width` (7.1). Those of IPv4 hold for IPv6 too, but for `ip_nonlocal_bind`, which each has.
    pub const ALL: [Self; 12] = [
        Self("net/ipv4/ip_local_port_range"),
        Self("net/ipv4/ip_local_reserved_ports"),
        Self("net/ipv4/ip_local_port_step_width"),
        Self("net/ipv4/ip_autobind_reuse"),
        Self("net/ipv4/ip_unprivileged_port_start"),
        Self("net/ipv4/tcp_tw_reuse"),
        Self("net/ipv4/tcp_tw_reuse_delay"),
        Self("net/ipv4/tcp_timestamps"),
        Self("net/ipv4/tcp_fin_timeout"),
        Self("net/ipv4/tcp_max_tw_buckets"),
        Self("net/*/ip_nonlocal_bind"),
        Self("net/ipv6/conf/*/disable_ipv6"),
    ];

    /// The last part of its path.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.rsplit('/').next().unwrap_or(self.0)
    }

    /// Its path: as a whole, or before and after the folder.
    #[must_use]
    pub fn path(self) -> (&'static str, Option<&'static str>) {
        self.0.split_once(FOLDER).map_or((self.0, None), |(before, after)| (before, Some(after)))
    }

    /// Its name as sysctl(8) takes it, in `folder` where it may be in several. Dots in an interface's name become slashes
    /// there, and the other way round.
    #[must_use]
    pub fn key(self, folder: &[u8]) -> Text {
        let dotted = |path: &str| path.replace('/', ".").into_bytes();
        let (before, after) = self.path();
        let Some(after) = after else { return Text(dotted(before)) };
        let folder = folder.iter().map(|byte| if *byte == b'.' { b'/' } else { *byte }).collect();
        Text([dotted(before), folder, dotted(after)].concat())
    }
}

/// A setting that was changed while portwatch was watching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// When the kernel had taken the new value; where no hook tells, when it was noticed.
    pub at: BootNs,
    /// Which, by its name as sysctl(8) takes it. A part of it may be the name of an interface, which is anything.
    pub key: Text,
    /// Of which network namespace.
    pub netns: NetnsId,
    /// Its value before, as it is read from /proc/sys, with one space for each tab; none where that is not known.
    pub old: Option<String>,
    /// Its value after, likewise.
    pub new: String,
    /// Who wrote it; none where no hook tells.
    pub by: Option<Process>,
}

#[cfg(test)]
mod tests {
    use super::Setting;

    #[test]
    fn a_key_is_what_sysctl_takes() {
        let key = |path, interface: &[u8]| String::from_utf8(Setting(path).key(interface).0).unwrap();
        assert_eq!(key("net/ipv4/ip_local_port_range", b"ipv4"), "net.ipv4.ip_local_port_range");
        let of_both = "net/*/ip_nonlocal_bind";
        assert_eq!(key(of_both, b"ipv4"), "net.ipv4.ip_nonlocal_bind");
        assert_eq!(key(of_both, b"ipv6"), "net.ipv6.ip_nonlocal_bind");
        let of_interface = "net/ipv6/conf/*/disable_ipv6";
        assert_eq!(key(of_interface, b"lo"), "net.ipv6.conf.lo.disable_ipv6");
        assert_eq!(key(of_interface, b"eth0.100"), "net.ipv6.conf.eth0/100.disable_ipv6");
    }

    #[test]
    fn each_setting_is_known_by_its_name_alone() {
        let mut names = Setting::ALL.map(Setting::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains('/')), "{names:?}");
    }
}
