//! Names of users, from the file that has them (passwd(5)).
//!
//! In: a user id of the initial user namespace. Out: its name there. Other sources of names (a directory service) are not
//! asked: they take a network, and this may be what has failed.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::event::Text;

/// Bytes of the file that are read.
const MOST_BYTES: u64 = 1 << 20;
/// Users that are remembered, the first ones.
const MOST_USERS: usize = 16_384;
/// Bytes of a name: more than login names may have anywhere.
const MOST_NAME: usize = 256;

/// What the file said when it was read last.
pub(super) struct Users {
    path: PathBuf,
    state: Option<Stamp>,
    names: HashMap<u32, Text>,
}

/// Changes with the file: its number, its length, and when it was written, in seconds and nanoseconds.
type Stamp = (u64, u64, i64, i64);

fn stamp(facts: &Metadata) -> Stamp {
    (facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec())
}

impl Users {
    /// Those of the file at `path`.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), state: None, names: HashMap::new() }
    }

    /// The name of this one, if it has one.
    pub(super) fn name(&mut self, uid: u32) -> Option<Text> {
        let state = std::fs::metadata(&self.path).ok().map(|facts| stamp(&facts));
        if state != self.state {
            self.state = state;
            self.names = self.read().unwrap_or_default();
        }
        self.names.get(&uid).cloned()
    }

    fn read(&self) -> io::Result<HashMap<u32, Text>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        let mut names = HashMap::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            // NAME:PASSWORD:UID:…
            let mut fields = line.split(|byte| *byte == b':');
            let name = fields.next().filter(|name| (1..=MOST_NAME).contains(&name.len()));
            let uid = fields.nth(1).and_then(|uid| std::str::from_utf8(uid).ok()?.parse().ok());
            if let (Some(name), Some(uid), true) = (name, uid, names.len() < MOST_USERS) {
                // The first one counts, as for getpwuid(3).
                names.entry(uid).or_insert_with(|| Text(name.to_vec()));
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Users;
    use crate::event::Text;

    #[test]
    fn names_are_those_of_the_file_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let mut users = Users::new(&path);
        let mut name = |uid| users.name(uid).map(|Text(name)| String::from_utf8_lossy(&name).into_owned());
        assert_eq!(name(0), None, "no file");
        let lines =
            "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbroken\n:x:5:\nx:y:z\nw\x1b[2Jw:x:33:33:::";
        fs::write(&path, lines).unwrap();
        let cases = [(0, Some("root")), (33, Some("w\x1b[2Jw")), (5, None), (1, None)];
        for (uid, expected) in cases {
            assert_eq!(name(uid).as_deref(), expected, "{uid}");
        }
        let next = folder.path().join("next");
        fs::write(&next, "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/:\n").unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!((name(1000).as_deref(), name(33)), (Some("alice"), None));
    }

    #[test]
    fn of_a_file_without_end_so_much_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        let lines: Vec<String> = (0..60_000).map(|uid| format!("user{uid}:x:{uid}:0:::")).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let mut users = Users::new(&path);
        assert_eq!(users.name(7), Some(Text(b"user7".to_vec())));
        assert_eq!(users.name(59_999), None);
        assert!(users.names.len() <= super::MOST_USERS);
    }
}
