//! Builds the kernel side of portwatch.
//!
//! In: a checkout and a compiler that can build `core` for `bpfel-unknown-none`. Out: an eBPF object.
//! Used by the build script of `portwatch` and by `xtask`, so that the knowledge of where such a compiler
//! may be lives once. Must not know: what is inside the programs.

mod cargo;
mod toolchain;

pub use cargo::{Object, build};
pub use toolchain::{BPF_LINKER_VERSION, LLVM_MAJOR, Toolchain, cache_dir, linker_root};
