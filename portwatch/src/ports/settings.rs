//! What a namespace offers to outgoing connections.
//!
//! In: the folder of its network settings; those of IPv4 count for IPv6 too (net/ipv6 asks
//! `inet_get_local_port_range`). Out: the range, the ports that are reserved in it, and what decides which advice helps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::event::{self, PortRange};

/// Ports, one bit each.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet(Box<[u64; 1024]>);

/// The range and what is taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ip_local_port_range`.
    pub range: PortRange,
    /// `ip_local_reserved_ports`, inside of the range and outside.
    pub reserved: PortSet,
    /// The others.
    pub others: event::Settings,
}

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("read {}: {error}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The kernel wrote what this version does not know.
    #[error("read {}: not what the kernel writes there: '{text}'", .path.display())]
    Unknown {
        /// Which.
        path: PathBuf,
        /// What, escaped.
        text: String,
    },
}

impl Settings {
    /// Reads them below `folder`: `/proc/sys/net` is that of the namespace of the thread that reads.
    ///
    /// # Errors
    /// When a file cannot be read or understood.
    pub fn read(folder: &Path) -> Result<Self, SettingsError> {
        Ok(Self {
            range: parsed(folder, "ipv4/ip_local_port_range", range)?,
            reserved: parsed(folder, "ipv4/ip_local_reserved_ports", ports)?,
            others: event::Settings {
                tcp_tw_reuse: number(folder, "ipv4/tcp_tw_reuse"),
                tcp_tw_reuse_delay_ms: number(folder, "ipv4/tcp_tw_reuse_delay"),
                tcp_timestamps: switch(folder, "ipv4/tcp_timestamps"),
                ip_unprivileged_port_start: number(folder, "ipv4/ip_unprivileged_port_start"),
                ip_nonlocal_bind: switch(folder, "ipv4/ip_nonlocal_bind"),
                ipv6_nonlocal_bind: switch(folder, "ipv6/ip_nonlocal_bind"),
                ipv6_disabled: ipv6_disabled(&folder.join("ipv6/conf")),
            },
        })
    }

    /// Whether the kernel may choose this port.
    #[must_use]
    pub fn offers(&self, port: u16) -> bool {
        self.range.contains(port) && !self.reserved.contains(port)
    }

    /// Ports of the range that are reserved.
    #[must_use]
    pub fn reserved_in_range(&self) -> u32 {
        let reserved = self.reserved.ports().filter(|port| self.range.contains(*port)).count();
        u32::try_from(reserved).unwrap_or(u32::MAX)
    }

    /// Ports of the range that are not reserved.
    #[must_use]
    pub fn offered(&self) -> u32 {
        self.range.width() - self.reserved_in_range()
    }
}

impl PortSet {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self(Box::new([0; 1024]))
    }

    /// Adds one.
    pub fn insert(&mut self, port: u16) {
        self.0[usize::from(port / 64)] |= 1 << (port % 64);
    }

    /// Each of them, in order.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        let words = (0..=u16::MAX).step_by(64).zip(self.0.iter().copied()).filter(|(_, bits)| *bits != 0);
        words.flat_map(|(first, bits)| {
            (first..=first + 63).filter(move |port| bits >> (port - first) & 1 == 1)
        })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    /// All of them, neighbours together, in order.
    #[must_use]
    pub fn ranges(&self) -> Vec<PortRange> {
        let mut ranges: Vec<PortRange> = Vec::new();
        for port in self.ports() {
            match ranges.last_mut() {
                Some(last) if port - last.high == 1 => last.high = port,
                _ => ranges.push(PortRange { low: port, high: port }),
            }
        }
        ranges
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0[usize::from(port / 64)] & (1 << (port % 64)) != 0
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for PortSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.ports()).finish()
    }
}

fn parsed<T>(folder: &Path, name: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, SettingsError> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => parse(text.trim())
            .ok_or_else(|| SettingsError::Unknown { path, text: text.escape_debug().to_string() }),
        Err(error) => Err(SettingsError::Unreadable { path, error }),
    }
}

/// A setting that may not be there.
fn number<T: FromStr>(folder: &Path, name: &str) -> Option<T> {
    fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

/// A setting that is on or off, or not there.
fn switch(folder: &Path, name: &str) -> Option<bool> {
    number(folder, name).map(|value: u32| value != 0)
}

/// Whether IPv6 is off on all interfaces; none where it is on some.
fn ipv6_disabled(conf: &Path) -> Option<bool> {
    let entries = match fs::read_dir(conf) {
        Ok(entries) => entries,
        // A kernel without IPv6, or booted so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(true),
        Err(_) => return None,
    };
    let interfaces =
        entries.flatten().filter(|entry| !["all", "default"].map(Into::into).contains(&entry.file_name()));
    let off = |path: PathBuf| switch(&path, "disable_ipv6");
    let states: Option<Vec<bool>> = interfaces.map(|entry| off(entry.path())).collect();
    let states = states?;
    let first = *states.first()?;
    states.iter().all(|state| *state == first).then_some(first)
}

/// Two numbers.
fn range(text: &str) -> Option<PortRange> {
    let mut words = text.split_ascii_whitespace().map(str::parse::<u16>);
    let (low, high) = (words.next()?.ok()?, words.next()?.ok()?);
    (low <= high && words.next().is_none()).then_some(PortRange { low, high })
}

/// Numbers and ranges with commas between (`proc_do_large_bitmap`, kernel/sysctl.c).
fn ports(text: &str) -> Option<PortSet> {
    let mut set = PortSet::new();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let (low, high) = word.split_once('-').unwrap_or((word, word));
        (low.parse().ok()?..=high.parse().ok()?).for_each(|port| set.insert(port));
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{PortRange, Settings, event};

    fn read(range: &str, reserved: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ipv4")).unwrap();
        fs::write(folder.path().join("ipv4/ip_local_port_range"), range).unwrap();
        fs::write(folder.path().join("ipv4/ip_local_reserved_ports"), reserved).unwrap();
        Settings::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn ports_are_offered_that_are_in_the_range_and_not_reserved() {
        let settings = read("40000\t40009\n", "8080,39990-40001,40005,65535\n").unwrap();
        assert_eq!(settings.range, PortRange { low: 40000, high: 40009 });
        assert_eq!((settings.reserved_in_range(), settings.offered()), (3, 7));
        let offered: Vec<u16> = (0..=u16::MAX).filter(|port| settings.offers(*port)).collect();
        assert_eq!(offered, [40002, 40003, 40004, 40006, 40007, 40008, 40009]);
        let ranges: Vec<_> = settings.reserved.ranges().iter().map(|range| (range.low, range.high)).collect();
        assert_eq!(ranges, [(8080, 8080), (39990, 40001), (40005, 40005), (65535, 65535)]);
    }

    #[test]
    fn what_decides_which_advice_helps_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, value: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        };
        put("ipv4/ip_local_port_range", "32768\t60999\n");
        put("ipv4/ip_local_reserved_ports", "\n");
        let read = || Settings::read(folder.path()).unwrap().others;
        assert_eq!(read(), event::Settings { ipv6_disabled: Some(true), ..event::Settings::default() });
        put("ipv4/tcp_tw_reuse", "2\n");
        put("ipv4/tcp_tw_reuse_delay", "1000\n");
        put("ipv4/tcp_timestamps", "1\n");
        put("ipv4/ip_unprivileged_port_start", "1024\n");
        put("ipv4/ip_nonlocal_bind", "0\n");
        put("ipv6/ip_nonlocal_bind", "1\n");
        // These two say what new interfaces begin with.
        put("ipv6/conf/all/disable_ipv6", "0\n");
        put("ipv6/conf/default/disable_ipv6", "0\n");
        put("ipv6/conf/lo/disable_ipv6", "1\n");
        let expected = event::Settings {
            tcp_tw_reuse: Some(2),
            tcp_tw_reuse_delay_ms: Some(1000),
            tcp_timestamps: Some(true),
            ip_unprivileged_port_start: Some(1024),
            ip_nonlocal_bind: Some(false),
            ipv6_nonlocal_bind: Some(true),
            ipv6_disabled: Some(true),
        };
        assert_eq!(read(), expected);
        put("ipv6/conf/eth0/disable_ipv6", "0\n");
        assert_eq!(read().ipv6_disabled, None);
        put("ipv6/conf/lo/disable_ipv6", "0\n");
        assert_eq!(read().ipv6_disabled, Some(false));
    }

    #[test]
    fn nothing_is_reserved_by_default_and_everything_can_be() {
        assert_eq!(read("32768\t60999\n", "\n").unwrap().offered(), 28232);
        assert_eq!(read("1\t65535\n", "0-65535\n").unwrap().offered(), 0);
    }

    #[test]
    fn what_is_no_setting_is_refused_with_where_it_stands() {
        for (range, reserved) in
            [("", ""), ("1", ""), ("a b", ""), ("5 4", ""), ("1 2 3", ""), ("1 2", "x"), ("1 2", "3-x")]
        {
            let error = read(range, reserved).unwrap_err();
            assert!(error.contains("ip_local_") && error.contains("not what"), "{range} {reserved}: {error}");
        }
        let error = Settings::read(std::path::Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().starts_with("read /nowhere/ipv4/ip_local_port_range: "), "{error}");
    }
}
