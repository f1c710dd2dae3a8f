//! Metrics, as a client sees them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// What a test waits for comes long before.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// What is told at an address now, by a path such as `/metrics`.
///
/// # Errors
/// When nobody answers, or with anything but success.
pub fn page(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("read what {address} answers"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let is_good = head.split(' ').nth(1) == Some("200");
    ensure!(is_good, "{address}{path}: {head}\n{body}");
    Ok(body.to_owned())
}

/// The sum over the series that begin so.
///
/// # Panics
/// When one has no number.
#[must_use]
#[expect(clippy::expect_used, reason = "every line of the format ends with a number")]
pub fn sum(told: &str, series: &str) -> f64 {
    let number = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<f64>().ok());
    let lines = told.lines().filter(|line| line.starts_with(series));
    lines.map(|line| number(line).expect("a number")).sum()
}

/// Waits until that sum is so much, and returns what is told then.
///
/// # Errors
/// With what is told, when it never is.
pub fn told_when(address: SocketAddr, series: &str, expected: f64) -> Result<String> {
    let since = Instant::now();
    loop {
        let told = page(address, "/metrics")?;
        if (sum(&told, series) - expected).abs() < 0.5 {
            return Ok(told);
        }
        ensure!(since.elapsed() < PATIENCE, "{series} is not {expected}:\n{told}");
        std::thread::sleep(PAUSE);
    }
}
