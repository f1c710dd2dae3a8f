//! What a runtime says of its containers.
//!
//! Pure. In: the answer to `ListContainers` (runtime.v1 of k8s.io/cri-api, api.proto), which may be anything. Out: the
//! containers of Kubernetes in it, at most so many. Must not know: who was asked, and how.

use std::collections::BTreeMap;

use prost::bytes::{Buf as _, Bytes};
use prost::{Message, decode_length_delimiter};

use crate::enrich::cgroup_path::{is_id, is_pod};
use crate::enrich::pods::named;
use crate::event::{PodName, Text};

/// Containers that are read: kubelet keeps some hundred on a node.
pub(super) const MOST_CONTAINERS: usize = 8192;
/// Bytes of one; usually it has two thousand.
const MOST_BYTES: usize = 256 << 10;
/// `repeated Container containers = 1`: the number of the field, and that a length follows.
const CONTAINER: usize = 1 << 3 | 2;

/// What is said of one, as far as it is wanted.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// What kubelet calls it by is among these (pkg/kubelet/types/labels.go).
    #[prost(btree_map = "string, string", tag = "8")]
    pub(super) labels: BTreeMap<String, String>,
}

/// A container that kubelet had made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InPod {
    /// As its runtime has it.
    pub(super) id: Text,
    /// What Kubernetes calls it.
    pub(super) name: Text,
    /// The pod's identifier.
    pub(super) uid: Text,
    /// The pod's names.
    pub(super) pod: PodName,
}

/// All that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Those of Kubernetes.
    pub(super) containers: Vec<InPod>,
    /// Those that were not read, because there are too many, or one is too large or no description.
    pub(super) left_out: usize,
}

/// The containers in this answer; none where it is no answer.
pub(super) fn listed(mut answer: Bytes) -> Option<Listed> {
    let (mut listed, mut seen) = (Listed::default(), 0);
    while answer.has_remaining() {
        let key = decode_length_delimiter(&mut answer).ok()?;
        let field = field(key, &mut answer)?;
        if key != CONTAINER {
            continue;
        }
        seen += 1;
        if seen > MOST_CONTAINERS || field.len() > MOST_BYTES {
            listed.left_out += 1;
            continue;
        }
        match Container::decode(field) {
            Ok(container) => listed.containers.extend(in_pod(&container)),
            Err(_) => listed.left_out += 1,
        }
    }
    Some(listed)
}

/// What belongs to this key, taken from the answer; nothing where it is a number. How it is written the low three bits tell
/// (protobuf.dev, "Encoding").
fn field(key: usize, answer: &mut Bytes) -> Option<Bytes> {
    let length = match key & 7 {
        0 => decode_length_delimiter(&mut *answer).map(|_| 0).ok()?,
        1 => 8,
        2 => decode_length_delimiter(&mut *answer).ok()?,
        5 => 4,
        _ => return None,
    };
    (length <= answer.len()).then(|| answer.split_to(length))
}

/// What kubelet wrote on it, where all of that is as Kubernetes lets it be: somebody else may have made it.
fn in_pod(container: &Container) -> Option<InPod> {
    let label = |key| container.labels.get(key).map(String::as_bytes);
    let (id, uid) = (container.id.as_bytes(), label("io.kubernetes.pod.uid")?);
    let pod = PodName {
        namespace: named(label("io.kubernetes.pod.namespace")?)?,
        name: named(label("io.kubernetes.pod.name")?)?,
    };
    let name = named(label("io.kubernetes.container.name")?)?;
    (is_id(id) && is_pod(uid)).then(|| InPod { id: Text(id.to_vec()), name, uid: Text(uid.to_vec()), pod })
}
