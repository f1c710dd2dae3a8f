//! The path of a control group → the names that operators have for what runs in it.
//!
//! Pure. In: a path as in /proc/PID/cgroup, of version 1 or 2. Out: unit, container, pod. Must not know: whose path it is,
//! how it was found. Whoever may make control groups chooses their names, so nothing here is taken for true that its
//! maker could not have said elsewhere: a user's own units stand behind the user's manager.

use crate::event::{Container, Pod, Runtime, Text};

/// Names of a control group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Names {
    /// Unit of systemd.
    pub(super) unit: Option<Text>,
    /// The innermost container.
    pub(super) container: Option<Container>,
    /// Kubernetes pod.
    pub(super) pod: Option<Pod>,
}

/// What runtimes write before the identifier of a container, in the name of a scope (`docker-ID.scope`) or of a folder.
const PREFIXES: [(&[u8], Runtime); 6] = [
    (b"docker-", Runtime::Docker),
    (b"cri-containerd-", Runtime::Containerd),
    (b"nerdctl-", Runtime::Containerd),
    (b"crio-", Runtime::CriO),
    (b"libpod-payload-", Runtime::Podman),
    (b"libpod-", Runtime::Podman),
];

/// Folders that have containers by their identifiers alone (the runtime's default parent, or its namespace).
const PARENTS: [(&[u8], Runtime); 5] = [
    (b"docker", Runtime::Docker),
    (b"buildkit", Runtime::Docker),
    (b"default", Runtime::Containerd),
    (b"k8s.io", Runtime::Containerd),
    (b"libpod_parent", Runtime::Podman),
];

/// What stands before the identifier of a pod in the name of its slice.
const POD: &[u8] = b"-pod";

/// Digits of an identifier.
const ID_DIGITS: usize = 64;

/// The names in this path.
pub(super) fn names(path: &[u8]) -> Names {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b"..").collect();
    let mut names = Names { unit: unit(&parts), ..Names::default() };
    let mut parent: &[u8] = b"";
    for part in parts {
        // With cgroupfs where systemd was meant all is one folder: SLICE:PREFIX:ID.
        let by_colons: Vec<&[u8]> = part.splitn(3, |byte| *byte == b':').collect();
        let (slice, name) = match by_colons[..] {
            [slice, prefix, id] => (slice, [prefix, b"-", id].concat()),
            _ => (part, part.to_vec()),
        };
        if let Some(uid) = pod(slice) {
            names.pod = Some(Pod { uid, name: None });
            // A container around it is the node.
            names.container = None;
        }
        names.container = container(part, parent).or_else(|| named(&name)).or(names.container);
        parent = part;
    }
    names
}

/// The first part that is a unit and no slice, as systemd itself looks for it (`cg_path_get_unit`); behind the manager of
/// a user that user's unit. The innermost slice where there are only slices.
fn unit(parts: &[&[u8]]) -> Option<Text> {
    let mut slice = None;
    let mut manager: Option<&[u8]> = None;
    for part in parts {
        // systemd puts it before names that a controller could have.
        let name = part.strip_prefix(b"_").unwrap_or(part);
        if is_unit(name, &[b".service", b".scope", b".socket", b".mount", b".swap"]) {
            match manager {
                None if name.starts_with(b"user@") => manager = Some(name),
                None => return Some(Text(name.to_vec())),
                Some(manager) => return Some(Text([manager, b"/", name].concat())),
            }
        } else if is_unit(name, &[b".slice"]) {
            slice = Some(name);
        } else if manager.is_some() {
            break;
        }
    }
    manager.or(slice).map(|name| Text(name.to_vec()))
}

/// What systemd lets be the name of a unit (systemd.unit(5)).
fn is_unit(name: &[u8], kinds: &[&[u8]]) -> bool {
    let stem = kinds.iter().find_map(|kind| name.strip_suffix(*kind));
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(byte);
    stem.is_some_and(|stem| !stem.is_empty() && stem.iter().all(is_fit))
}

/// The container whose folder this is, where its name alone tells, or its parent's.
fn container(part: &[u8], parent: &[u8]) -> Option<Container> {
    if let Some(name) = part.strip_prefix(b"lxc.payload.") {
        return of(name, Some(Runtime::Lxc));
    }
    if parent == b"lxc" || parent == b"lxc.payload" {
        return of(part, Some(Runtime::Lxc));
    }
    if is_id(part) {
        let runtime = PARENTS.iter().find(|(name, _)| *name == parent).map(|(_, runtime)| *runtime);
        return of(part, runtime);
    }
    None
}

/// One whose runtime stands before its identifier. What else stands there (`crio-conmon-`) is beside the container.
fn named(part: &[u8]) -> Option<Container> {
    let name = part.strip_suffix(b".scope").unwrap_or(part);
    PREFIXES.iter().find_map(|(prefix, runtime)| {
        let id = name.strip_prefix(*prefix).filter(|id| is_id(id))?;
        of(id, Some(*runtime))
    })
}

fn of(id: &[u8], runtime: Option<Runtime>) -> Option<Container> {
    (!id.is_empty()).then(|| Container { id: Text(id.to_vec()), runtime, name: None })
}

/// Whether a runtime of Docker's kind calls a container so.
pub(super) fn is_id(name: &[u8]) -> bool {
    name.len() == ID_DIGITS && name.iter().all(is_digit)
}

fn is_digit(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The pod whose folder or slice this is: `podUID`, `kubepods-burstable-podUID.slice`, with underscores in a slice, as a
/// dash there means a parent.
fn pod(part: &[u8]) -> Option<Text> {
    let uid = match part.strip_suffix(b".slice") {
        Some(stem) => {
            let before = stem.windows(POD.len()).rposition(|window| window == POD)?;
            stem[before + POD.len()..].iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect()
        }
        None => part.strip_prefix(b"pod")?.to_vec(),
    };
    is_pod(&uid).then_some(Text(uid))
}

/// Whether this identifies a pod: a UUID; of a static pod often its configuration's MD5.
pub(super) fn is_pod(uid: &[u8]) -> bool {
    let is_dash_at = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let is_uuid = uid.len() == 36
        && uid
            .iter()
            .enumerate()
            .all(|(at, byte)| if is_dash_at(at) { *byte == b'-' } else { is_digit(byte) });
    is_uuid || uid.len() == 32 && uid.iter().all(is_digit)
}

#[cfg(test)]
mod tests;
