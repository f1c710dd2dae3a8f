//! A process.

use serde::de::{Deserialize, Deserializer};

use super::bounded::{Bounded, heap};
use super::strings::{Hex, Of, exact};
use crate::event::{BootNs, CgroupId, Details, Process, Text, Tgid, Tid};

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
        let details = if fields.exited {
            Details::Exited
        } else if fields.alive || exe.is_some() || cmdline.is_some() {
            Details::Read { exe, cmdline }
        } else {
            Details::NotRead
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
    let details = match &*process.details {
        Details::NotRead | Details::Exited => 0,
        Details::Read { exe, cmdline } => {
            let words = cmdline.as_deref().unwrap_or_default();
            let all = heap(size_of_val(words)) + words.iter().map(text).sum::<usize>();
            exe.as_ref().map_or(0, text) + all
        }
    };
    // With the two counters of an `Arc`.
    text(&process.comm) + heap(size_of::<Details>() + 2 * size_of::<usize>()) + details
}
