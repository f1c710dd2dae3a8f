//! One failure in the environment of a command: variables that are always there, empty where something is not known.
//! Strings that strangers chose are exact: a shell takes the value of a variable for nothing but text.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::clock::Clock;
use crate::diagnose::cause;
use crate::event::{Failure, Text};
use crate::lines::Word as _;

/// The variables, with their values. `suppressed`: failures since the last command.
pub(super) fn of(failure: &Failure, clock: Clock, suppressed: u64) -> Vec<(&'static str, OsString)> {
    let Failure { fault, process, port_range, .. } = failure;
    let details = &process.details;
    let known = |text: Option<&Text>| text.map_or_else(OsString::new, value);
    let destination = fault.destination().map_or_else(String::new, |destination| destination.to_string());
    vec![
        ("PORTWATCH_TIME", clock.rfc3339(failure.at).into()),
        ("PORTWATCH_CAUSE", cause(fault).name().into()),
        ("PORTWATCH_ERRNO", fault.errno.name().into()),
        ("PORTWATCH_CALL", fault.call.word().into()),
        ("PORTWATCH_PROTOCOL", fault.protocol.word().into()),
        ("PORTWATCH_PID", process.tgid.0.to_string().into()),
        ("PORTWATCH_COMM", value(&process.comm)),
        ("PORTWATCH_EXE", known(details.exe())),
        ("PORTWATCH_UNIT", known(details.unit.as_ref())),
        ("PORTWATCH_CONTAINER", known(details.container.as_ref().map(|container| &container.id))),
        ("PORTWATCH_POD", known(details.pod.as_ref().map(|pod| &pod.uid))),
        ("PORTWATCH_UID", process.uid.to_string().into()),
        ("PORTWATCH_NETNS", failure.netns.0.to_string().into()),
        ("PORTWATCH_SOURCE", failure.source.to_string().into()),
        ("PORTWATCH_DESTINATION", destination.into()),
        ("PORTWATCH_PORT_RANGE", format!("{}-{}", port_range.low, port_range.high).into()),
        ("PORTWATCH_SUPPRESSED", suppressed.to_string().into()),
    ]
}

/// A variable cannot hold a NUL; no name or path of the kernel does.
fn value(text: &Text) -> OsString {
    OsString::from_vec(text.0.iter().copied().take_while(|byte| *byte != 0).collect())
}
