//! Names of Kubernetes pods and containers, from the names that kubelet gives folders and files of logs.
//!
//! In: the identifier of a pod or a container. Out: what Kubernetes calls it. Nothing in these folders is opened, and no
//! server is asked: what has failed may be the network. `pods/NAMESPACE_POD_UID/` is there before the pod's first
//! container is, `containers/POD_NAMESPACE_CONTAINER-ID.log` a moment after the container.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cgroup_path::{is_id, is_pod};
use crate::event::{Container, Pod, PodName, Text};

/// Where kubelet has them, below the root.
const LOGS: &str = "var/log";
/// Entries of a folder that are looked at: a node has some hundred.
const MOST_ENTRIES: usize = 8192;
/// How soon the folders are read again for one that is not known.
const AGAIN: Duration = Duration::from_secs(2);
/// Characters of a name: those of a DNS name (kubernetes.io, "Object Names and IDs").
const MOST_NAME: usize = 253;

/// What kubelet's folders say.
pub(super) struct Pods {
    logs: PathBuf,
    pods: HashMap<Text, PodName>,
    containers: HashMap<Text, Text>,
    read: Option<Instant>,
}

impl Pods {
    /// Those of the host whose files are below `root`; and why there are none now. There may be some later.
    pub(super) fn of_host(root: &Path) -> (Self, io::Result<()>) {
        let logs = root.join(LOGS);
        let pods = logs.join("pods");
        let are_there = std::fs::read_dir(&pods).map(drop);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", pods.display()));
        (Self::below(logs), are_there.map_err(named))
    }

    /// The folder of pods, and of how many it tells the names; none where it cannot be read.
    pub(super) fn counted(root: &Path) -> Option<(PathBuf, usize)> {
        let pods = root.join(LOGS).join("pods");
        std::fs::read_dir(&pods).ok()?;
        let names = entries(&pods, pod).len();
        Some((pods, names))
    }

    /// Those of the folders in this one.
    pub(super) fn below(logs: PathBuf) -> Self {
        Self { logs, pods: HashMap::new(), containers: HashMap::new(), read: None }
    }

    /// Adds names that are missing, where they are known.
    pub(super) fn name(&mut self, pod: &mut Pod, container: Option<&mut Container>) {
        let is_known = self.pods.contains_key(&pod.uid)
            && container.as_ref().is_none_or(|container| self.containers.contains_key(&container.id));
        if !is_known && self.read.is_none_or(|read| read.elapsed() >= AGAIN) {
            self.pods = entries(&self.logs.join("pods"), self::pod);
            self.containers = entries(&self.logs.join("containers"), self::container);
            self.read = Some(Instant::now());
        }
        pod.name = pod.name.take().or_else(|| self.pods.get(&pod.uid).cloned());
        if let Some(container) = container {
            container.name = container.name.take().or_else(|| self.containers.get(&container.id).cloned());
        }
    }
}

/// What the names in this folder say.
fn entries<K: Eq + std::hash::Hash, V>(folder: &Path, of: impl Fn(&[u8]) -> Option<(K, V)>) -> HashMap<K, V> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_ENTRIES);
    entries.filter_map(|entry| of(entry.file_name().as_encoded_bytes())).collect()
}

/// `NAMESPACE_POD_UID`.
fn pod(name: &[u8]) -> Option<(Text, PodName)> {
    let mut parts = name.split(|byte| *byte == b'_');
    let (namespace, name, uid) = (named(parts.next()?)?, named(parts.next()?)?, parts.next()?);
    let is_whole = parts.next().is_none() && is_pod(uid);
    is_whole.then(|| (Text(uid.to_vec()), PodName { namespace, name }))
}

/// `POD_NAMESPACE_CONTAINER-ID.log`.
fn container(name: &[u8]) -> Option<(Text, Text)> {
    let name = name.strip_suffix(b".log")?;
    let dash = name.iter().rposition(|byte| *byte == b'-')?;
    let (names, id) = (&name[..dash], &name[dash + 1..]);
    let mut parts = names.split(|byte| *byte == b'_').skip(2);
    let container = named(parts.next()?)?;
    (parts.next().is_none() && is_id(id)).then(|| (Text(id.to_vec()), container))
}

/// A name as Kubernetes lets it be.
pub(super) fn named(name: &[u8]) -> Option<Text> {
    let is_fit = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    ((1..=MOST_NAME).contains(&name.len()) && name.iter().all(is_fit)).then(|| Text(name.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{AGAIN, Pods, container, pod};
    use crate::event::{Container, Pod, Text};

    const UID: &str = "214f3ba8-4b69-4bdb-a7d5-5ecc73f04ae9";
    const ID: &str = "3f084b4c7b789c1a0f174da3fcd339e31125d3096b3ff46a0bef4fad71d09362";

    /// Namespace, pod and container.
    fn names(pods: &mut Pods, uid: &str, id: &str) -> [String; 3] {
        let mut pod = Pod { uid: Text(uid.into()), name: None };
        let mut container = Container { id: Text(id.into()), runtime: None, name: None };
        pods.name(&mut pod, Some(&mut container));
        let (namespace, name) = pod.name.map(|of| (of.namespace, of.name)).unzip();
        [namespace, name, container.name].map(|name| String::from_utf8(name.unwrap_or_default().0).unwrap())
    }

    #[test]
    fn names_are_those_of_kubelets_folders_which_are_read_again_for_new_ones() {
        let logs = tempfile::tempdir().unwrap();
        let mut pods = Pods::below(logs.path().into());
        assert_eq!(names(&mut pods, UID, ID), ["", "", ""], "no folders");
        fs::create_dir_all(logs.path().join(format!("pods/shop_web-7d8f-x2_{UID}"))).unwrap();
        fs::create_dir_all(logs.path().join("containers")).unwrap();
        let log = format!("containers/web-7d8f-x2_shop_my-app-{ID}.log");
        fs::write(logs.path().join(log), "").unwrap();
        assert_eq!(names(&mut pods, UID, ID), ["", "", ""], "not at once");
        pods.read = pods.read.and_then(|read| read.checked_sub(AGAIN));
        assert_eq!(names(&mut pods, UID, ID), ["shop", "web-7d8f-x2", "my-app"]);
        fs::remove_dir_all(logs.path().join("pods")).unwrap();
        pods.read = pods.read.and_then(|read| read.checked_sub(AGAIN));
        assert_eq!(
            names(&mut pods, UID, ID),
            ["shop", "web-7d8f-x2", "my-app"],
            "known ones are not read again"
        );
    }

    #[test]
    fn what_kubelet_does_not_write_is_no_name() {
        let fine = format!("shop_web_{UID}");
        assert!(pod(fine.as_bytes()).is_some());
        let cases = [
            format!("shop_web_{UID}_x"),
            format!("shop_{UID}"),
            format!("_web_{UID}"),
            format!("SHOP_web_{UID}"),
            format!("shop_w\u{1b}[2Jeb_{UID}"),
            format!("shop_{}_{UID}", "a".repeat(254)),
            "shop_web_1234".to_owned(),
            String::new(),
        ];
        for case in cases {
            assert_eq!(pod(case.as_bytes()), None, "{case}");
        }
        assert!(container(format!("web_shop_app-{ID}.log").as_bytes()).is_some());
        let cases = [
            format!("web_shop_app-{ID}"),
            format!("web_shop_app{ID}.log"),
            format!("web_shop_-{ID}.log"),
            format!("shop_app-{ID}.log"),
            format!("web_shop_app_x-{ID}.log"),
            format!("web_shop_<b>-{ID}.log"),
            "web_shop_app-12.log".to_owned(),
            "-.log".to_owned(),
        ];
        for case in cases {
            assert_eq!(container(case.as_bytes()), None, "{case}");
        }
    }

    #[test]
    fn a_folder_of_very_many_is_looked_at_so_far() {
        let logs = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        for n in 0..super::MOST_ENTRIES + 100 {
            let uid = format!("{n:08x}{}", &UID[8..]);
            fs::create_dir_all(logs.path().join(format!("pods/shop_web_{uid}"))).unwrap();
        }
        let mut pods = Pods::below(logs.path().into());
        let _ = names(&mut pods, UID, ID);
        assert_eq!(pods.pods.len(), super::MOST_ENTRIES);
    }
}
