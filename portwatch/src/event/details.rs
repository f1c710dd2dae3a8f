//! What is known of a process beyond what the kernel side tells: names that operators know.

use std::sync::{Arc, LazyLock};

use super::Text;

/// What is known of a process beside its [`super::Process`]. Each name is absent where it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// What /proc told of it.
    pub state: State,
    /// Name of its user on this host.
    pub user: Option<Text>,
    /// Unit of systemd whose control group it is in.
    pub unit: Option<Text>,
    /// Container that it runs in: the innermost one.
    pub container: Option<Container>,
    /// Kubernetes pod that it runs in.
    pub pod: Option<Pod>,
}

/// What /proc still told about a process when its event was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// Nobody looked, or the answer did not come in time.
    #[default]
    NotRead,
    /// The process was gone, or another one has its pid by now.
    Exited,
    /// It was alive.
    Alive {
        /// Executable, unless reading it is not allowed.
        exe: Option<Text>,
        /// Arguments, unless reading them is not allowed.
        cmdline: Option<Vec<Text>>,
    },
}

/// A container, as its control group tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    /// As its runtime has it: mostly 64 hexadecimal digits, a name where the runtime has names only.
    pub id: Text,
    /// What runs it, where that is known.
    pub runtime: Option<Runtime>,
    /// What Kubernetes calls it, where that was asked for and is known.
    pub name: Option<Text>,
}

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd: nerdctl, Kubernetes' CRI, or by itself.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// LXC: LXD and Incus too.
    Lxc,
}

/// A Kubernetes pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// `metadata.uid`; of a static pod what kubelet calls it by.
    pub uid: Text,
    /// What Kubernetes calls it, where that was asked for and is known.
    pub name: Option<PodName>,
}

/// Name of a Kubernetes pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// Namespace of Kubernetes.
    pub namespace: Text,
    /// The pod's name in it.
    pub name: Text,
}

impl Details {
    /// Nobody looked yet. As everybody begins with this, it is one for all.
    #[must_use]
    pub fn not_read() -> Arc<Self> {
        static NOT_READ: LazyLock<Arc<Details>> = LazyLock::new(Arc::default);
        Arc::clone(&NOT_READ)
    }

    /// Executable, where it is known.
    #[must_use]
    pub fn exe(&self) -> Option<&Text> {
        if let State::Alive { exe, .. } = &self.state { exe.as_ref() } else { None }
    }

    /// Arguments, where they are known.
    #[must_use]
    pub fn cmdline(&self) -> Option<&[Text]> {
        if let State::Alive { cmdline, .. } = &self.state { cmdline.as_deref() } else { None }
    }

    /// Whether the process is known to be there no more.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        self.state == State::Exited
    }

    /// Whether it was seen alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Alive { .. })
    }

    /// Every string in it.
    pub fn texts(&self) -> impl Iterator<Item = &Text> {
        let names = [&self.user, &self.unit].into_iter().flatten();
        let container = self.container.iter().flat_map(|of| [Some(&of.id), of.name.as_ref()]);
        let pod = self.pod.iter().flat_map(|pod| {
            let (namespace, name) = pod.name.as_ref().map(|of| (&of.namespace, &of.name)).unzip();
            [Some(&pod.uid), namespace, name]
        });
        let read = self.exe().into_iter().chain(self.cmdline().into_iter().flatten());
        read.chain(names).chain(container.chain(pod).flatten())
    }
}

impl From<State> for Details {
    fn from(state: State) -> Self {
        Self { state, ..Self::default() }
    }
}

impl From<State> for Arc<Details> {
    fn from(state: State) -> Self {
        Self::new(state.into())
    }
}
