//! What a snapshot and a failure say together.
//!
//! In: a failed call or a row, and the snapshot that was taken of its namespace. Out: [`Facts`]. Must not know: rules.

use std::net::SocketAddr;
use std::time::Duration;

use super::Facts;
use crate::diagnose::{Cause, Path};
use crate::event::{
    Call, Failure, Holder, Holding, Namespace, Occupancy, Process, Protocol, Settings, Snapshot, Tgid,
    TimeWait,
};

impl Facts {
    /// Of a row in which nothing failed as far as is known.
    #[must_use]
    pub(in crate::diagnose) fn of_row(row: &Occupancy, snapshot: &Snapshot) -> Self {
        let facts = Self {
            source: row.source.map(|source| SocketAddr::new(source, 0)),
            destination: row.destination,
            netns: Some(row.netns),
            ..Self::new(row.protocol)
        };
        facts.found(
            snapshot,
            snapshot.namespaces.iter().find(|namespace| namespace.id == row.netns),
            Some(row),
        )
    }

    /// Of a failed call, at the time of the snapshot. It wanted a port of `path`.
    #[must_use]
    pub(in crate::diagnose) fn of_failure(
        failure: &Failure,
        cause: Cause,
        path: &Path,
        snapshot: &Snapshot,
    ) -> Self {
        let fault = &failure.fault;
        let known = |address: SocketAddr| !address.ip().is_unspecified() || address.port() != 0;
        let source = if fault.call == Call::Bind {
            Some(fault.address)
        } else {
            Some(failure.source).filter(|source| known(*source))
        };
        let facts = Self {
            cause: Some(cause),
            source,
            destination: fault.destination().filter(|destination| known(*destination)),
            range: Some(failure.port_range),
            own_range: failure.own_range,
            netns: Some(failure.netns),
            inside: living(&failure.process),
            ..Self::new(fault.protocol)
        };
        let namespace = snapshot.namespaces.iter().find(|namespace| namespace.id == failure.netns);
        facts.found(snapshot, namespace, path.row(snapshot))
    }

    fn found(self, snapshot: &Snapshot, namespace: Option<&Namespace>, row: Option<&Occupancy>) -> Self {
        let range = namespace.map(|namespace| namespace.range);
        let ended = row
            .and_then(|row| row.time_wait)
            .map(|time_wait| time_wait.last_10_s * 60 / u32::from(TimeWait::COUNTED_S));
        let holders = row.map_or(&[][..], |row| &row.holders);
        // Who has something open is there still; who left a TIME_WAIT may be gone, and another have its id.
        let has_open = |holding: &&Holding| holding.count > holding.time_wait;
        let holder = holders.iter().filter(has_open).find_map(|holding| match &holding.holder {
            Holder::Process(process) => living(process),
            _ => None,
        });
        Self {
            // The one at the time of the failure counts, if it has been changed since.
            range: self.range.or(range),
            reserved: namespace.map(|namespace| namespace.reserved_ports.clone()),
            bound_by_others: namespace.map(|namespace| namespace.bound),
            binders: namespace.map_or_else(Vec::new, |namespace| binders(snapshot, namespace)),
            listeners: namespace.map(|namespace| namespace.listeners.clone()),
            row: row.cloned(),
            ends_per_minute: ended.filter(|rate| *rate > 0),
            at: Some(snapshot.at),
            open_for: row
                .and_then(|row| Some(Duration::from_nanos(snapshot.at.0.checked_sub(row.open_since?.0)?))),
            // Who has ports lives longer than who got none.
            inside: holder.or(self.inside),
            namespace_is_own: namespace.is_some_and(|namespace| namespace.is_own),
            bound_visible: snapshot.bound_visible,
            settings: namespace.map_or_else(Settings::default, |namespace| namespace.settings),
            namespace_is_hosts: namespace.and_then(|namespace| namespace.is_hosts),
            hosts_range: snapshot.hosts_range,
            ..self
        }
    }
}

/// Its id, if it was alive when somebody looked.
fn living(process: &Process) -> Option<Tgid> {
    process.details.is_alive().then_some(process.tgid)
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

#[cfg(test)]
mod tests {
    use crate::diagnose::facts::example::{failure, holding, row, snapshot};
    use crate::diagnose::{Cause, Facts, Path};
    use crate::event::{BootNs, Holder, Holding, SocketState, State, Tgid};

    #[test]
    fn the_way_into_a_namespace_is_a_process_that_was_alive() {
        let read = || State::Alive { exe: None, cmdline: None };
        let held_by = |pid, state: State| {
            let mut holding = holding("java", pid, 10);
            if let Holder::Process(process) = &mut holding.holder {
                process.details = state.into();
            }
            holding
        };
        let left = Holding { time_wait: 10, ..held_by(5, read()) };
        let cases = [
            ("who holds ports", vec![held_by(7, read())], read(), Some(7)),
            ("the next of them", vec![held_by(6, State::Exited), held_by(7, read())], read(), Some(7)),
            ("who failed", vec![held_by(6, State::NotRead)], read(), Some(812)),
            ("who failed, not who left a TIME_WAIT", vec![left], read(), Some(812)),
            ("nobody", vec![held_by(6, State::Exited)], State::Exited, None),
            ("nobody that somebody looked at", vec![], State::NotRead, None),
        ];
        for (what, holders, state, expected) in cases {
            let mut row = row(&[(SocketState::Established, 28_232)]);
            row.holders = holders;
            let (path, snapshot) = (Path::of(&row), snapshot(BootNs(2_000_000_000), vec![row]));
            let mut failure = failure();
            failure.process.details = state.into();
            let facts = Facts::of_failure(&failure, Cause::RangeExhausted, &path, &snapshot);
            assert_eq!((facts.inside, facts.netns), (expected.map(Tgid), Some(failure.netns)), "{what}");
        }
    }
}
