//! From words on the command line to filters.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::capture::Keep;
use crate::event::{Destination, Errno, Errnos, NetnsId, Text, Tgid};
use crate::ports::Netns;

/// Bytes of a thread's name that the kernel keeps (`TASK_COMM_LEN` less the NUL, include/linux/sched.h).
const COMM_BYTES: usize = 15;

pub(super) fn comm(word: &str) -> Result<Text, String> {
    match word.len() {
        0 => Err("a name has at least one byte".to_owned()),
        1..=COMM_BYTES => Ok(Text(word.as_bytes().to_vec())),
        length => Err(format!(
            "the kernel keeps {COMM_BYTES} bytes of a thread's name and this has {length}; try '{}'",
            word.get(..COMM_BYTES).unwrap_or("the first 15")
        )),
    }
}

pub(super) fn errnos(word: &str) -> Result<Errnos, String> {
    if word.eq_ignore_ascii_case("all") {
        return Ok(Errnos::All);
    }
    let errno = |name: &str| {
        Errno::from_name(name.trim())
            .ok_or_else(|| format!("'{name}' is not the name of an error, such as EADDRNOTAVAIL"))
    };
    word.split(',').map(errno).collect::<Result<_, _>>().map(Errnos::These)
}

pub(super) fn duration(word: &str) -> Result<Duration, String> {
    let explain = |_| format!("'{word}' is not a time such as 30s, 5m or 1h30m");
    let duration = word.parse::<jiff::SignedDuration>().map_err(explain)?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be longer than nothing".to_owned()),
    }
}

/// Where to listen: an address with a port, or a port of the loopback address.
pub(super) fn listen(word: &str) -> Result<SocketAddr, String> {
    let of_loopback = || word.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    word.parse().ok().or_else(of_loopback).ok_or_else(|| {
        format!("'{word}' is not an address with a port, such as 127.0.0.1:7678 or [::1]:7678, and no port")
    })
}

/// How much a flight recorder keeps: a time, or bytes.
pub(super) fn keep(word: &str) -> Result<Keep, String> {
    let factors = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];
    let bytes = factors.into_iter().find_map(|(unit, factor)| {
        let number: u64 = word.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(factor)
    });
    match bytes {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(bytes) => Ok(Keep::Bytes(bytes)),
        None => duration(word).map(Keep::For).map_err(|why| {
            if word.bytes().all(|byte| byte.is_ascii_digit()) {
                format!("'{word}' of what? write 30m, 12h, 500M or 2G")
            } else {
                format!("{why}, or a size such as 500M or 2G")
            }
        }),
    }
}

/// A moment, in the time zone of this machine where it names none.
pub(super) fn instant(word: &str) -> Result<Timestamp, String> {
    let zoned = |word: &str| word.parse::<Zoned>().map(|zoned| zoned.timestamp());
    let local =
        |word: &str| word.parse::<DateTime>()?.to_zoned(TimeZone::system()).map(|zoned| zoned.timestamp());
    word.parse::<Timestamp>()
        .or_else(|_| zoned(word))
        .or_else(|_| local(word))
        .map_err(|_| format!("'{word}' is not a moment such as 2026-03-01T14:00 or 2026-03-01T13:00:00Z"))
}

/// A share in thousandths: 1% to 100%.
pub(super) fn percent(word: &str) -> Result<u32, String> {
    match word.strip_suffix('%').unwrap_or(word).parse() {
        Ok(percent @ 1..=100) => Ok(percent * 10),
        _ => Err(format!("'{word}' is not a share from 1% to 100%")),
    }
}

/// One more than the highest pid (`PID_MAX_LIMIT`, include/linux/threads.h). Numbers of namespaces begin far above
/// (`PROC_DYNAMIC_FIRST`, fs/proc/generic.c).
const PIDS: u32 = 4 * 1024 * 1024;

pub(super) fn netns(word: &str) -> Result<Netns, String> {
    if word == "all" {
        return Ok(Netns::All);
    }
    match word.parse() {
        Ok(0) => Err("no process has the id 0".to_owned()),
        Ok(pid @ 1..PIDS) => Ok(Netns::Process(Tgid(pid))),
        Ok(number) => Ok(Netns::Id(NetnsId(number))),
        Err(_) if word.contains('/') => Ok(Netns::Path(word.into())),
        Err(_) => Err(format!(
            "'{word}' is not `all`, a file, or a number; `ip netns` keeps its names in /run/netns/{word}"
        )),
    }
}

pub(super) fn destination(word: &str) -> Result<Destination, String> {
    let (network, port) = split_port(word)?;
    let port = port.map(|port| match port.parse() {
        Ok(0) | Err(_) => Err(format!("'{port}' is not a port (1 to 65535)")),
        Ok(port) => Ok(port),
    });
    let network = network.map(|text| {
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            format!("'{text}' is not an address or network, such as 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32 (names are not looked up)")
        })
    });
    Ok(Destination { network: network.transpose()?, port: port.transpose()? })
}

/// Network and port in `A`, `A:P`, `[A]`, `[A]:P` and `:P`.
fn split_port(word: &str) -> Result<(Option<&str>, Option<&str>), String> {
    if let Some(rest) = word.strip_prefix('[') {
        let (network, behind) =
            rest.split_once(']').ok_or_else(|| format!("'{word}' has no closing bracket"))?;
        return match behind.strip_prefix(':') {
            Some(port) => Ok((Some(network), Some(port))),
            None if behind.is_empty() => Ok((Some(network), None)),
            None => Err(format!("'{behind}' behind the bracket is not a port")),
        };
    }
    Ok(match word.split_once(':') {
        Some(("", port)) if !port.starts_with(':') => (None, Some(port)),
        // More than one colon: an IPv6 address without brackets, so without a port.
        Some((network, port)) if !port.contains(':') => (Some(network), Some(port)),
        _ => (Some(word), None),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{comm, destination, duration, errnos, instant, keep, listen, netns, percent};
    use crate::capture::Keep;
    use crate::event::{Errno, Errnos, NetnsId, Tgid};
    use crate::ports::Netns;

    #[test]
    fn what_is_kept_is_a_time_or_a_size() {
        let hours = |hours: u64| Some(Keep::For(Duration::from_secs(hours * 3600)));
        let cases = [
            ("12h", hours(12)),
            ("500M", Some(Keep::Bytes(500 << 20))),
            ("2 G", Some(Keep::Bytes(2 << 30))),
            ("0M", None),
            ("0s", None),
            ("99999999999999999T", None),
            ("M", None),
        ];
        for (word, expected) in cases {
            assert_eq!(keep(word).ok(), expected, "{word}");
        }
        assert!(keep("500").unwrap_err().contains("500M"));
        assert!(keep("much").unwrap_err().contains("500M"));
    }

    #[test]
    fn a_moment_has_a_zone_or_that_of_this_machine() {
        let utc = instant("2026-03-01T13:00:00Z").unwrap();
        assert_eq!(instant("2026-03-01T14:00:00+01:00").ok(), Some(utc));
        assert_eq!(instant("2026-03-01T14:00:00+01:00[+01:00]").ok(), Some(utc));
        let local = instant("2026-03-01 13:00").unwrap();
        assert!((local.as_second() - utc.as_second()).abs() <= 15 * 3600, "{local}");
        assert!(instant("yesterday").unwrap_err().contains("'yesterday'"));
    }

    #[test]
    fn where_to_listen_is_an_address_with_a_port_or_a_port_of_loopback() {
        let cases = [
            ("7678", Some("127.0.0.1:7678")),
            ("0", Some("127.0.0.1:0")),
            ("10.0.0.7:80", Some("10.0.0.7:80")),
            ("[::1]:7678", Some("[::1]:7678")),
            ("0.0.0.0:7678", Some("0.0.0.0:7678")),
            ("65536", None),
            (":7678", None),
            ("10.0.0.7", None),
            ("localhost:7678", None),
            ("", None),
        ];
        for (word, address) in cases {
            assert_eq!(listen(word).ok().map(|address| address.to_string()).as_deref(), address, "{word}");
        }
    }

    #[test]
    fn a_share_is_a_percentage() {
        let cases = [("80%", Some(800)), ("5", Some(50)), ("100%", Some(1000)), ("0%", None), ("101", None)];
        for (word, permille) in cases {
            assert_eq!(percent(word).ok(), permille, "{word}");
        }
        assert!(percent("much").unwrap_err().contains("'much'"));
    }

    #[test]
    fn a_destination_is_an_address_a_network_a_port_or_both() {
        let cases = [
            ("10.0.0.1", Some("10.0.0.1/32"), None),
            ("10.0.0.1:80", Some("10.0.0.1/32"), Some(80)),
            ("10.0.0.0/8:443", Some("10.0.0.0/8"), Some(443)),
            (":8080", None, Some(8080)),
            ("2001:db8::1", Some("2001:db8::1/128"), None),
            ("::1", Some("::1/128"), None),
            ("2001:db8::/32", Some("2001:db8::/32"), None),
            ("[::1]", Some("::1/128"), None),
            ("[::1]:8080", Some("::1/128"), Some(8080)),
            ("[2001:db8::/32]:443", Some("2001:db8::/32"), Some(443)),
        ];
        for (word, network, port) in cases {
            let parsed = destination(word).unwrap();
            assert_eq!(parsed.network.map(|network| network.to_string()).as_deref(), network, "{word}");
            assert_eq!(parsed.port, port, "{word}");
        }
        for word in [
            "",
            "localhost",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.0/33",
            "[::1",
            "[::1]80",
            ":",
            "10.0.0.1:",
        ] {
            assert!(destination(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_namespace_is_all_a_file_a_process_or_its_own_number() {
        let cases = [
            ("all", Netns::All),
            ("1", Netns::Process(Tgid(1))),
            ("4194303", Netns::Process(Tgid(4_194_303))),
            ("4026531840", Netns::Id(NetnsId(4_026_531_840))),
            ("/run/netns/blue", Netns::Path("/run/netns/blue".into())),
            ("./all", Netns::Path("./all".into())),
        ];
        for (word, expected) in cases {
            assert_eq!(netns(word), Ok(expected), "{word}");
        }
        assert!(netns("blue").unwrap_err().contains("/run/netns/blue"));
        for word in ["", "0", "-1", "4294967296"] {
            assert!(netns(word).is_err(), "{word}");
        }
    }

    #[test]
    fn errors_are_named_as_the_manual_pages_do() {
        assert_eq!(errnos("all"), Ok(Errnos::All));
        assert_eq!(errnos("EADDRNOTAVAIL,enetunreach"), Ok(Errnos::These(vec![Errno(99), Errno(101)])));
        assert!(errnos("ENOSUCHTHING").is_err() && errnos("").is_err() && errnos("99").is_err());
    }

    #[test]
    fn names_longer_than_the_kernel_keeps_are_refused_with_what_it_keeps() {
        assert!(comm("exactly-15-long").is_ok());
        assert!(comm("sixteen-bytes-xx").unwrap_err().contains("try 'sixteen-bytes-x'"));
        assert!(comm("").is_err());
    }

    #[test]
    fn times_are_words_people_write() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for word in ["", "0s", "-5s", "soon", "30"] {
            assert!(duration(word).is_err(), "{word}");
        }
    }
}
