//! The programs of portwatch: what runs in the kernel.
//!
//! In: returns of kernel functions below connect, bind and the calls that send; where they cannot be had,
//! tracepoints; and writes of settings. Out: records in the ring [`maps::EVENTS`], exact counts in [`maps::COUNTS`], and in
//! [`maps::COUNTERS`] why a failure has no record. Must not know: names, texts, diagnoses.
//!
//! On success a program loads the return value, compares, and leaves. Kernel members are read by loads the
//! verifier types from BTF wherever it can: lockdown=confidentiality forbids `bpf_probe_read_kernel`.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]
#![cfg_attr(
    target_arch = "bpf",
    feature(asm_experimental_arch, core_intrinsics),
    expect(internal_features, reason = "see counter.rs and out_of_line.rs")
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "helpers return two halves in one word, and each is wanted"
)]
#![expect(clippy::needless_pass_by_value, reason = "the attribute macros hand contexts over by value")]

mod answers;
mod asked;
mod calls;
mod counter;
mod counts;
mod hooks;
mod layout;
mod maps;
mod notes;
mod out_of_line;
mod owners;
mod report;
mod returned;
mod search_time;
mod sock;
mod stash;
mod sysctl_change;
mod task;
mod user;

/// Lets the host's tools (clippy, rustdoc, an editor) check this crate.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Helpers used here are offered to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
