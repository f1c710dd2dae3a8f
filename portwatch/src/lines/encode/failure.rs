//! One failed call, and what other lines have of it: the fault, the process.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Encoder;
use super::known::Known;
use crate::diagnose::cause;
use crate::event::{
    BootNs, Container, Details, Failure, Fault, NetnsId, Pod, PodName, PortRange, Process, State,
};
use crate::lines::errnos;
use crate::lines::words::Word as _;
use crate::lines::write::{Object, line, object};

/// What a failure's last fields tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scene {
    fault: Fault,
    netns: NetnsId,
    source: SocketAddr,
    port_range: PortRange,
    own_range: Option<PortRange>,
}

impl Encoder {
    pub(super) fn failure(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let Failure { at, fault, ref process, netns, source, port_range, own_range, search } = *failure;
        let scene = Scene { fault, netns, source, port_range, own_range };
        line(out, "failure", |line| {
            self.when(line, at);
            self.fault(line, &fault);
            self.process(line, process);
            let place = place(fault.address) ^ (place(source) << 4);
            self.scenes.write(place, &scene, line.out(), |out| scene.write(&mut Object::going_on(out)));
            line.number_if_known("search_ns", search.map(nanoseconds));
        });
    }

    #[inline]
    pub(super) fn fault(&mut self, fields: &mut Object<'_>, fault: &Fault) {
        let write = |out: &mut Vec<u8>| self::fault(&mut Object::going_on(out), fault);
        self.faults.write(place(fault.address), fault, fields.out(), write);
    }

    /// An instant, by both clocks.
    #[inline]
    pub(super) fn when(&mut self, line: &mut Object<'_>, at: BootNs) {
        self.time(line, "time", at);
        line.number("monotonic_ns", at.0);
    }

    /// An instant as time of day.
    #[inline]
    pub(super) fn time(&mut self, line: &mut Object<'_>, name: &str, at: BootNs) {
        let clock = self.clock();
        self.times.write(clock, at, line.name(name));
    }

    #[inline]
    pub(super) fn process(&mut self, fields: &mut Object<'_>, process: &Process) {
        // Threads of a process have neighbouring ids.
        let id = process.tid.map_or(process.tgid.0, |tid| tid.0);
        let place = usize::try_from(id).unwrap_or(0);
        self.processes.write(place, process, fields.name("process"), |out| {
            self::process(out, process, &mut self.details);
        });
    }
}

fn process(out: &mut Vec<u8>, process: &Process, known: &mut Known<Arc<Details>>) {
    object(out, |fields| {
        fields.number("pid", process.tgid.0);
        fields.number_if_known("tid", process.tid.map(|tid| tid.0));
        fields.text("comm", &process.comm);
        fields.number("start_ns", process.start.0);
        fields.number("uid", process.uid);
        fields.number("gid", process.gid);
        fields.number("cgroup", process.cgroup.0);
        // Addresses of neighbours differ in the middle: the lowest bits are those of the alignment.
        let address = Arc::as_ptr(&process.details).addr();
        known.write((address >> 4) ^ (address >> 12), &process.details, fields.out(), |out| {
            details(&mut Object::going_on(out), &process.details);
        });
    });
}

fn details(fields: &mut Object<'_>, details: &Details) {
    let Details { state, user, unit, container, pod } = details;
    match state {
        State::NotRead => {}
        State::Exited => fields.flag("exited", true),
        // Without it, what could not be read would look like what nobody looked for.
        State::Alive { exe: None, cmdline: None } => fields.flag("alive", true),
        State::Alive { exe, cmdline } => {
            fields.text_if_known("exe", exe.as_ref());
            if let Some(words) = cmdline {
                fields.texts("cmdline", words);
            }
        }
    }
    fields.text_if_known("user", user.as_ref());
    fields.text_if_known("unit", unit.as_ref());
    if let Some(Container { id, runtime, name }) = container {
        object(fields.name("container"), |fields| {
            fields.text("id", id);
            if let Some(runtime) = runtime {
                fields.word("runtime", runtime.word());
            }
            fields.text_if_known("name", name.as_ref());
        });
    }
    if let Some(Pod { uid, name }) = pod {
        object(fields.name("pod"), |fields| {
            fields.text("uid", uid);
            if let Some(PodName { namespace, name }) = name {
                fields.text("namespace", namespace);
                fields.text("name", name);
            }
        });
    }
}

impl Scene {
    fn write(&self, line: &mut Object<'_>) {
        line.number("netns", self.netns.0);
        line.word("family", if self.fault.address.is_ipv4() { "ipv4" } else { "ipv6" });
        line.endpoint("source", self.source);
        line.endpoint("destination", destination(&self.fault));
        line.range("port_range", self.port_range);
        if let Some(own) = self.own_range {
            line.range("socket_port_range", own);
        }
    }
}

/// Differs where ports or the ends of addresses do.
fn place(endpoint: SocketAddr) -> usize {
    let end = match endpoint.ip() {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    usize::from(end) ^ usize::from(endpoint.port())
}

fn fault(fields: &mut Object<'_>, fault: &Fault) {
    fields.word("call", fault.call.word());
    fields.word("protocol", fault.protocol.word());
    errnos::with_name(fault.errno, |name| fields.word("errno", name));
    fields.number("errno_code", fault.errno.0);
    fields.word("cause", cause(fault).name());
    fields.word("stage", fault.stage.word());
    fields.boolean("had_port", fault.had_port);
    fields.flag("v4_mapped", fault.v4_mapped);
    fields.flag("kernel_socket", fault.kernel_socket);
}

/// Where it wanted to go; the unspecified address and port 0 for a bind.
#[inline]
pub(super) fn destination(fault: &Fault) -> SocketAddr {
    let nowhere: IpAddr = match fault.address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    fault.destination().unwrap_or_else(|| SocketAddr::new(nowhere, 0))
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
