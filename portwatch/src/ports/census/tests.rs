//! A reader made up: one that is interrupted, one that is refused.

use super::super::settings::PortSet;
use super::{
    Census, DumpError, NetnsId, Protocol, Request, Settings, Socket, TCP_CONNECTED, collect, requests,
};
use crate::event::{self, Destination, PortRange, SocketState};

const READS: usize = 6;

fn settings() -> Settings {
    Settings {
        range: PortRange { low: 40000, high: 40009 },
        reserved: PortSet::new(),
        others: event::Settings::default(),
    }
}

fn socket(port: u16) -> Socket {
    Socket {
        protocol: Protocol::Tcp,
        state: SocketState::Established,
        source: ([127, 0, 0, 1], port).into(),
        destination: ([127, 0, 0, 1], 80).into(),
        device: 0,
        inode: 1,
        cookie: 1,
        left_s: 0,
    }
}

/// Reads with `reader`, which is told how many reads were before.
fn collected(
    mut reader: impl FnMut(usize, &Request) -> Result<bool, DumpError>,
) -> Result<Census, DumpError> {
    let mut reads = 0;
    collect(NetnsId(1), &settings(), &requests(&settings(), None), |request, each| {
        each(&socket(40000 + u16::try_from(reads).unwrap()));
        reads += 1;
        reader(reads - 1, request)
    })
}

fn ports(census: &Census) -> Vec<u16> {
    let mut ports: Vec<u16> = census.tables[0].held().map(|held| held.port).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn tables_that_changed_are_read_again_from_the_start_once() {
    let calm = collected(|_, _| Ok(true)).unwrap();
    assert_eq!((calm.repeated, calm.sockets, calm.limits.len()), (0, 6, 0));
    assert_eq!(ports(&calm), [40000, 40001, 40002, 40003, 40004, 40005]);
    let once = collected(|read, _| Ok(read != 1)).unwrap();
    assert_eq!((once.repeated, once.sockets, once.limits.len()), (1, 6, 0));
    assert_eq!(ports(&once), [40006, 40007, 40008, 40009], "nothing of the first attempt is left");
    let always = collected(|_, _| Ok(false)).unwrap();
    assert_eq!((always.repeated, always.sockets), (1, 6));
    assert!(always.limits[0].contains("changed while they were read"), "{:?}", always.limits);
}

#[test]
fn udp_may_be_missing_and_tcp_may_not() {
    let missing = |of: Protocol| {
        collected(move |_, request| match request.protocol == of {
            true => Err(DumpError::NoDiag { protocol: "X", module: "x_diag" }),
            false => Ok(true),
        })
    };
    let without_udp = missing(Protocol::Udp).unwrap();
    assert_eq!(
        without_udp.limits,
        ["UDP is left out: list X sockets over sock_diag: this kernel has no x_diag, or may not load it"]
    );
    assert!(
        missing(Protocol::Tcp)
            .unwrap_err()
            .to_string()
            .contains("hint: as root on the host, modprobe x_diag")
    );
}

#[test]
fn the_kernel_is_asked_for_no_more_than_is_wanted() {
    let asked = |destination: Option<&str>| {
        let destination = destination
            .map(|network| Destination { network: Some(network.parse().unwrap()), port: Some(443) });
        requests(&settings(), destination.as_ref())
    };
    // Of each family, beside UDP: what listens, what is connected or bound.
    assert_eq!(asked(None).len(), READS);
    let connections = |network| {
        let requests = asked(Some(network)).into_iter();
        requests
            .filter(|request| request.protocol == Protocol::Tcp && request.states & TCP_CONNECTED != 0)
            .count()
    };
    assert_eq!(["10.0.0.0/8", "2001:db8::/32", "::/0"].map(connections), [2, 1, 2]);
}
