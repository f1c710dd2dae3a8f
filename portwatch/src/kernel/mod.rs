//! The kernel side as seen from here: the only module that names aya.
//!
//! In: what to report. Out: attached programs, bytes of the ring, entries of the maps, and reasons where this host
//! refuses. Must not know: what the bytes mean, who shows them, the command line.

mod alarm;
mod attach;
mod aya_btf;
mod bpf;
mod btf;
mod cgroup;
mod filter;
mod layout;
mod mapped;
mod multi;
mod plan;
mod records;
mod refusal;
mod ring;
mod sysctls;
mod tables;
mod tracer;

pub mod preflight;

pub use alarm::Alarm;
pub use attach::{Hook, HookState, Refused};
pub use bpf::answers;
pub use cgroup::{CgroupError, OpenCgroup};
pub use plan::Kind;
pub use portwatch_ebpf::abi::{
    DETAIL_PER_WINDOW, FailureCount, FailureKey, OWNERS, OWNERS_LEAST, OWNERS_MOST,
};
pub use records::Records;
pub use refusal::{OUTSIDE, Refusal, privilege_hint};
pub use ring::{Queue, Ring};
pub use tables::{Counters, Owners, Tables};
pub use tracer::{Mode, SkippedRuns, Tracer, Watch};
