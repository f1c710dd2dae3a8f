//! One failed call, and what other lines have of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use super::strings::Of;
use super::who::Who;
use crate::event::{BootNs, Call, Errno, Failure, Fault, NetnsId, PortRange, Protocol, Stage};

/// An address and a port.
#[derive(Deserialize, Clone, Copy)]
pub(super) struct Endpoint {
    address: IpAddr,
    port: u16,
}

impl From<Endpoint> for SocketAddr {
    fn from(Endpoint { address, port }: Endpoint) -> Self {
        Self::new(address, port)
    }
}

/// A range of ports.
#[derive(Deserialize, Clone, Copy)]
pub(super) struct Range {
    low: u16,
    high: u16,
}

impl From<Range> for PortRange {
    fn from(Range { low, high }: Range) -> Self {
        Self { low, high }
    }
}

/// Those of a `failure`.
#[derive(Deserialize)]
pub(super) struct Fields {
    monotonic_ns: u64,
    call: Of<Call>,
    protocol: Of<Protocol>,
    errno_code: u16,
    stage: Of<Stage>,
    had_port: bool,
    #[serde(default)]
    v4_mapped: bool,
    #[serde(default)]
    kernel_socket: bool,
    process: Who,
    netns: u32,
    source: Endpoint,
    destination: Endpoint,
    port_range: Range,
    socket_port_range: Option<Range>,
    search_ns: Option<u64>,
}

impl From<Fields> for Failure {
    fn from(fields: Fields) -> Self {
        let wanted = if fields.call.0 == Call::Bind { fields.source } else { fields.destination };
        Self {
            at: BootNs(fields.monotonic_ns),
            fault: Fault {
                call: fields.call.0,
                protocol: fields.protocol.0,
                errno: Errno(fields.errno_code),
                stage: fields.stage.0,
                had_port: fields.had_port,
                address: wanted.into(),
                v4_mapped: fields.v4_mapped,
                kernel_socket: fields.kernel_socket,
            },
            process: fields.process.0,
            netns: NetnsId(fields.netns),
            source: fields.source.into(),
            port_range: fields.port_range.into(),
            own_range: fields.socket_port_range.map(PortRange::from),
            search: fields.search_ns.map(Duration::from_nanos),
        }
    }
}
