//! Container runtimes for tests, in a folder that stands for the root.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use ::http::{HeaderMap, HeaderValue, Response};
use prost::Message;
use prost::bytes::Bytes;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// Where it listens.
pub(in crate::enrich) const CONTAINERD: &str = "run/containerd/containerd.sock";
/// The same of another one.
pub(in crate::enrich) const CRI_O: &str = "run/crio/crio.sock";

/// What is done with whoever connects.
#[derive(Clone)]
pub(in crate::enrich) enum Does {
    /// Answers with these.
    Has(Vec<Described>),
    /// Answers by gRPC with these bytes, and then this code and what is said of it; a code of 0 digits is left out.
    Says(Bytes, &'static str, &'static str),
    /// Answers by HTTP with this status.
    Fails(u16),
    /// Writes these bytes.
    Writes(&'static [u8]),
    /// Closes.
    Closes,
    /// Nothing.
    Hangs,
}

/// A container as runtimes describe it, with more than is wanted.
#[derive(Clone, PartialEq, Message)]
pub(in crate::enrich) struct Described {
    #[prost(string, tag = "1")]
    pub(in crate::enrich) id: String,
    #[prost(string, tag = "5")]
    pub(in crate::enrich) image: String,
    #[prost(int32, tag = "6")]
    pub(in crate::enrich) state: i32,
    #[prost(int64, tag = "7")]
    pub(in crate::enrich) created_at: i64,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(in crate::enrich) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(in crate::enrich) annotations: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::enrich) struct Answer {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::enrich) containers: Vec<Described>,
}

/// The identifier of container `n`.
pub(in crate::enrich) fn id(n: u32) -> String {
    format!("{n:064x}")
}

/// That of its pod.
pub(in crate::enrich) fn uid(n: u32) -> String {
    format!("{n:08x}-4b69-4bdb-a7d5-5ecc73f04ae9")
}

/// Container `n`, `app`, of the pod `web-N` in `shop`.
pub(in crate::enrich) fn described(n: u32) -> Described {
    let labels = [
        ("io.kubernetes.container.name", "app".to_owned()),
        ("io.kubernetes.pod.name", format!("web-{n}")),
        ("io.kubernetes.pod.namespace", "shop".to_owned()),
        ("io.kubernetes.pod.uid", uid(n)),
    ];
    Described {
        id: id(n),
        image: "registry/app".to_owned(),
        state: 1,
        created_at: -1,
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        annotations: [("io.kubernetes.container.hash".to_owned(), "1".repeat(300))].into(),
    }
}

/// What gRPC writes before a message of so many bytes.
pub(in crate::enrich) fn prefixed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat().into()
}

/// It listens as long as this is there.
pub(in crate::enrich) struct Fake {
    socket: PathBuf,
    asked: Arc<AtomicUsize>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    /// Listens below `root`.
    pub(in crate::enrich) fn at(root: &Path, socket: &str, does: Does) -> Self {
        let socket = root.join(socket);
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (end, ended) = oneshot::channel();
        let count = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(&listener, &does, &count) => {}
                    _ = ended => {}
                }
            });
        });
        Self { socket, asked, end: Some(end), thread: Some(thread) }
    }

    /// How often somebody has connected.
    pub(in crate::enrich) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.socket);
    }
}

async fn accept(listener: &UnixListener, does: &Does, asked: &AtomicUsize) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        asked.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream, does.clone()));
    }
}

async fn serve(mut stream: UnixStream, does: Does) {
    match does {
        Does::Has(containers) => {
            let message = prefixed(&Answer { containers }.encode_to_vec());
            answer(stream, 200, message, "0", "").await;
        }
        Does::Says(bytes, code, said) => answer(stream, 200, bytes, code, said).await,
        Does::Fails(status) => answer(stream, status, Bytes::new(), "", "").await,
        Does::Writes(bytes) => {
            let _ = stream.write_all(bytes).await;
            std::future::pending::<()>().await;
        }
        Does::Closes => {}
        Does::Hangs => std::future::pending().await,
    }
}

/// One answer; whoever asks may go away meanwhile.
async fn answer(stream: UnixStream, status: u16, mut bytes: Bytes, code: &str, said: &str) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let Some(Ok((request, mut respond))) = connection.accept().await else { return };
    assert_eq!(request.uri().path(), "/runtime.v1.RuntimeService/ListContainers");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let response =
        Response::builder().status(status).header("content-type", "application/grpc").body(()).unwrap();
    let mut trailers = HeaderMap::new();
    if !code.is_empty() {
        trailers.insert("grpc-status", HeaderValue::from_str(code).unwrap());
        trailers.insert("grpc-message", HeaderValue::from_bytes(said.as_bytes()).unwrap());
    }
    let mut body = respond.send_response(response, false).unwrap();
    let send = async move {
        while !bytes.is_empty() {
            body.reserve_capacity(bytes.len());
            let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else {
                return;
            };
            let _ = body.send_data(bytes.split_to(room), false);
        }
        let _ = body.send_trailers(trailers);
    };
    let all = async { while connection.accept().await.is_some() {} };
    tokio::join!(send, all);
}
