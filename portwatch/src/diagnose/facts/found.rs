//! What a snapshot and a failure say together.
//!
//! In: a failed call or a row, and the snapshot that was taken of its namespace. Out: [`Facts`]. Must not know: rules.

use std::net::SocketAddr;

use super::Facts;
use crate::diagnose::{Cause, cause};
use crate::event::{Call, Failure, Holding, Namespace, Occupancy, Protocol, Settings, Snapshot};

/// Seconds that [`crate::event::TimeWait::last_10_s`] counts.
const COUNTED_S: u32 = 10;

impl Facts {
    /// Of a row in which nothing failed as far as is known.
    #[must_use]
    pub(in crate::diagnose) fn of_row(row: &Occupancy, snapshot: &Snapshot) -> Self {
        let facts = Self {
            source: row.source.map(|source| SocketAddr::new(source, 0)),
            destination: row.destination,
            ..Self::new(row.protocol)
        };
        facts.found(
            snapshot,
            snapshot.namespaces.iter().find(|namespace| namespace.id == row.netns),
            Some(row),
        )
    }

    /// Of a failed call, at the time of the snapshot.
    #[must_use]
    pub(in crate::diagnose) fn of_failure(failure: &Failure, snapshot: &Snapshot) -> Self {
        let fault = &failure.fault;
        let known = |address: SocketAddr| !address.ip().is_unspecified() || address.port() != 0;
        let wanted = if fault.call == Call::Bind { fault.address } else { failure.source };
        let facts = Self {
            cause: Some(cause(fault)),
            source: Some(wanted).filter(|source| known(*source) || fault.call == Call::Bind),
            destination: fault.destination().filter(|destination| known(*destination)),
            range: Some(failure.port_range),
            own_range: failure.own_range,
            ..Self::new(fault.protocol)
        };
        let row = row_of(failure, snapshot);
        facts.found(snapshot, snapshot.namespaces.iter().find(|namespace| namespace.id == failure.netns), row)
    }

    fn found(self, snapshot: &Snapshot, namespace: Option<&Namespace>, row: Option<&Occupancy>) -> Self {
        let range = namespace.map(|namespace| namespace.range);
        let ended = row.and_then(|row| row.time_wait).map(|time_wait| time_wait.last_10_s / COUNTED_S);
        Self {
            // The one at the time of the failure counts, if it has been changed since.
            range: self.range.or(range),
            reserved: namespace.map(|namespace| namespace.reserved_ports.clone()),
            bound_by_others: namespace.map(|namespace| namespace.bound),
            binders: namespace.map_or_else(Vec::new, |namespace| binders(snapshot, namespace)),
            listeners: namespace.map(|namespace| namespace.listeners.clone()),
            row: row.cloned(),
            connects_per_s: ended.filter(|rate| *rate > 0),
            settings: namespace.map_or_else(Settings::default, |namespace| namespace.settings),
            namespace_is_hosts: namespace.and_then(|namespace| namespace.is_hosts),
            hosts_range: snapshot.hosts_range,
            ..self
        }
    }
}

/// The row in which a call found no port.
fn row_of<'a>(failure: &Failure, snapshot: &'a Snapshot) -> Option<&'a Occupancy> {
    let udp = failure.fault.protocol == Protocol::Udp;
    let mut rows = snapshot
        .rows
        .iter()
        .filter(|row| row.netns == failure.netns && (row.protocol == Protocol::Udp) == udp);
    let (source, destination) = (failure.source.ip(), failure.fault.address);
    match cause(&failure.fault) {
        Cause::RangeExhausted | Cause::TupleInUse => rows.find(|row| {
            row.destination == Some(destination) && (source.is_unspecified() || row.source == Some(source))
        }),
        Cause::BindRangeExhausted if !udp => {
            rows.find(|row| row.destination.is_none() && row.source == Some(destination.ip()))
        }
        Cause::BindRangeExhausted | Cause::UdpRangeExhausted => rows.find(|row| row.destination.is_none()),
        _ => None,
    }
}

/// Who has the ports that no connect() gets.
fn binders(snapshot: &Snapshot, namespace: &Namespace) -> Vec<Holding> {
    let any = |row: &&Occupancy| {
        row.netns == namespace.id
            && row.protocol != Protocol::Udp
            && row.source.is_none()
            && row.destination.is_none()
    };
    snapshot.rows.iter().find(any).map_or_else(Vec::new, |row| row.holders.clone())
}
