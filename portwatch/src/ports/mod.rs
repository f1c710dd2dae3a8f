//! Who holds the local ports: the only module that speaks sock_diag.
//!
//! In: which namespaces, which destinations. Out: a [`Census`], from which rows are made once somebody says who owns
//! which socket. Must not know: hooks, diagnosis, how it is shown.

mod bound;
mod census;
mod condition;
mod dump;
mod holders;
mod host;
mod netns;
mod occupancy;
mod owners;
mod settings;

pub use bound::shows_bound_sockets;
pub use census::{Census, census};
pub use dump::{DumpError, Socket};
pub use host::{Host, enters_another, host};
pub use netns::{Netns, NetnsError, netns_id, own_id};
pub use occupancy::{Held, Told};
pub use owners::{Owner, Owners};
pub use settings::{Settings, SettingsError};

use std::net::IpAddr;

use crate::event::Destination;

/// What to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Which namespaces.
    pub netns: Netns,
    /// Only connections to there; the kernel leaves out the others. Ports that are taken whatever the destination
    /// are read all the same.
    pub destination: Option<Destination>,
    /// Also one row for what a bind() to this address that asks for any port finds taken.
    pub bind: Option<IpAddr>,
    /// Leave out whose sockets they are: to find that takes thousands of system calls.
    pub spare_calls: bool,
}

/// Why a namespace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// It could not be found or entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Its settings could not be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its sockets could not be read.
    #[error(transparent)]
    Dump(#[from] DumpError),
}
