//! `cargo xtask ebpf`: the kernel side alone.

use std::process::ExitCode;

use anyhow::Result;
use ebpf_build::Object;

use crate::checkout::Checkout;
use crate::dist;
use crate::setup::{self, Need};

/// Builds the kernel side and tells where it is.
pub(crate) fn run(checkout: &Checkout) -> Result<ExitCode> {
    setup::ensure(&[Need::Toolchain])?;
    eprintln!("xtask: building the kernel side");
    dist::print_size(&ebpf_build::build(checkout.root(), Object::Hooks)?)?;
    Ok(ExitCode::SUCCESS)
}
