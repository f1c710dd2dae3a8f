//! The hooks of portwatch, doing nothing: the floor that `cargo xtask bench` compares with.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", no_main)]

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;

/// Stands where the port-search hook does.
#[fexit(function = "__inet_hash_connect")]
pub(crate) fn empty_port_search(_: FExitContext) -> i32 {
    0
}

/// Stands where the connect hook does.
#[fexit(function = "tcp_v4_connect")]
pub(crate) fn empty_connect(_: FExitContext) -> i32 {
    0
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
