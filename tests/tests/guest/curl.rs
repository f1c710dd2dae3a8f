//! Real software: curl against nginx.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portwatch_tests::netns::Netns;
use portwatch_tests::portwatch::Watching;

const CONFIG: &str = "\
daemon off;
pid /tmp/nginx-test.pid;
error_log stderr;
events { worker_connections 1024; }
http { access_log off; server { listen 127.0.0.1:8080; return 204; } }
";

struct Nginx(Child);

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let config = folder.join("nginx.conf");
        std::fs::write(&config, CONFIG).unwrap();
        let child = Command::new("nginx").arg("-c").arg(&config).stdin(Stdio::null()).spawn().unwrap();
        let since = Instant::now();
        while TcpStream::connect("127.0.0.1:8080").is_err() {
            assert!(since.elapsed() < Duration::from_secs(30), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(child)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It ends with the guest at the latest.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn five_hundred_failing_connects_by_curl_are_exactly_five_hundred() {
    let netns = Netns::new().unwrap();
    let nginx = Nginx::start();
    // Below the default range, from which the look at nginx took a port.
    portwatch_tests::netns::set("ipv4/ip_local_port_range", "20000 20019").unwrap();
    let held: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect("127.0.0.1:8080").unwrap()).collect();
    let watching = Watching::start(&["trace", "--json"]).unwrap();
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--output", "/dev/null", "--write-out", "%{exitcode}\n"])
        .arg("http://127.0.0.1:8080/?[1-500]")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = curl.id();
    let output = curl.wait_with_output().unwrap();
    let session = watching.end().unwrap();
    drop((held, nginx));
    let tally = String::from_utf8_lossy(&output.stdout).lines().filter(|code| *code == "7").count();
    let errors =
        String::from_utf8_lossy(&output.stderr).lines().filter(|line| line.starts_with("curl: (7)")).count();
    assert_eq!((tally, errors), (500, 500), "{output:?}");
    let of_curl = |value: &serde_json::Value| {
        value["process"]["comm"] == "curl"
            && value["process"]["pid"] == pid
            && value["destination"] == serde_json::json!({"address": "127.0.0.1", "port": 8080})
            && value["netns"] == netns.id
    };
    assert_eq!(session.counted(of_curl), 500, "{}", session.stdout);
    let failures: Vec<_> = session.failures().filter(|failure| of_curl(failure)).collect();
    assert_eq!(failures.len(), 500);
    for failure in failures {
        assert_eq!(failure["cause"], "range_exhausted", "{failure}");
        assert_eq!(failure["port_range"], serde_json::json!({"low": 20000, "high": 20019}), "{failure}");
        assert_eq!(failure["process"]["exe"], "/usr/bin/curl", "{failure}");
    }
}
