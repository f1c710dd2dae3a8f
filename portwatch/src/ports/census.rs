//! Reads namespaces, one after the other.
//!
//! In: which namespaces, which destinations. Out: a [`Census`]. Must not know: messages of netlink, /proc.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;

use super::dump::{DumpError, Family, Reader, Request, Socket, TCP_BOUND, TCP_CONNECTED, TCP_LISTENS, UDP};
use super::netns::NetnsError;
use super::occupancy::{Held, Table, Told};
use super::settings::Settings;
use super::{PortsError, Query, condition, netns, occupancy};
use crate::event::{BootNs, Destination, Holder, Namespace, NetnsId, Occupancy, Protocol};

/// How often a namespace is read again if its tables changed under the reader.
const ATTEMPTS: u32 = 2;

/// The sockets of some namespaces that have a local port of the range.
#[derive(Debug, Default)]
pub struct Census {
    tables: Vec<Table>,
    bind: Option<IpAddr>,
    /// Sockets that were read.
    pub sockets: u64,
    /// Reads that were begun again, because the kernel said that its tables changed meanwhile.
    pub repeated: u32,
    /// What could not be read, in sentences.
    pub limits: Vec<String>,
    /// Whether every namespace was wanted, looked at and read.
    pub all_namespaces: bool,
}

/// Reads the socket tables of the namespaces that `query` names.
///
/// # Errors
/// When none of them could be read.
pub fn census(query: &Query) -> Result<Census, PortsError> {
    let places = netns::places(&query.netns)?;
    // Each that could not be looked at is a limit.
    let all_found = places.many && places.limits.is_empty();
    let mut census = Census { bind: query.bind, limits: places.limits, ..Census::default() };
    let mut refused = Vec::new();
    for place in &places.places {
        match place
            .within(|| read(place.id(), query.destination.as_ref()))
            .map_err(PortsError::from)
            .flatten()
        {
            Ok(part) => census.take_in(part),
            // It has gone since it was found; nobody has a port in it.
            Err(PortsError::Netns(NetnsError::Gone { .. })) if places.many => {}
            Err(error) if places.many => refused.push(error),
            Err(error) => return Err(error),
        }
    }
    census.all_namespaces = all_found && refused.is_empty();
    match (census.tables.is_empty(), refused.len(), refused.into_iter().next()) {
        (true, _, Some(error)) => return Err(error),
        (false, count, Some(error)) => {
            let left_out = format!("{count} of {} network namespaces are left out", places.places.len());
            census.limits.push(format!("{left_out}, the first because: {}", one_line(&error)));
        }
        (_, _, None) => {}
    }
    Ok(census)
}

/// Without the hint.
fn one_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Reads the namespace that this thread is in.
fn read(id: NetnsId, destination: Option<&Destination>) -> Result<Census, PortsError> {
    let settings = Settings::read(Path::new("/proc/sys/net"))?;
    let mut reader = Reader::new()?;
    let requests = requests(&settings, destination);
    Ok(collect(id, &settings, &requests, |request, each| reader.read(request, each))?)
}

/// Takes in what `reader` hands over for each request; again from the start if that changed meanwhile.
fn collect(
    id: NetnsId,
    settings: &Settings,
    requests: &[Request],
    mut reader: impl FnMut(&Request, &mut dyn FnMut(&Socket)) -> Result<bool, DumpError>,
) -> Result<Census, DumpError> {
    let mut repeated = 0;
    loop {
        let mut table = Table::new(id, settings.clone());
        let mut limits = Vec::new();
        let mut sockets = 0;
        let mut changed = false;
        for request in requests {
            let read = reader(request, &mut |socket| {
                sockets += 1;
                table.add(socket);
            });
            match read {
                Ok(consistent) => changed |= !consistent,
                // TCP is what this is about; UDP's part of sock_diag is a module of its own.
                Err(error @ DumpError::NoDiag { .. }) if request.protocol == Protocol::Udp => {
                    limits.push(format!("UDP is left out: {}", one_line(&error)));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if changed && repeated + 1 < ATTEMPTS {
            repeated += 1;
            continue;
        }
        if changed {
            limits.push(format!(
                "the sockets of namespace {} changed while they were read, also when that was repeated: a few may \
                 be missing or be counted although they are gone",
                id.0
            ));
        }
        return Ok(Census { tables: vec![table], sockets, repeated, limits, ..Census::default() });
    }
}

/// Everything with a port of the range, both families, and what has no peer outside of it; connected TCP sockets only
/// to `destination`.
fn requests(settings: &Settings, destination: Option<&Destination>) -> Vec<Request> {
    let in_range = condition::local_ports(settings.range);
    let mut requests = Vec::new();
    for family in [Family::V4, Family::V6] {
        let tcp = |states, bytecode| Request { family, protocol: Protocol::Tcp, states, bytecode };
        requests.push(tcp(TCP_LISTENS, Vec::new()));
        // What is bound only is in the way of a wider range if it is outside of this one. It is not asked for by itself:
        // the kernel would go through all connections a second time.
        let connected = |conditions: &[condition::Condition]| {
            tcp(TCP_CONNECTED | TCP_BOUND, condition::or_no_peer(&condition::all_of(conditions)))
        };
        requests.push(match destination.map(|destination| condition::towards(destination, family)) {
            None => connected(&in_range),
            Some(Some(towards)) => connected(&[&in_range[..], &[towards]].concat()),
            // No connection of this family goes there.
            Some(None) => tcp(TCP_BOUND, Vec::new()),
        });
    }
    let udp = |family| Request { family, protocol: Protocol::Udp, states: UDP, bytecode: Vec::new() };
    requests.extend([Family::V4, Family::V6].map(udp));
    requests
}

impl Census {
    fn take_in(&mut self, part: Self) {
        self.tables.extend(part.tables);
        self.sockets += part.sockets;
        self.repeated += part.repeated;
        for limit in part.limits {
            // Said once, not once a namespace.
            if !self.limits.contains(&limit) {
                self.limits.push(limit);
            }
        }
    }

    /// The sockets that hold a port.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.tables.iter().flat_map(Table::held)
    }

    /// The inode numbers of the sockets that hold a port.
    #[must_use]
    pub fn inodes(&self) -> HashSet<u32> {
        self.held().map(|held| held.inode).filter(|inode| *inode != 0).collect()
    }

    /// What the namespaces offer and what is taken of it, the highest pressure first. `holder` says
    /// who an owner is.
    pub fn rows<O: Copy + Ord>(
        &self,
        told: &Told<impl Fn(&Held) -> O, impl Fn(&Held) -> Option<BootNs>>,
        mut holder: impl FnMut(O) -> Holder,
    ) -> (Vec<Namespace>, Vec<Occupancy>) {
        let mut rows = Vec::new();
        let mut namespaces = Vec::new();
        for table in &self.tables {
            namespaces.push(table.namespace());
            rows.extend(table.rows(told, &mut holder));
            rows.extend(self.bind.and_then(|address| table.bind_row(address, told, &mut holder)));
        }
        occupancy::by_pressure(&mut rows);
        (namespaces, rows)
    }
}

#[cfg(test)]
mod tests;
