//! One file per place where programs attach; they share `maps` and `emit` only.

mod connect;
mod port_search;
