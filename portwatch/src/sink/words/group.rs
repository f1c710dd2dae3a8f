//! What failures are shown together by.
//!
//! In: who failed, and how. Out: a key, and its words. An opinion of who shows it: facts stay as they are.

use crate::event::{Container, Details, Fault, Pod, PodName, Runtime, Text};
use crate::lines::Word as _;
use crate::sink::words::wanted;
use crate::term::clean;

/// Digits of a container's identifier that are shown: as many as `docker ps` shows.
const SHORT_ID: usize = 12;
/// Characters of a name that are shown beside other things.
const SHORT_NAME: usize = 48;

/// By what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupBy {
    /// Processes of one name.
    #[default]
    Process,
    /// Units of systemd.
    Unit,
    /// Containers.
    Container,
    /// Kubernetes pods.
    Pod,
    /// Destinations.
    Destination,
}

/// What some failures have in common; none where it is not known, or they have no such thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::sink) enum Group {
    /// The name of their process.
    Process(Text),
    /// Their unit.
    Unit(Option<Text>),
    /// Their container.
    Container(Option<Container>),
    /// Their pod.
    Pod(Option<Pod>),
    /// Where they wanted to go.
    Destination(String),
}

impl GroupBy {
    /// That of a failure.
    pub(in crate::sink) fn group(self, comm: &Text, details: &Details, fault: &Fault) -> Group {
        match self {
            Self::Process => Group::Process(comm.clone()),
            Self::Unit => Group::Unit(details.unit.clone()),
            Self::Container => {
                // Its name may be learnt later, and makes it no other container.
                let of_id = |container: &Container| Container { name: None, ..container.clone() };
                Group::Container(details.container.as_ref().map(of_id))
            }
            Self::Pod => Group::Pod(details.pod.clone()),
            Self::Destination => Group::Destination(wanted(fault)),
        }
    }

    /// What its groups are.
    pub(in crate::sink) fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Unit => "unit",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Destination => "destination",
        }
    }
}

impl Group {
    /// In full; escaped, as strangers chose it.
    pub(in crate::sink) fn name(&self) -> String {
        match self {
            Self::Process(name) | Self::Unit(Some(name)) => clean(&name.0),
            Self::Container(Some(container)) => self::container(container, usize::MAX),
            Self::Pod(Some(Pod { uid, name: None })) => clean(&uid.0),
            Self::Pod(Some(Pod { name: Some(name), .. })) => pod(name),
            Self::Destination(name) => name.clone(),
            Self::Unit(None) => "(no unit)".to_owned(),
            Self::Container(None) => "(no container)".to_owned(),
            Self::Pod(None) => "(no pod)".to_owned(),
        }
    }

    /// For machines: as it is, where it is UTF-8. Empty where there is none, and for destinations, which a label of their own
    /// tells.
    pub(in crate::sink) fn label(&self) -> String {
        let exact = |text: &Text| String::from_utf8_lossy(&text.0).into_owned();
        match self {
            Self::Process(name) | Self::Unit(Some(name)) => exact(name),
            Self::Container(Some(container)) => exact(&container.id),
            Self::Pod(Some(Pod { uid, name: None })) => exact(uid),
            Self::Pod(Some(Pod { name: Some(PodName { namespace, name }), .. })) => {
                format!("{}/{}", exact(namespace), exact(name))
            }
            Self::Destination(_) | Self::Unit(None) | Self::Container(None) | Self::Pod(None) => {
                String::new()
            }
        }
    }
}

/// Where a process runs, in a word or two: its pod where its name is known, its container, else its unit; none where neither is known.
pub(in crate::sink) fn runs_in(details: &Details) -> Option<String> {
    let pod = details.pod.as_ref().and_then(|pod| pod.name.as_ref()).map(|name| format!("pod {}", pod(name)));
    let container = details.container.as_ref().map(|of| container(of, SHORT_ID));
    let name = pod.or(container).or_else(|| details.unit.as_ref().map(|unit| clean(&unit.0)))?;
    let short: String = name.chars().take(SHORT_NAME).collect();
    Some(if short.len() < name.len() { format!("{short}…") } else { name })
}

/// Its namespace and its name, as kubectl takes them with a space between.
fn pod(PodName { namespace, name }: &PodName) -> String {
    format!("{}/{}", clean(&namespace.0), clean(&name.0))
}

/// Its runtime, and so many characters of its identifier, if that has no name in it.
fn container(Container { id, runtime, .. }: &Container, most: usize) -> String {
    let runtime = runtime.map_or("container", Runtime::word);
    let is_number = id.0.iter().all(u8::is_ascii_hexdigit);
    let id = clean(&id.0);
    let shown = id.get(..most).filter(|_| is_number).unwrap_or(&id);
    format!("{runtime} {shown}")
}

#[cfg(test)]
mod tests {
    use super::{GroupBy, runs_in};
    use crate::event::{Container, Details, Fault, Pod, PodName, Runtime, Text};

    const ID: &str = "3f084b4c7b789c1a0f174da3fcd339e31125d3096b3ff46a0bef4fad71d09362";

    fn text(text: &str) -> Option<Text> {
        Some(Text(text.as_bytes().to_vec()))
    }

    fn in_shop() -> Pod {
        let name = PodName { namespace: Text(b"shop".to_vec()), name: Text(b"web-7d8f".to_vec()) };
        Pod { uid: Text(b"214f3ba8-4b69-4bdb-a7d5-5ecc73f04ae9".to_vec()), name: Some(name) }
    }

    fn in_container(id: &str, runtime: Option<Runtime>) -> Details {
        let container = text(id).map(|id| Container { id, runtime, name: None });
        Details { unit: text("docker-x.scope"), container, ..Details::default() }
    }

    #[test]
    fn where_a_process_runs_is_said_in_short() {
        let unit = |name| Details { unit: text(name), ..Details::default() };
        let long = "a".repeat(60);
        let cases = [
            (in_container(ID, Some(Runtime::Docker)), Some("docker 3f084b4c7b78".to_owned())),
            (in_container(ID, None), Some("container 3f084b4c7b78".to_owned())),
            (
                in_container("web-server-of-shop", Some(Runtime::Lxc)),
                Some("lxc web-server-of-shop".to_owned()),
            ),
            (in_container("\x1b[2Ja", Some(Runtime::Lxc)), Some("lxc \\u{1b}[2Ja".to_owned())),
            (unit("nginx.service"), Some("nginx.service".to_owned())),
            (unit(&long), Some(format!("{}…", &long[..48]))),
            (
                Details { pod: Some(in_shop()), ..in_container(ID, None) },
                Some("pod shop/web-7d8f".to_owned()),
            ),
            (Details::default(), None),
        ];
        for (details, expected) in cases {
            assert_eq!(runs_in(&details), expected, "{details:?}");
        }
    }

    #[test]
    fn each_way_to_group_has_a_name_for_who_has_and_who_has_not() {
        let fault = Fault::no_port(([10, 0, 0, 1], 443));
        let pod = text("214f3ba8-4b69-4bdb-a7d5-5ecc73f04ae9").map(|uid| Pod { uid, name: None });
        let known = Details { pod, ..in_container(ID, Some(Runtime::Containerd)) };
        let container = format!("containerd {ID}");
        let cases = [
            (GroupBy::Process, ["curl", "curl"]),
            (GroupBy::Unit, ["docker-x.scope", "(no unit)"]),
            (GroupBy::Container, [&container, "(no container)"]),
            (GroupBy::Pod, ["214f3ba8-4b69-4bdb-a7d5-5ecc73f04ae9", "(no pod)"]),
            (GroupBy::Destination, ["10.0.0.1:443", "10.0.0.1:443"]),
        ];
        for (by, expected) in cases {
            let name = |details| by.group(&Text(b"curl".to_vec()), details, &fault).name();
            assert_eq!([name(&known), name(&Details::default())], expected, "{by:?}");
        }
        let named = Details { pod: Some(in_shop()), ..known };
        assert_eq!(GroupBy::Pod.group(&Text::default(), &named, &fault).name(), "shop/web-7d8f");
    }

    #[test]
    fn a_container_whose_name_is_learnt_is_the_same_container() {
        let fault = Fault::no_port(([10, 0, 0, 1], 443));
        let nameless = in_container(ID, Some(Runtime::Containerd));
        let container = nameless.container.clone().map(|of| Container { name: text("web"), ..of });
        let named = Details { container, ..nameless.clone() };
        let [before, after] =
            [nameless, named].map(|details| GroupBy::Container.group(&Text::default(), &details, &fault));
        assert_eq!(before, after);
        assert_eq!(after.label(), ID);
    }
}
