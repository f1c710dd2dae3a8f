//! Settings of the network namespace that portwatch runs in, read again and again: for where no hook tells of changes.
//!
//! In: a root, `/proc` outside tests. Out: what is another value than before. Who changed it, or whether it was changed
//! and changed back in between, is not seen.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::event::{BootNs, NetnsId, Setting, SettingChange, Text};

/// Values that are looked at: of a host with more interfaces the first ones in the order of the folder. One takes some
/// ten microseconds to read.
const MAX_VALUES: usize = 256;

/// What the values were.
pub struct Sysctls {
    root: PathBuf,
    netns: NetnsId,
    values: BTreeMap<Text, String>,
    beyond: bool,
}

impl Sysctls {
    /// Reads them below `proc_root` for the first time.
    ///
    /// # Errors
    /// When the namespace cannot be told.
    pub fn new(proc_root: impl Into<PathBuf>) -> io::Result<Self> {
        let root: PathBuf = proc_root.into();
        let number = fs::metadata(root.join("thread-self/ns/net"))?.ino();
        // Numbers of namespaces have 32 bits (`ns_common.inum`).
        let netns = NetnsId(u32::try_from(number).map_err(io::Error::other)?);
        let (values, beyond) = read(&root);
        Ok(Self { root, netns, values, beyond })
    }

    /// Whether there are more values than are looked at.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.beyond
    }

    /// What has changed since this was last asked. Interfaces that come or go change nothing.
    pub fn changes(&mut self, at: BootNs) -> Vec<SettingChange> {
        let (values, beyond) = read(&self.root);
        self.beyond |= beyond;
        let changed = values.iter().filter_map(|(key, new)| {
            let old = self.values.get(key).filter(|old| *old != new)?.clone();
            let (key, old, new) = (key.clone(), Some(old), new.clone());
            Some(SettingChange { at, key, netns: self.netns, old, new, by: None })
        });
        let changed = changed.collect();
        self.values = values;
        changed
    }
}

/// Every value by its key, and whether some had no room.
fn read(root: &Path) -> (BTreeMap<Text, String>, bool) {
    let mut values = BTreeMap::new();
    let mut beyond = false;
    for setting in Setting::ALL {
        let (before, after) = setting.path();
        let before = root.join("sys").join(before);
        let Some(after) = after else {
            values.extend(value(&before).map(|value| (setting.key(b""), value)));
            continue;
        };
        for folder in fs::read_dir(&before).into_iter().flatten().flatten() {
            if values.len() == MAX_VALUES {
                beyond = true;
                break;
            }
            let path = folder.path().join(after.trim_start_matches('/'));
            let name = folder.file_name();
            values.extend(value(&path).map(|value| (setting.key(name.as_bytes()), value)));
        }
    }
    (values, beyond)
}

/// None where this kernel has no such setting, or the interface has gone.
fn value(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_end_matches('\n').replace('\t', " "))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::{MAX_VALUES, Sysctls};
    use crate::event::BootNs;

    const RANGE: &str = "sys/net/ipv4/ip_local_port_range";

    fn put(root: &Path, path: &str, value: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }

    fn proc_root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "thread-self/ns/net", "");
        put(root.path(), RANGE, "32768\t60999\n");
        put(root.path(), "sys/net/ipv4/ip_local_reserved_ports", "\n");
        put(root.path(), "sys/net/ipv6/conf/lo/disable_ipv6", "0\n");
        root
    }

    /// Key, old and new.
    fn changed(sysctls: &mut Sysctls) -> Vec<(String, String, String)> {
        let changes = sysctls.changes(BootNs(5)).into_iter().map(|change| {
            assert_eq!((change.at, change.by), (BootNs(5), None));
            (String::from_utf8(change.key.0).unwrap(), change.old.unwrap(), change.new)
        });
        changes.collect()
    }

    #[test]
    fn another_value_is_told_once_and_the_same_is_not() {
        let root = proc_root();
        let mut sysctls = Sysctls::new(root.path()).unwrap();
        assert_eq!(changed(&mut sysctls), []);
        put(root.path(), RANGE, "1024\t65535\n");
        put(root.path(), "sys/net/ipv4/ip_local_reserved_ports", "8080\n");
        let told = |key: &str, old: &str, new: &str| (key.to_owned(), old.to_owned(), new.to_owned());
        let expected = [
            told("net.ipv4.ip_local_port_range", "32768 60999", "1024 65535"),
            told("net.ipv4.ip_local_reserved_ports", "", "8080"),
        ];
        assert_eq!(changed(&mut sysctls), expected);
        put(root.path(), RANGE, "1024\t65535\n");
        assert_eq!(changed(&mut sysctls), []);
    }

    #[test]
    fn it_is_told_of_which_namespace() {
        let root = proc_root();
        let mut sysctls = Sysctls::new(root.path()).unwrap();
        put(root.path(), RANGE, "1\t2\n");
        let inode = fs::metadata(root.path().join("thread-self/ns/net")).unwrap().ino();
        assert_eq!(u64::from(sysctls.changes(BootNs(0))[0].netns.0), inode);
        fs::remove_dir_all(root.path().join("thread-self")).unwrap();
        assert!(Sysctls::new(root.path()).is_err());
    }

    #[test]
    fn settings_of_one_name_are_told_apart_by_their_folder() {
        let root = proc_root();
        for family in ["ipv4", "ipv6"] {
            put(root.path(), &format!("sys/net/{family}/ip_nonlocal_bind"), "0\n");
        }
        let mut sysctls = Sysctls::new(root.path()).unwrap();
        put(root.path(), "sys/net/ipv6/ip_nonlocal_bind", "1\n");
        let expected = [("net.ipv6.ip_nonlocal_bind".to_owned(), "0".to_owned(), "1".to_owned())];
        assert_eq!(changed(&mut sysctls), expected);
    }

    #[test]
    fn an_interface_that_comes_or_goes_changes_nothing() {
        let root = proc_root();
        let mut sysctls = Sysctls::new(root.path()).unwrap();
        put(root.path(), "sys/net/ipv6/conf/eth0.7/disable_ipv6", "1\n");
        assert_eq!(changed(&mut sysctls), []);
        put(root.path(), "sys/net/ipv6/conf/eth0.7/disable_ipv6", "0\n");
        let told = changed(&mut sysctls);
        assert_eq!(told[0].0, "net.ipv6.conf.eth0/7.disable_ipv6", "{told:?}");
        fs::remove_dir_all(root.path().join("sys/net/ipv6/conf/eth0.7")).unwrap();
        assert_eq!(changed(&mut sysctls), []);
    }

    #[test]
    fn of_a_host_with_very_many_interfaces_some_are_looked_at_and_that_is_known() {
        let root = proc_root();
        let sysctls = Sysctls::new(root.path()).unwrap();
        assert!(!sysctls.has_more());
        for n in 0..MAX_VALUES {
            put(root.path(), &format!("sys/net/ipv6/conf/veth{n}/disable_ipv6"), "0\n");
        }
        let mut sysctls = Sysctls::new(root.path()).unwrap();
        assert!(sysctls.has_more());
        assert_eq!(sysctls.values.len(), MAX_VALUES);
        put(root.path(), RANGE, "1\t2\n");
        assert_eq!(changed(&mut sysctls).len(), 1);
    }
}
