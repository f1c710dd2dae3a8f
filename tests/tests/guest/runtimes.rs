//! Names of Kubernetes by a container runtime, which comes when portwatch watches already, is restarted and goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use portwatch_tests::churn;
use portwatch_tests::netns::{Netns, set};
use portwatch_tests::portwatch::{Watching, command};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;

const SOCKET: &str = "/run/containerd/containerd.sock";
const ROOT: &str = "/sys/fs/cgroup";
/// Longer than portwatch waits until it asks again.
const ASKED_AGAIN: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, PartialEq, Message)]
struct Container {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(btree_map = "string, string", tag = "8")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(message, repeated, tag = "1")]
    containers: Vec<Container>,
}

/// Container `n` of a pod of its own.
struct Made {
    id: String,
    uid: String,
    n: u32,
}

impl Made {
    fn new(n: u32) -> Self {
        Self { id: format!("{n:064x}"), uid: format!("{n:08x}-4b69-4bdb-a7d5-5ecc73f04ae9"), n }
    }

    fn folder(&self) -> String {
        format!("{ROOT}/kubepods/burstable/pod{}/{}", self.uid, self.id)
    }

    fn described(&self) -> Container {
        let labels = [
            ("io.kubernetes.container.name", "my-app".to_owned()),
            ("io.kubernetes.pod.name", format!("web-{}", self.n)),
            ("io.kubernetes.pod.namespace", "shop".to_owned()),
            ("io.kubernetes.pod.uid", self.uid.clone()),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value)).into();
        Container { id: self.id.clone(), labels }
    }
}

/// A runtime that has these containers, until this is dropped.
fn runtime(made: &[&Made]) -> Runtime {
    let containers = made.iter().map(|made| made.described()).collect();
    let message = Answer { containers }.encode_to_vec();
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.len().try_into().unwrap());
    bytes.extend(message);
    let bytes = bytes.freeze();
    fs::create_dir_all(Path::new(SOCKET).parent().unwrap()).unwrap();
    let _ = fs::remove_file(SOCKET);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let within = runtime.enter();
    let listener = UnixListener::bind(SOCKET).unwrap();
    drop(within);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, bytes.clone()));
        }
    });
    runtime
}

/// Whoever asks may go away meanwhile.
async fn answer(stream: UnixStream, bytes: Bytes) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let Some(Ok((request, mut respond))) = connection.accept().await else { return };
    assert_eq!(request.uri().path(), "/runtime.v1.RuntimeService/ListContainers");
    let mut body = respond.send_response(http::Response::new(()), false).unwrap();
    body.send_data(bytes, false).unwrap();
    body.send_trailers([("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect())
        .unwrap();
    while connection.accept().await.is_some() {}
}

#[test]
fn a_container_has_its_names_by_its_runtime_also_by_one_that_was_restarted() {
    let made = [1, 2].map(Made::new);
    made.iter().for_each(|made| fs::create_dir_all(made.folder()).unwrap());
    let _netns = Netns::with_ports(40000, 40001).unwrap();
    set("ipv4/ip_local_reserved_ports", "40000-40001").unwrap();
    let file = File::open("/proc/thread-self/ns/net").unwrap();
    let file = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let watching = Watching::start(&["trace", "--json", "--kubernetes"]).unwrap();
    let mut last = None;
    for made in &made {
        drop(last.take());
        last = Some(runtime(&[made]));
        let fail = |count| {
            churn::run(&["strangers", count, "--cgroups", &made.folder(), "--namespaces", &file]).unwrap();
        };
        // Who is met first may be shown before the runtime has answered; it is asked again when somebody is met.
        let name = format!("\"name\":\"web-{}\"", made.n);
        let since = Instant::now();
        while watching.wait_for(&name, ASKED_AGAIN).is_err() {
            assert!(since.elapsed() < PATIENCE, "{name} is not shown");
            fail("1");
        }
        fail("3");
    }
    let said = command(&["doctor"]).output().unwrap();
    drop(last);
    fs::remove_file(SOCKET).unwrap();
    let session = watching.end().unwrap();
    for made in &made {
        made.folder().strip_prefix(ROOT).map(Path::new).into_iter().flat_map(Path::ancestors).for_each(
            |folder| {
                let _ = fs::remove_dir(format!("{ROOT}{}", folder.display()));
            },
        );
    }
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.contains("--kubernetes                  names at /run/containerd/containerd.sock: 1\n"),
        "{said}"
    );
    for Made { id, uid, n } in &made {
        let mut failures: Vec<_> = session.failures().map(|failure| &failure["process"]).collect();
        failures.retain(|process| process["container"]["id"] == **id);
        assert!(failures.len() >= 4, "{}", session.stdout);
        for process in &failures[failures.len() - 3..] {
            let pod = json!({ "uid": uid, "namespace": "shop", "name": format!("web-{n}") });
            assert_eq!(process["pod"], pod, "{process}\n{}", session.stderr);
            assert_eq!(process["container"], json!({ "id": id, "name": "my-app" }), "{process}");
        }
    }
}
