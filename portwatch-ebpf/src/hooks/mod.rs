//! One file per place where programs attach; they share `report`, `notes` and what reads the kernel's memory only.

mod autobind;
mod bind;
mod connect;
mod network;
mod port_search;
mod socket;
mod syscall;
mod sysctl;
mod witness;
