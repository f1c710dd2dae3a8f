//! Names of Kubernetes for a pod and its container, from whoever knows them.
//!
//! In: the names in the path of a control group. Out: the same, with what Kubernetes calls them. The runtime that runs the
//! container has the last word: it has these names from kubelet itself, before the container starts. Kubelet's folders of
//! logs need no socket, and serve for what no runtime tells.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::cgroup_path::{Names, is_id};
use super::cri::{self, Runtimes};
use super::pods::Pods;
use crate::event::Pod;

/// Who knows them.
pub(super) struct Kubernetes {
    runtimes: Runtimes,
    folders: Mutex<Pods>,
}

impl Kubernetes {
    /// Of the host whose files are below `root`, `/` outside tests. The thread that asks runtimes begins with `confine`.
    pub(super) fn of_host(root: &Path, confine: fn()) -> Self {
        let (folders, are_there) = Pods::of_host(root);
        Self { runtimes: Runtimes::start(root, confine, are_there), folders: Mutex::new(folders) }
    }

    /// Adds names, where they are known.
    pub(super) fn name(&self, Names { container, pod, .. }: &mut Names) {
        let uid = pod.as_ref().map(|pod| pod.uid.clone());
        let id = container.as_ref().map(|container| &container.id).filter(|id| is_id(&id.0));
        let found = self.runtimes.find(uid.as_ref(), id);
        if let (Some(container), Some((of, name))) = (&mut *container, found.container)
            // Whoever may make control groups chooses their names.
            && uid.is_none_or(|uid| uid == of)
        {
            container.name = Some(name);
            pod.get_or_insert(Pod { uid: of, name: None });
        }
        let Some(pod) = pod else { return };
        pod.name = found.pod;
        let is_named = container.as_ref().is_none_or(|container| container.name.is_some());
        if pod.name.is_none() || !is_named {
            let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            folders.name(pod, container.as_mut());
        }
    }
}

/// Somebody who knows names of Kubernetes.
#[derive(Debug, PartialEq, Eq)]
pub struct NameSource {
    /// A runtime's socket, or kubelet's folder.
    pub place: PathBuf,
    /// How many containers or pods it names; or why none, and what to do about it.
    pub names: Result<usize, [String; 2]>,
}

/// All that there are below `root`, asked now. The thread that asks begins with `confine`.
pub(super) fn sources(root: &Path, confine: fn()) -> Vec<NameSource> {
    let runtimes = cri::tried(root, confine).into_iter().map(|(place, names)| NameSource { place, names });
    let folder = Pods::counted(root).map(|(place, names)| NameSource { place, names: Ok(names) });
    runtimes.chain(folder).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Kubernetes;
    use crate::enrich::cgroup_path::names;
    use crate::enrich::cri::fake::{CONTAINERD, Does, Fake, described, id, uid};
    use crate::event::Text;

    /// Identifier of the pod, namespace, pod and container.
    fn named(kubernetes: &Kubernetes, path: &str) -> [String; 4] {
        let mut names = names(path.as_bytes());
        kubernetes.name(&mut names);
        let (uid, pod) = names.pod.map(|pod| (pod.uid, pod.name)).unzip();
        let (namespace, name) = pod.flatten().map(|of| (of.namespace, of.name)).unzip();
        let container = names.container.and_then(|container| container.name);
        let text =
            |name: Option<Text>| name.map_or("-".to_owned(), |name| String::from_utf8(name.0).unwrap());
        [uid, namespace, name, container].map(text)
    }

    #[test]
    fn the_runtime_has_the_last_word_and_kubelets_folders_serve_for_what_it_does_not_tell() {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("var/log");
        for n in 1..=2 {
            let folder = format!("pods/folder_by-folder-{n}_{}", uid(n));
            fs::create_dir_all(logs.join(folder)).unwrap();
            fs::create_dir_all(logs.join("containers")).unwrap();
            let log = format!("containers/by-folder-{n}_folder_log-{}.log", id(n));
            fs::write(logs.join(log), "").unwrap();
        }
        let _fake = Fake::at(root.path(), CONTAINERD, Does::Has(vec![described(1)]));
        let kubernetes = Kubernetes::of_host(root.path(), || {});
        // Until it has been asked.
        while !kubernetes.runtimes.has_answered() {
            std::thread::yield_now();
        }
        let in_pod = |pod: u32, container: u32| format!("/kubepods/pod{}/{}", uid(pod), id(container));
        let cases = [
            ("known to both", in_pod(1, 1), [&*uid(1), "shop", "web-1", "app"]),
            ("known to folders", in_pod(2, 2), [&*uid(2), "folder", "by-folder-2", "log"]),
            ("known to nobody", in_pod(3, 3), [&*uid(3), "-", "-", "-"]),
            ("a container that only folders know", in_pod(1, 2), [&*uid(1), "shop", "web-1", "log"]),
            ("no container", format!("/kubepods/pod{}", uid(1)), [&*uid(1), "shop", "web-1", "-"]),
            ("a path without a pod", format!("/k8s.io/{}", id(1)), [&*uid(1), "shop", "web-1", "app"]),
            ("a container of another pod", in_pod(3, 1), [&*uid(3), "-", "-", "log"]),
            ("no container of Kubernetes", "/lxc.payload.web".to_owned(), ["-"; 4]),
            ("no container at all", "/system.slice/nginx.service".to_owned(), ["-"; 4]),
        ];
        for (what, path, expected) in cases {
            assert_eq!(named(&kubernetes, &path), expected, "{what}: {path}");
        }
    }
}
