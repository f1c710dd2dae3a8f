//! One question to one runtime: which containers it has.
//!
//! In: its socket. Out: what it says, or why it says nothing, with what to do about that. A connection is for one question,
//! so that one to a runtime that has been restarted is like any other. A runtime may hang, and may answer with anything:
//! time and memory are bounded. Must not know: who asks, and when.

use std::io;
use std::path::Path;
use std::time::Duration;

use ::http::{HeaderMap, Request, StatusCode};
use h2::RecvStream;
use h2::client::{self, SendRequest};
use prost::bytes::Bytes;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::answer::{self, Listed};

/// How long a runtime may take. Usually it takes some milliseconds.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of an answer, as many as kubelet takes (`maxMsgSize`, pkg/kubelet/cri/remote).
pub(super) const MOST_BYTES: usize = 16 << 20;
/// Bytes of the head of an answer, which says little.
const HEAD_BYTES: u32 = 16 << 10;
/// The host is never looked at; the library wants one.
const CALL: &str = "http://localhost/runtime.v1.RuntimeService/ListContainers";
/// The message as gRPC sends it, which says whether it is compressed and how long it is ("gRPC over HTTP2"): an empty one.
const QUESTION: &[u8] = &[0; PREFIX];
const PREFIX: usize = 5;
/// Codes of gRPC.
const OK: u32 = 0;
const UNIMPLEMENTED: u32 = 12;
/// Characters that are shown of what a runtime says of itself.
const MOST_SAID: usize = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no such socket.
    Absent,
    /// The socket was refused.
    Socket(io::ErrorKind, String),
    /// No answer in time.
    Late,
    /// Not what a runtime says, and why.
    Garbage(String),
    /// More than is taken.
    TooLarge,
    /// An error of the runtime: code of gRPC, and what it says of it.
    Status(u32, String),
}

impl Refused {
    /// What came of it.
    pub(super) fn finding(&self) -> String {
        match self {
            Self::Absent => "there is no such socket".to_owned(),
            Self::Socket(_, error) => error.clone(),
            Self::Late => format!("no answer within {} s", DEADLINE.as_secs()),
            Self::Garbage(why) => format!("not the answer of a container runtime: {why}"),
            Self::TooLarge => format!("its answer has more than {} MiB", MOST_BYTES >> 20),
            Self::Status(UNIMPLEMENTED, _) => "it serves no CRI (runtime.v1)".to_owned(),
            Self::Status(code, said) => format!("it says: {said} (code {code} of gRPC)"),
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Absent => "in a container, mount the folder of the socket",
            Self::Socket(io::ErrorKind::PermissionDenied, _) => {
                "the socket belongs to root: run portwatch as root, or as a member of the group that may write to it"
            }
            Self::Socket(
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
                _,
            ) => {
                "nobody is there, or not any more: is the runtime running? In a container, mount the folder of the socket and \
                 not the socket, which a runtime that is restarted makes anew"
            }
            Self::Socket(..) => {
                "a unit of systemd needs AF_UNIX among its RestrictAddressFamilies, a container a seccomp profile that \
                 allows connect()"
            }
            Self::Late => "it is asked again; `crictl ps` tells whether others wait, too",
            Self::Status(UNIMPLEMENTED, _) => {
                "where Kubernetes uses this containerd, take \"cri\" out of disabled_plugins in \
                 /etc/containerd/config.toml; Docker's own needs none. Kubernetes 1.26 and newer want runtime.v1, too"
            }
            Self::Garbage(_) | Self::TooLarge | Self::Status(..) => {
                "`crictl ps` tells whether others have this trouble, too"
            }
        }
    }
}

/// What the library says of a connection.
impl From<h2::Error> for Refused {
    fn from(error: h2::Error) -> Self {
        match error.get_io() {
            Some(of_socket) => Self::Socket(of_socket.kind(), of_socket.to_string()),
            None => Self::Garbage(error.to_string()),
        }
    }
}

/// Asks the runtime at this socket for all its containers, and waits as long; [`DEADLINE`] outside tests.
pub(super) async fn list_containers(socket: &Path, deadline: Duration) -> Result<Listed, Refused> {
    timeout(deadline, asked(socket)).await.unwrap_or(Err(Refused::Late))
}

async fn asked(socket: &Path) -> Result<Listed, Refused> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refused::Absent,
        kind => Refused::Socket(kind, error.to_string()),
    })?;
    let mut protocol = client::Builder::new();
    protocol.enable_push(false).max_header_list_size(HEAD_BYTES);
    let (requests, connection) = protocol.handshake(stream).await?;
    let mut message = std::pin::pin!(message(requests));
    let message = tokio::select! {
        biased;
        message = &mut message => message?,
        // What has come before it ended is still there.
        _ = connection => message.await?,
    };
    answer::listed(message).ok_or_else(|| Refused::Garbage("it has no such message".to_owned()))
}

/// The message that answers.
async fn message(requests: SendRequest<Bytes>) -> Result<Bytes, Refused> {
    let request = Request::post(CALL).header("content-type", "application/grpc").header("te", "trailers");
    let request = request.body(()).map_err(|error| Refused::Garbage(error.to_string()))?;
    let (response, mut body) = requests.ready().await?.send_request(request, false)?;
    body.send_data(Bytes::from_static(QUESTION), true)?;
    let (head, mut body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        return Err(Refused::Garbage(format!("HTTP status {}", head.status.as_u16())));
    }
    // What is wrong may be said at once, with nothing behind it.
    if let Some(status) = status(&head.headers) {
        status?;
    }
    let bytes = all(&mut body).await?;
    let trailers = body.trailers().await?.unwrap_or_default();
    status(&trailers).unwrap_or_else(|| Err(Refused::Garbage("it does not say how it went".to_owned())))?;
    let length = bytes.get(1..PREFIX).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes);
    let is_whole =
        length.is_some_and(|length| length as usize == bytes.len() - PREFIX) && bytes.first() == Some(&0);
    is_whole.then(|| bytes.slice(PREFIX..)).ok_or_else(|| Refused::Garbage("half a message".to_owned()))
}

async fn all(body: &mut RecvStream) -> Result<Bytes, Refused> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if bytes.len() + data.len() > MOST_BYTES {
            return Err(Refused::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

/// How it went, where that is said.
fn status(headers: &HeaderMap) -> Option<Result<(), Refused>> {
    let code = headers.get("grpc-status")?.to_str().ok().and_then(|code| code.parse().ok());
    let said = headers.get("grpc-message").map_or(&b""[..], |said| said.as_bytes());
    // Everything else comes in other words: "Percent-Encoded" there.
    let said = said.iter().filter(|byte| matches!(byte, b' '..=b'~')).take(MOST_SAID);
    let said = said.map(|byte| char::from(*byte)).collect();
    Some(match code {
        Some(OK) => Ok(()),
        Some(code) => Err(Refused::Status(code, said)),
        None => Err(Refused::Garbage("a code that is no number".to_owned())),
    })
}
