//! Clients that behave, and clients that do not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{LIMITS, Limits, Listening, Make, Page, Server};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

struct Served {
    address: SocketAddr,
    cut: Arc<AtomicU64>,
    _server: Server,
}

/// A page of so many bytes, within these limits.
fn served_within(limits: Limits, bytes: usize) -> Served {
    let listening = Listening::on(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, cut) = (listening.address(), Arc::default());
    let make: Arc<Make> = Arc::new(move |accept| {
        let text = format!("for {}{}", accept.unwrap_or("anybody"), "x".repeat(bytes));
        Some(Page { content_type: "text/plain; charset=utf-8", text })
    });
    let server = listening.serve_within(limits, make, Arc::clone(&cut), || {}).unwrap();
    Served { address, cut, _server: server }
}

fn served() -> Served {
    served_within(LIMITS, 0)
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// All that is answered to these bytes until the connection is closed, in whichever way.
    fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be closed before all is sent.
        let _ = stream.write_all(bytes);
        rest(&mut stream)
    }

    fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    fn wait_for_cut(&self, number: u64) {
        let since = Instant::now();
        while self.cut() < number {
            assert!(since.elapsed() < PATIENCE, "{} connections were cut, not {number}", self.cut());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What comes until the end.
fn rest(stream: &mut TcpStream) -> String {
    let mut told = Vec::new();
    let since = Instant::now();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        told.extend_from_slice(&piece[..count]);
    }
    assert!(since.elapsed() < PATIENCE, "the connection was not closed: {}", String::from_utf8_lossy(&told));
    String::from_utf8(told).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("nothing")
}

#[test]
fn the_page_is_told_at_its_path_to_those_who_read() {
    let served = served();
    let cases: [(&str, &str, &str); 9] = [
        ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200", "for anybody"),
        ("GET /metrics?x=y HTTP/1.1\r\nHost: a\r\n\r\n", "200", "for anybody"),
        ("GET /metrics HTTP/1.0\r\nAccept: text/plain\r\n\r\n", "200", "for text/plain"),
        ("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200", ""),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404", "the metrics are at /metrics\n"),
        ("GET /metrics/../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404", "the metrics are at /metrics\n"),
        ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", "405", "only GET and HEAD\n"),
        ("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405", "only GET and HEAD\n"),
        ("GET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200", "for anybody"),
    ];
    for (request, expected, page) in cases {
        let answer = served.answer(request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        assert_eq!((status(&answer), body), (expected, page), "{request}: {answer}");
        let head = head.to_lowercase();
        assert!(head.contains("content-type: text/plain; charset=utf-8"), "{request}: {head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{request}: {head}");
        assert!(expected != "405" || head.contains("allow: get, head"), "{request}: {head}");
    }
    assert_eq!(served.cut(), 0);
}

#[test]
fn what_is_no_request_is_refused_and_costs_nobody_else_anything() {
    let served = served();
    let many = "A: b\r\n".repeat(1000);
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("binary garbage", (0..=255).cycle().take(4000).chain(*b"\r\n\r\n").collect(), "400"),
        ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), "400"),
        ("no version", b"GET /metrics\r\n\r\n".to_vec(), "400"),
        ("a wrong length", b"POST /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(), "400"),
        ("many headers", format!("GET /metrics HTTP/1.1\r\n{many}\r\n").into_bytes(), "431"),
        (
            "a long head",
            format!("GET /metrics HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(15_000)).into_bytes(),
            "431",
        ),
    ];
    for (what, request, expected) in cases {
        let answer = served.answer(&request);
        assert_eq!(status(&answer), expected, "{what}: {answer}");
    }
    let (most, never) = (1 << 20, "GET /metrics HTTP/1.1\r\nA: ");
    let answer = served.answer(&[never.as_bytes(), &vec![b'b'; most]].concat());
    // The answer may be lost, as the connection is closed on what was not read.
    assert!(["431", "nothing"].contains(&status(&answer)), "a header of 1 MiB: {answer}");
    assert_eq!(status(&served.answer(REQUEST)), "200");
}

#[test]
fn a_connection_is_for_one_request() {
    let served = served();
    let answer = served.answer(&REQUEST.repeat(100));
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}

#[test]
fn half_a_request_that_never_ends_is_cut_off() {
    let served = served_within(Limits { head: Duration::from_millis(50), ..LIMITS }, 0);
    let mut slow = served.connect();
    slow.write_all(&REQUEST[..20]).unwrap();
    let mut silent = served.connect();
    assert_eq!(status(&served.answer(REQUEST)), "200");
    for stream in [&mut slow, &mut silent] {
        let answer = rest(stream);
        assert!(["408", "nothing"].contains(&status(&answer)), "{answer}");
    }
    served.wait_for_cut(2);
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    // More than the buffers of both sides hold.
    let served = served_within(Limits { whole: Duration::from_millis(200), ..LIMITS }, 64 << 20);
    let mut slow = served.connect();
    slow.write_all(REQUEST).unwrap();
    served.wait_for_cut(1);
    let told = rest(&mut slow);
    assert!(told.len() < 64 << 20, "{} bytes", told.len());
}

#[test]
fn a_hundred_idle_connections_keep_nobody_out() {
    let patient = Limits { head: PATIENCE * 2, whole: PATIENCE * 2, ..LIMITS };
    let served = served_within(patient, 0);
    let mut idle: Vec<TcpStream> = (0..100).map(|_| served.connect()).collect();
    let answer = served.answer(REQUEST);
    assert_eq!(status(&answer), "200", "{answer}");
    let most = LIMITS.connections as u64;
    assert_eq!(served.cut(), 101 - most, "all but the newest");
    assert_eq!(rest(&mut idle[0]), "");
}

#[test]
fn the_port_is_free_again_once_the_server_is_gone() {
    let Served { address, _server: server, .. } = served();
    drop(server);
    let since = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(since.elapsed() < PATIENCE, "somebody listens still");
        std::thread::sleep(Duration::from_millis(2));
    }
}
