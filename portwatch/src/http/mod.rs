//! One page over HTTP, for whoever may reach the address; and whoever that is cannot take more than a little.
//!
//! In: an address, and what to tell at one path. Out: answers, by a thread of its own: neither the ring nor the output
//! waits for a client. No encryption and no passwords: that is for what stands in front. Must not know: what the page
//! tells.

mod listening;

pub use listening::{Listening, NotListening};

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::thread;

/// Where the page is.
pub const PATH: &str = "/metrics";
/// What clients may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections at once; one more closes the oldest, so that those who do nothing keep nobody out.
    connections: usize,
    /// How long the head of a request may take,
    head: Duration,
    /// and all of a connection, which is for one request.
    whole: Duration,
}

const LIMITS: Limits =
    Limits { connections: 16, head: Duration::from_secs(3), whole: Duration::from_secs(10) };
/// Bytes of a head: names and values,
const HEAD_BYTES: usize = 8 << 10;
/// how many of them,
const HEADERS: usize = 64;
/// and how much is held of a connection; the library takes no less than 8 KiB.
const BUFFER_BYTES: usize = 16 << 10;
/// Before the next one is accepted where that was refused, as where descriptors are short.
const PAUSE: Duration = Duration::from_millis(100);

/// What is told.
#[derive(Debug)]
pub struct Page {
    /// In which format.
    pub content_type: &'static str,
    /// What.
    pub text: String,
}

/// From what a client accepts to the page; none where it cannot be made.
type Make = dyn Fn(Option<&str>) -> Option<Page> + Send + Sync;

/// Answers as long as it is there.
#[derive(Debug)]
pub struct Server {
    /// Dropped with it, which ends the thread.
    _alive: oneshot::Sender<Infallible>,
}

impl Listening {
    /// Answers from now on. `cut` counts connections that were closed before they were answered. The thread that answers
    /// begins with `confine`.
    ///
    /// # Errors
    /// When the system gives no thread, or no means to wait.
    pub fn serve(
        self,
        make: impl Fn(Option<&str>) -> Option<Page> + Send + Sync + 'static,
        cut: Arc<AtomicU64>,
        confine: fn(),
    ) -> io::Result<Server> {
        self.serve_within(LIMITS, Arc::new(make), cut, confine)
    }

    fn serve_within(
        self,
        limits: Limits,
        make: Arc<Make>,
        cut: Arc<AtomicU64>,
        confine: fn(),
    ) -> io::Result<Server> {
        let (alive, gone) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _within = runtime.enter();
            TcpListener::from_std(self.into_listener())?
        };
        let work = move || runtime.block_on(accept(&listener, limits, make, &cut, gone));
        thread::start("portwatch-http", confine, work)?;
        Ok(Server { _alive: alive })
    }
}

async fn accept(
    listener: &TcpListener,
    limits: Limits,
    make: Arc<Make>,
    cut: &Arc<AtomicU64>,
    mut gone: oneshot::Receiver<Infallible>,
) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut gone => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= limits.connections
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            cut.fetch_add(1, Ordering::Relaxed);
        }
        let task = tokio::spawn(connection(stream, limits, Arc::clone(&make), Arc::clone(cut)));
        open.push_back(task.abort_handle());
    }
}

async fn connection(stream: TcpStream, limits: Limits, make: Arc<Make>, cut: Arc<AtomicU64>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(&request, &*make);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEADERS);
    let ended = timeout(limits.whole, protocol.serve_connection(TokioIo::new(stream), service)).await;
    // A client that goes away, or speaks something else, has reached no limit.
    let is_slow = ended.map_or(true, |answered| answered.is_err_and(|error| error.is_timeout()));
    if is_slow {
        cut.fetch_add(1, Ordering::Relaxed);
    }
}

fn answer(request: &Request<Incoming>, make: &Make) -> Response<String> {
    let plain = |status, text: &str| told(status, "text/plain; charset=utf-8", text.to_owned());
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "the metrics are at /metrics\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    match make(accept) {
        Some(Page { content_type, text }) => told(StatusCode::OK, content_type, text),
        None => plain(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n"),
    }
}

fn told(status: StatusCode, content_type: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Names that strangers chose stand in it: no browser shall take it for anything but text.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
