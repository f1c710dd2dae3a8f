//! A process.

use serde::de::{Deserialize, Deserializer};

use super::bounded::{Bounded, heap};
use super::strings::{Hex, Of, exact};
use crate::event::{
    BootNs, CgroupId, Container, Details, Pod, PodName, Process, Runtime, State, Text, Tgid, Tid,
};
use crate::lines::words::Word as _;

/// The most arguments: of 4,096 bytes, which is what is read of them.
const MOST_WORDS: usize = 4096;

#[derive(serde::Deserialize)]
struct Fields {
    pid: u32,
    tid: Option<u32>,
    comm: Of<Text>,
    comm_hex: Option<Of<Hex>>,
    start_ns: u64,
    uid: u32,
    gid: u32,
    cgroup: u64,
    exe: Option<Of<Text>>,
    exe_hex: Option<Of<Hex>>,
    cmdline: Option<Bounded<Of<Text>, MOST_WORDS>>,
    cmdline_hex: Option<Bounded<Of<Hex>, MOST_WORDS>>,
    #[serde(default)]
    exited: bool,
    #[serde(default)]
    alive: bool,
    user: Option<Of<Text>>,
    user_hex: Option<Of<Hex>>,
    unit: Option<Of<Text>>,
    unit_hex: Option<Of<Hex>>,
    container: Option<ContainerFields>,
    pod: Option<PodFields>,
}

#[derive(serde::Deserialize)]
struct ContainerFields {
    id: Of<Text>,
    id_hex: Option<Of<Hex>>,
    runtime: Option<Of<Text>>,
    name: Option<Of<Text>>,
    name_hex: Option<Of<Hex>>,
}

#[derive(serde::Deserialize)]
struct PodFields {
    uid: Of<Text>,
    uid_hex: Option<Of<Hex>>,
    namespace: Option<Of<Text>>,
    namespace_hex: Option<Of<Hex>>,
    name: Option<Of<Text>>,
    name_hex: Option<Of<Hex>>,
}

impl From<ContainerFields> for Container {
    fn from(ContainerFields { id, id_hex, runtime, name, name_hex }: ContainerFields) -> Self {
        // A later version may know more of them.
        let runtime = runtime.and_then(|Of(word)| Runtime::of(std::str::from_utf8(&word.0).ok()?));
        Self { id: exact(id, id_hex), runtime, name: name.map(|name| exact(name, name_hex)) }
    }
}

impl From<PodFields> for Pod {
    fn from(fields: PodFields) -> Self {
        // One without the other names nothing.
        let name = fields.namespace.zip(fields.name).map(|(namespace, name)| PodName {
            namespace: exact(namespace, fields.namespace_hex),
            name: exact(name, fields.name_hex),
        });
        Self { uid: exact(fields.uid, fields.uid_hex), name }
    }
}

/// Who.
pub(super) struct Who(pub(super) Process);

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        let exe = fields.exe.map(|exe| exact(exe, fields.exe_hex));
        let cmdline = match (fields.cmdline, fields.cmdline_hex) {
            (_, Some(hex)) => Some(hex.into()),
            (lossy, None) => lossy.map(Bounded::into),
        };
        let state = if fields.exited {
            State::Exited
        } else if fields.alive || exe.is_some() || cmdline.is_some() {
            State::Alive { exe, cmdline }
        } else {
            State::NotRead
        };
        let details = Details {
            state,
            user: fields.user.map(|user| exact(user, fields.user_hex)),
            unit: fields.unit.map(|unit| exact(unit, fields.unit_hex)),
            container: fields.container.map(Container::from),
            pod: fields.pod.map(Pod::from),
        };
        Ok(Self(Process {
            tgid: Tgid(fields.pid),
            start: BootNs(fields.start_ns),
            tid: fields.tid.map(Tid),
            comm: exact(fields.comm, fields.comm_hex),
            uid: fields.uid,
            gid: fields.gid,
            cgroup: CgroupId(fields.cgroup),
            details: details.into(),
        }))
    }
}

/// Memory that belongs to a process beside itself.
pub(super) fn heap_of(process: &Process) -> usize {
    let text = |text: &Text| heap(text.0.capacity());
    let words = process.details.cmdline().unwrap_or_default();
    let details = heap(size_of_val(words)) + process.details.texts().map(text).sum::<usize>();
    // With the two counters of an `Arc`.
    text(&process.comm) + heap(size_of::<Details>() + 2 * size_of::<usize>()) + details
}
